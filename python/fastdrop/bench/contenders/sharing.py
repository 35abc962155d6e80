# SPDX-License-Identifier: BSD-3-Clause
"""Channels and locked dropout: who shares a decision along axes, and whether an answer does."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from ..cases import IMAGES, Case, Data, drawn
from ..job import Answer, Job
from ..validity import InvalidAnswerError, dropped
from .fastdrop import Contender, Variant, floors, timed_isas
from .rivals import NUMPYS_OWN

Shape = tuple[int, ...]

_STEPS, _BATCH, _SIDE = 64, 32, 16  # at most

# A call, from the case, x and y of its shape, and the noise shape.
_Make = Callable[[Case, NDArray[Any], NDArray[Any], Shape], Callable[[], NDArray[Any]]]


def shapes(case: Case) -> tuple[Shape, Shape]:
    """Shape and noise shape: (N, C, H, W) with a decision for a channel, or (T, B, F) with one for all T."""
    if case.operation == "channel":
        side = max(side for side in range(1, _SIDE + 1) if case.size % side**2 == 0)
        shape = IMAGES.get(case.size, (1, case.size // side**2, side, side))
        return shape, (*shape[:2], 1, 1)
    steps = _divisor(case.size, _STEPS)
    batch = _divisor(case.size // steps, _BATCH)
    features = case.size // (steps * batch)
    return (steps, batch, features), (1, batch, features)


def _divisor(number: int, limit: int) -> int:
    return next(divisor for divisor in range(limit, 0, -1) if number % divisor == 0)


def shared(case: Case, quick: bool) -> list[Contender]:
    """Dropout with a noise shape, and NumPy's ways to it: a small mask, broadcast."""
    ours, numpy = ("fastdrop", fastdrop.__version__), ("numpy", np.__version__)
    best, *others = timed_isas(quick)
    job = "a new mask every call; output reused"
    return [
        *floors(),
        contender(f"fastdrop {best}", *ours, job, _forward, isa=best),
        contender(
            f"fastdrop {best} given mask", *ours, "mask.apply; output reused", _given, isa=best, fresh=False
        ),
        *(contender(f"fastdrop {isa}", *ours, job, _forward, isa=isa) for isa in others),
        contender(
            "numpy textbook",
            *numpy,
            "x * (rng.random(noise_shape) >= p) / (1 - p)",
            _textbook,
            dtypes=NUMPYS_OWN,  # from bfloat16 it makes float32
        ),
        contender("numpy best", *numpy, "np.multiply(x, scaled mask of noise_shape, out=y)", _best),
    ]


def contender(
    name: str,
    family: str,
    version: str,
    job: str,
    make: _Make,
    *,
    isa: str | None = None,
    fresh: bool = True,
    **more: Any,
) -> Contender:
    """A contender whose answer shares its decisions as the case says."""

    def build(case: Case, data: Data) -> Job:
        shape, noise_shape = shapes(case)
        run = make(case, data.x.reshape(shape), data.y.reshape(shape), noise_shape)
        setting = Variant(isa or fastdrop.isas()[0])
        return Job(run, lambda: Answer(run().ravel()), lambda: setting.prepare(case), fresh)

    return Contender(
        name, family, version, job, build, functools.partial(dropped, decisions=_decisions), **more
    )


def _decisions(case: Case, keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One for every entry of the noise shape; InvalidAnswerError unless the elements that share it agree."""
    shape, noise_shape = shapes(case)
    keep = keep.reshape(shape)
    first = keep[tuple(map(slice, noise_shape))]
    if not np.array_equal(keep, np.broadcast_to(first, shape)):
        raise InvalidAnswerError(f"decisions of {shape} are not shared as {noise_shape} says")
    return first.ravel()


# --- Calls ----------------------------------------------------------------------------------------


def _forward(case: Case, x: NDArray[Any], y: NDArray[Any], noise_shape: Shape) -> Callable[[], NDArray[Any]]:
    masks, dropout, p = fastdrop.MaskGenerator(0), fastdrop.dropout, case.p
    return lambda: dropout(x, p, rng=masks, noise_shape=noise_shape, out=y)[0]


def _given(case: Case, x: NDArray[Any], y: NDArray[Any], noise_shape: Shape) -> Callable[[], NDArray[Any]]:
    apply = fastdrop.Mask(x.shape, case.p, noise_shape=noise_shape, seed=0).apply
    return lambda: apply(x, out=y)


def _textbook(case: Case, x: NDArray[Any], y: NDArray[Any], noise_shape: Shape) -> Callable[[], NDArray[Any]]:
    rng, p = np.random.default_rng(0), case.p
    return lambda: x * (rng.random(noise_shape) >= p) / (1 - p)


def _best(case: Case, x: NDArray[Any], y: NDArray[Any], noise_shape: Shape) -> Callable[[], NDArray[Any]]:
    rng, scale = np.random.default_rng(0), x.dtype.type(1 / (1 - case.p))
    uniform, mask = np.empty(noise_shape, drawn(x.dtype)), np.empty(noise_shape, x.dtype)

    def run() -> NDArray[Any]:
        rng.random(out=uniform, dtype=uniform.dtype)
        np.greater_equal(uniform, case.p, out=mask)
        np.multiply(mask, scale, out=mask)
        np.multiply(x, mask, out=y)
        return y

    return run
