# SPDX-License-Identifier: BSD-3-Clause
"""The case about stored masks: the backward pass by bits that were kept, and by the generator's replay."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from ..cases import Case, Data
from ..goals import REPLAY, STORED
from ..job import Answer, Job
from .fastdrop import Contender, Variant, floors, timed_isas
from .rivals import NUMPYS_OWN

# A backward pass, from the case, its data and the mask; of x into y, so that answers are looked at as ever.
_Make = Callable[[Case, Data, fastdrop.Mask], Callable[[], NDArray[Any]]]


def stored(quick: bool) -> list[Contender]:
    """Everybody has the same mask, in a form of their own, made before anything is timed."""
    ours, numpy = ("fastdrop", fastdrop.__version__), ("numpy", np.__version__)
    return [
        *floors(),
        *(
            _contender(f"fastdrop {isa}{suffix}", *ours, job, make, isa=isa)
            for isa in timed_isas(quick)
            for suffix, job, make in (
                (STORED, "dropout_backward by Mask.from_array: a bit an element; output reused", _stored),
                (REPLAY, "dropout_backward by the mask of the forward pass; output reused", _replay),
            )
        ),
        _contender("numpy bools", *numpy, "dy * keep / (1 - p)", _bools, dtypes=NUMPYS_OWN),
        _contender("numpy floats", *numpy, "np.multiply(dy, scaled mask, out=dx)", _floats),
        _contender("numpy bits", *numpy, "np.unpackbits, then two np.multiply with out=dx", _bits),
    ]


def _contender(
    name: str, family: str, version: str, job: str, make: _Make, *, isa: str | None = None, **more: Any
) -> Contender:
    def build(case: Case, data: Data) -> Job:
        run = make(case, data, fastdrop.Mask(case.size, case.p, seed=0))
        setting = Variant(isa or fastdrop.isas()[0])
        return Job(run, lambda: Answer(run()), lambda: setting.prepare(case), fresh=False)

    return Contender(name, family, version, job, build, **more)


def _stored(case: Case, data: Data, mask: fastdrop.Mask) -> Callable[[], NDArray[Any]]:
    return _replay(case, data, fastdrop.Mask.from_array(mask.to_numpy(), case.p))


def _replay(case: Case, data: Data, mask: fastdrop.Mask) -> Callable[[], NDArray[Any]]:
    dy, dx, backward = data.x, data.y, fastdrop.dropout_backward
    return lambda: backward(dy, mask, out=dx)


def _bools(case: Case, data: Data, mask: fastdrop.Mask) -> Callable[[], NDArray[Any]]:
    dy, keep, p = data.x, mask.to_numpy(), case.p
    return lambda: dy * keep / (1 - p)


def _floats(case: Case, data: Data, mask: fastdrop.Mask) -> Callable[[], NDArray[Any]]:
    dy, dx = data.x, data.y
    scaled = mask.to_numpy() * dy.dtype.type(1 / (1 - case.p))
    return lambda: np.multiply(dy, scaled, out=dx)


def _bits(case: Case, data: Data, mask: fastdrop.Mask) -> Callable[[], NDArray[Any]]:
    dy, dx, bits = data.x, data.y, mask.to_bits()
    scale = dy.dtype.type(1 / (1 - case.p))

    def run() -> NDArray[Any]:
        keep = np.unpackbits(bits, count=dy.size, bitorder="little").view(bool)
        np.multiply(dy, scale, out=dx)
        np.multiply(dx, keep, out=dx)
        return dx

    return run
