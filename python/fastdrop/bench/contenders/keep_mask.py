# SPDX-License-Identifier: BSD-3-Clause
"""The mask itself as an array of bool: fastdrop's, and NumPy's ways to draw one."""

import ctypes
import functools

import numpy as np
from numpy.typing import NDArray

import fastdrop

from .. import validity
from ..cases import BOOL, Case, Choice, Data
from .contender import FASTDROP, NUMPY, Call, Contender, single_call
from .floors import LIBC

MEMSET = "memset"


def keep_masks(case: Case, choice: Choice) -> list[Contender]:
    """Everybody writes an array of bool; the floor writes ones."""
    one_call = functools.partial(single_call, check=validity.drawn, dtypes=(BOOL,))
    job, textbook = "mask.to_numpy() of a given mask; a new array every call", "rng.random(n) >= p"
    best = "rng.random in float32, np.greater_equal; out= in both"
    return [
        single_call(MEMSET, LIBC, "memset of the same array", _memset, check=validity.copied, dtypes=(BOOL,)),
        *(one_call(f"fastdrop {isa}", FASTDROP, job, _to_numpy, isa=isa) for isa in choice.isas),
        one_call("numpy textbook", NUMPY, textbook, _textbook, fresh=True),
        one_call("numpy best", NUMPY, best, _best, fresh=True),
    ]


def _memset(case: Case, data: Data) -> Call:
    memset = ctypes.CDLL(None).memset
    memset.restype = None
    data.y[:] = False
    return functools.partial(
        memset, ctypes.c_void_p(data.y.ctypes.data), ctypes.c_int(True), ctypes.c_size_t(data.y.nbytes)
    )


def _to_numpy(case: Case, data: Data) -> Call:
    return fastdrop.Mask(case.size, case.p, seed=0).to_numpy


def _textbook(case: Case, data: Data) -> Call:
    rng, size, p = np.random.default_rng(0), case.size, case.p
    return lambda: rng.random(size) >= p


def _best(case: Case, data: Data) -> Call:
    rng, p, keep, uniform = np.random.default_rng(0), case.p, data.y, np.empty(case.size, np.float32)

    def run() -> NDArray[np.bool_]:
        rng.random(out=uniform, dtype=np.float32)
        np.greater_equal(uniform, p, out=keep)
        return keep

    return run


CONTENDERS = {"keep_mask": keep_masks}
