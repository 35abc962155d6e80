# SPDX-License-Identifier: BSD-3-Clause
"""What any pass over the arrays must cost: copying them."""

import ctypes
import functools
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validity
from ..cases import Case, Data
from ..goals import COPY, FLOOR
from ..job import Answer, Job
from .contender import Call, Contender, single_call

LIBC = ("floor", " ".join(platform.libc_ver()))  # family and version
NUMPYS_COPY = ("floor", np.__version__)

_Copier = Callable[[NDArray[Any], NDArray[Any]], Call]


def floors() -> list[Contender]:
    """Copies of x, of dy or of both, as the case has it."""
    rows: list[tuple[str, tuple[str, str], _Copier]] = [
        (FLOOR, LIBC, memcpy_call),
        (COPY, NUMPYS_COPY, lambda to, source: functools.partial(np.copyto, to, source)),
    ]
    return [
        Contender(
            name,
            *made_by,
            f"{name} of the same arrays",
            functools.partial(_copies, copier=copier),
            check=validity.copied,
        )
        for name, made_by, copier in rows
    ]


def single_memcpy() -> Contender:
    """The floor of the cases that only read x and write y."""

    def make(case: Case, data: Data) -> Call:
        data.y[:] = 0
        return memcpy_call(data.y, data.x)

    return single_call(FLOOR, LIBC, "memcpy of the same arrays", make, check=validity.copied)


def one_copy() -> Contender:
    """The floor that goals of operations on rows are multiples of."""

    def make(case: Case, data: Data) -> Call:
        return functools.partial(np.copyto, data.y, data.x)

    return single_call(COPY, NUMPYS_COPY, "np.copyto of one array", make, check=validity.copied)


def all_bytes() -> Contender:
    """A copy that moves as much as the operation must."""

    def build(case: Case, data: Data) -> Job:
        assert case.moved_bytes is not None
        source = np.resize(data.x, case.moved_bytes // (2 * data.x.itemsize))
        to = np.ones_like(source)
        run = memcpy_call(to, source)

        def answer() -> Answer:
            run()
            return Answer(to[: case.size])

        return Job(run, answer)

    job = "memcpy of as many bytes as must be read and written"
    return Contender(f"{FLOOR} of all bytes", *LIBC, job, build, validity.copied)


def memcpy_call(to: NDArray[Any], source: NDArray[Any]) -> Call:
    """A call of memcpy with its arguments converted beforehand: as little between it and Python as can be."""
    memcpy = ctypes.CDLL(None).memcpy
    memcpy.restype = None
    return functools.partial(
        memcpy,
        to.ctypes.data_as(ctypes.c_void_p),  # which keep the arrays
        source.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_size_t(to.nbytes),
    )


def _copies(case: Case, data: Data, copier: _Copier) -> Job:
    forward, backward = copier(data.y, data.x), copier(data.dx, data.dy)

    def both() -> None:
        forward()
        backward()

    run = {"backward": backward, "both": both}.get(str(case.direction), forward)

    def answer() -> Answer:
        run()
        return Answer(
            None if case.direction == "backward" else data.y,
            data.dx if case.direction in ("backward", "both") else None,
        )

    return Job(run, answer)
