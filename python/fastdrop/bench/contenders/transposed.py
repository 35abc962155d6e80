# SPDX-License-Identifier: BSD-3-Clause
"""The case about layouts: a matrix that lies transposed, and NumPy's own copy of the same view."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from .. import validity
from ..cases import Case, Choice, Data
from ..goals import COPY_TRANSPOSED, COPY_TRANSPOSED_ALIKE, FLOOR
from ..job import Answer, Job, fastdrop_with
from .contender import FASTDROP, Call, Contender
from .floors import LIBC, NUMPYS_COPY, memcpy_call

# A call, from the case, x.T and the array for its result.
_Make = Callable[[Case, NDArray[Any], NDArray[Any]], Call]


def transposed(case: Case, choice: Choice) -> list[Contender]:
    """Everybody reads x.T; the first is the floor of those that write C order."""
    isa = choice.isas[0]

    def copy(case: Case, x: NDArray[Any], out: NDArray[Any]) -> Call:
        return functools.partial(np.copyto, out, x)

    def memcpy(case: Case, x: NDArray[Any], out: NDArray[Any]) -> Call:
        return memcpy_call(out.T, x.T)

    def apply(case: Case, x: NDArray[Any], out: NDArray[Any]) -> Call:
        return functools.partial(fastdrop.Mask(x.shape, case.p, seed=0).apply, x, out=out)

    in_order, alike = "a given mask; result in C order", "a given mask; result lies as x.T does"
    return [
        _contender(COPY_TRANSPOSED, NUMPYS_COPY, "a copy in C order", copy, "y", isa),
        _contender(COPY_TRANSPOSED_ALIKE, NUMPYS_COPY, "a copy that lies as x.T does", copy, "y.T", isa),
        _contender(FLOOR, LIBC, "memcpy of the same arrays", memcpy, "y.T", isa),
        _contender("mask.apply(x.T, out=y)", FASTDROP, in_order, apply, "y", isa),
        _contender("mask.apply(x.T, out=y.T)", FASTDROP, alike, apply, "y.T", isa),
        _contender("mask.apply(x.T, out=x.T)", FASTDROP, "a given mask; in place", apply, "x.T", isa),
    ]


def _contender(
    name: str, made_by: tuple[str, str], job: str, make: _Make, result: str, isa: str
) -> Contender:
    """A contender whose result goes into a matrix y in C order, into y.T or into x.T."""

    def build(case: Case, data: Data) -> Job:
        # As near to square as the size allows.
        rows = next(rows for rows in range(math.isqrt(case.size), 0, -1) if case.size % rows == 0)
        x = data.x.reshape(rows, -1).T
        if result == "x.T":
            x = out = x.copy(order="F")  # of its own: the others need x as it is
        else:
            out = data.y.reshape(x.shape) if result == "y" else data.y.reshape(rows, -1).T
        run = make(case, x, out)

        def answer() -> Answer:
            out[...] = data.x.reshape(rows, -1).T if out is x else 0
            run()
            return Answer(out.T.ravel())

        return Job(run, answer, lambda: fastdrop_with(isa, case.threads), fresh=False)

    check = validity.copied if made_by[0] == "floor" else validity.dropped
    return Contender(name, *made_by, job, build, check)


CONTENDERS = {"transposed": transposed}
