# SPDX-License-Identifier: BSD-3-Clause
"""Channel and locked dropout: who shares a decision along axes, and whether an answer does."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from .. import validity
from ..cases import IMAGES, Case, Choice, Data, random_dtype
from .contender import FASTDROP, NUMPY, NUMPYS_OWN, Call, Contender, single_call
from .floors import floors

Shape = tuple[int, ...]

_STEPS, _BATCH, _SIDE = 64, 32, 16  # at most

# A call, from the case, x and y of its shape, and the noise shape.
_Make = Callable[[Case, NDArray[Any], NDArray[Any], Shape], Call]


def shapes(case: Case) -> tuple[Shape, Shape]:
    """Shape and noise shape: (N, C, H, W) with a decision for a channel, or (T, B, F) with one for all T."""
    if case.kind == "channel_dropout":
        side = max(side for side in range(1, _SIDE + 1) if case.size % side**2 == 0)
        shape = IMAGES.get(case.size, (1, case.size // side**2, side, side))
        return shape, (*shape[:2], 1, 1)
    steps = _divisor(case.size, _STEPS)
    batch = _divisor(case.size // steps, _BATCH)
    features = case.size // (steps * batch)
    return (steps, batch, features), (1, batch, features)


def _divisor(size: int, limit: int) -> int:
    return next(divisor for divisor in range(limit, 0, -1) if size % divisor == 0)


def sharing(case: Case, choice: Choice) -> list[Contender]:
    """Dropout with a noise shape, and NumPy's ways to it: a small mask, broadcast."""
    best, *others = choice.isas
    job = "a new mask every call; output reused"
    given = f"fastdrop {best} given mask"
    return [
        *floors(),
        contender(f"fastdrop {best}", FASTDROP, job, _dropout, isa=best),
        contender(given, FASTDROP, "mask.apply; output reused", _apply, isa=best, fresh=False),
        *(contender(f"fastdrop {isa}", FASTDROP, job, _dropout, isa=isa) for isa in others),
        contender(
            "numpy textbook",
            NUMPY,
            "x * (rng.random(noise_shape) >= p) / (1 - p)",
            _textbook,
            dtypes=NUMPYS_OWN,  # from bfloat16 it makes float32
        ),
        contender("numpy best", NUMPY, "np.multiply(x, scaled mask of noise_shape, out=y)", _best),
    ]


def contender(name: str, made_by: tuple[str, str], job: str, make: _Make, **options: Any) -> Contender:
    """A contender whose answer shares its decisions as the case says; options are those of a single call."""

    def call(case: Case, data: Data) -> Call:
        shape, noise_shape = shapes(case)
        return make(case, data.x.reshape(shape), data.y.reshape(shape), noise_shape)

    check = functools.partial(validity.dropped, decisions=_decisions)
    return single_call(name, made_by, job, call, check=check, **{"fresh": True, **options})


def _decisions(case: Case, keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    shape, noise_shape = shapes(case)
    return first_of_shared(keep.reshape(shape), noise_shape)


def first_of_shared(keep: NDArray[np.bool_], noise_shape: Shape) -> NDArray[np.bool_]:
    """One for every entry of the noise shape; InvalidAnswerError unless the elements that share it agree."""
    first = keep[tuple(map(slice, noise_shape))]
    if not np.array_equal(keep, np.broadcast_to(first, keep.shape)):
        raise validity.InvalidAnswerError(f"decisions of {keep.shape} are not shared as {noise_shape} says")
    return first.ravel()


def _dropout(case: Case, x: NDArray[Any], y: NDArray[Any], noise_shape: Shape) -> Call:
    masks, dropout, p = fastdrop.MaskGenerator(0), fastdrop.dropout, case.p
    return lambda: dropout(x, p, rng=masks, noise_shape=noise_shape, out=y)[0]


def _apply(case: Case, x: NDArray[Any], y: NDArray[Any], noise_shape: Shape) -> Call:
    apply = fastdrop.Mask(x.shape, case.p, noise_shape=noise_shape, seed=0).apply
    return lambda: apply(x, out=y)


def _textbook(case: Case, x: NDArray[Any], y: NDArray[Any], noise_shape: Shape) -> Call:
    rng, p = np.random.default_rng(0), case.p
    return lambda: x * (rng.random(noise_shape) >= p) / (1 - p)


def _best(case: Case, x: NDArray[Any], y: NDArray[Any], noise_shape: Shape) -> Call:
    rng, scale = np.random.default_rng(0), x.dtype.type(1 / (1 - case.p))
    uniform, mask = np.empty(noise_shape, random_dtype(x.dtype)), np.empty(noise_shape, x.dtype)

    def run() -> NDArray[Any]:
        rng.random(out=uniform, dtype=uniform.dtype)
        np.greater_equal(uniform, case.p, out=mask)
        np.multiply(mask, scale, out=mask)
        np.multiply(x, mask, out=y)
        return y

    return run


CONTENDERS = {"channel_dropout": sharing, "locked_dropout": sharing}
