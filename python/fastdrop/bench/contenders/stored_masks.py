# SPDX-License-Identifier: BSD-3-Clause
"""The case about stored masks: the backward pass by bits that were kept, and by the generator's replay."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from ..cases import Case, Choice, Data
from ..goals import REPLAY, STORED
from .contender import FASTDROP, NUMPY, NUMPYS_OWN, Call, Contender, single_call
from .floors import floors

# A backward pass, from the case, its data and the mask.
_Make = Callable[[Case, Data, fastdrop.Mask], Call]


def stored_masks(case: Case, choice: Choice) -> list[Contender]:
    """Everybody has the same mask, in a form of their own, made before anything is timed."""
    stored = "dropout_backward by Mask.from_array: a bit an element; output reused"
    replay = "dropout_backward by the mask of the forward pass; output reused"
    ours: list[tuple[str, str, _Make]] = [(STORED, stored, _stored), (REPLAY, replay, _replay)]
    return [
        *floors(),
        *(
            _contender(f"fastdrop {isa}{suffix}", FASTDROP, job, make, isa=isa)
            for isa in choice.isas
            for suffix, job, make in ours
        ),
        _contender("numpy bools", NUMPY, "dy * keep / (1 - p)", _bools, dtypes=NUMPYS_OWN),
        _contender("numpy floats", NUMPY, "np.multiply(dy, scaled mask, out=dx)", _floats),
        _contender("numpy bits", NUMPY, "np.unpackbits, then two np.multiply with out=dx", _bits),
    ]


def _contender(name: str, made_by: tuple[str, str], job: str, make: _Make, **options: Any) -> Contender:
    def call(case: Case, data: Data) -> Call:
        return make(case, data, fastdrop.Mask(case.size, case.p, seed=0))

    return single_call(name, made_by, job, call, **options)


def _stored(case: Case, data: Data, mask: fastdrop.Mask) -> Call:
    return _replay(case, data, fastdrop.Mask.from_array(mask.to_numpy(), case.p))


def _replay(case: Case, data: Data, mask: fastdrop.Mask) -> Call:
    dy, dx, backward = data.x, data.y, fastdrop.dropout_backward
    return lambda: backward(dy, mask, out=dx)


def _bools(case: Case, data: Data, mask: fastdrop.Mask) -> Call:
    dy, keep, p = data.x, mask.to_numpy(), case.p
    return lambda: dy * keep / (1 - p)


def _floats(case: Case, data: Data, mask: fastdrop.Mask) -> Call:
    dy, dx = data.x, data.y
    scaled = mask.to_numpy() * dy.dtype.type(1 / (1 - case.p))
    return lambda: np.multiply(dy, scaled, out=dx)


def _bits(case: Case, data: Data, mask: fastdrop.Mask) -> Call:
    dy, dx, bits = data.x, data.y, mask.to_bits()
    scale = dy.dtype.type(1 / (1 - case.p))

    def run() -> NDArray[Any]:
        keep = np.unpackbits(bits, count=dy.size, bitorder="little").view(bool)
        np.multiply(dy, scale, out=dx)
        np.multiply(dx, keep, out=dx)
        return dx

    return run


CONTENDERS = {"stored_masks": stored_masks}
