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
from ..cases import Case, Data
from ..goals import COPY_TRANSPOSED, COPY_TRANSPOSED_ALIKE, FLOOR
from ..job import Answer, Job
from .fastdrop import LIBC, Contender, memcpy_call

# A call, from the case, x.T and the array for its result.
_Make = Callable[[Case, NDArray[Any], NDArray[Any]], Callable[[], object]]


def transposed() -> list[Contender]:
    """Everybody reads x.T; the first is the floor of those that write C order."""

    def copy(case: Case, x: NDArray[Any], out: NDArray[Any]) -> Callable[[], object]:
        return functools.partial(np.copyto, out, x)

    def memcpy(case: Case, x: NDArray[Any], out: NDArray[Any]) -> Callable[[], object]:
        return memcpy_call(out.T, x.T)

    def apply(case: Case, x: NDArray[Any], out: NDArray[Any]) -> Callable[[], object]:
        return functools.partial(fastdrop.Mask(x.shape, case.p, seed=0).apply, x, out=out)

    ours = ("fastdrop", fastdrop.__version__)
    floor = ("floor", np.__version__)
    return [
        _contender(COPY_TRANSPOSED, *floor, "a copy in C order", copy, "y"),
        _contender(COPY_TRANSPOSED_ALIKE, *floor, "a copy that lies as x.T does", copy, "y.T"),
        _contender(FLOOR, "floor", LIBC, "memcpy of the same arrays", memcpy, "y.T"),
        _contender("mask.apply(x.T, out=y)", *ours, "a given mask; result in C order", apply, "y"),
        _contender("mask.apply(x.T, out=y.T)", *ours, "a given mask; result lies as x.T does", apply, "y.T"),
        _contender("mask.apply(x.T, out=x.T)", *ours, "a given mask; in place", apply, "x.T"),
    ]


def _contender(name: str, family: str, version: str, job: str, make: _Make, result: str) -> Contender:
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

        def prepare() -> None:
            fastdrop.use_isa(fastdrop.isas()[0])
            fastdrop.set_num_threads(case.threads)

        return Job(run, answer, prepare, fresh=False)

    check = validity.copied if family == "floor" else validity.dropped
    return Contender(name, family, version, job, build, check)
