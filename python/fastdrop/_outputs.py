# SPDX-License-Identifier: BSD-3-Clause
"""Whether `out` can take a result."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _checks


def check_out(out: Any, x: NDArray[Any], name: str, own: str = "out") -> None:
    """That `out`, whose own name may be another one, can take the result for `x`."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{own} must be a numpy.ndarray, not {_checks.describe(out)}")
    _checks.refuse_masked(out, own)
    if out.dtype.newbyteorder("=") != x.dtype.newbyteorder("="):
        raise TypeError(f"{own} must have the dtype of {name}, {x.dtype}, not {out.dtype}")
    if out.shape != x.shape:
        raise ValueError(f"{own} must have the shape of {name}, {x.shape}, not {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{own} must be writeable, not a read-only array")
    if _overlaps_itself(out):
        raise ValueError(f"{own} must have its own memory for every element, not the strides {out.strides}")


def check_overlap(out: NDArray[Any], x: NDArray[Any], name: str, own: str = "out") -> None:
    """That `out` is `x`, element by element, or shares no memory with it."""
    # NumPy is asked first: for two arrays that lie apart its answer takes a tenth of the time of the other.
    if shares_memory(out, x) and not same_memory(out, x):
        raise ValueError(f"{own} must be {name} itself or not overlap it, not share a part of its memory")


def shares_memory(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays have a byte in common, or whether that is not known."""
    # Whether two arrays overlap is NP-hard to say; slices of one array take a single step. What is not
    # settled in this many steps, some milliseconds, counts as overlapping.
    return np.may_share_memory(a, b, max_work=10_000)  # type: ignore[arg-type]


def _overlaps_itself(array: NDArray[Any]) -> bool:
    """Whether elements may share memory, which no slice or transpose of a contiguous array's do.

    In the order of rising strides, each axis must step over all that the axes before it reach.
    """
    axes = [axis for axis in zip(array.strides, array.shape, strict=True) if axis[1] > 1]
    reach = array.itemsize
    for stride, length in sorted((abs(stride), length) for stride, length in axes):
        if stride < reach:
            return array.size > 0
        reach += stride * (length - 1)
    return False


def same_memory(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether every element of `a` is the same one of `b`."""
    if a.shape != b.shape:
        return False
    axes = zip(a.shape, a.strides, b.strides, strict=True)
    return (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.dtype == b.dtype
        and all(first == second for length, first, second in axes if length > 1)
    )
