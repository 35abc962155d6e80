# SPDX-License-Identifier: BSD-3-Clause
"""Windows of a mask: strides in index space, and the indices that cut them."""

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, TypeAlias

from . import _checks

NoiseShape: TypeAlias = Sequence[int | None] | None
Index: TypeAlias = int | slice | EllipsisType | tuple[int | slice | EllipsisType, ...]


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in C order; 0 for an axis of length 1, whose stride is never used, so that equals are equal."""
    strides, stride = [], 1
    for length in reversed(shape):
        strides.append(0 if length == 1 else stride)
        stride *= length
    return tuple(reversed(strides))


def strides_of(shape: tuple[int, ...], noise_shape: NoiseShape) -> tuple[int, ...] | None:
    """Strides in index space that share a decision where the noise shape does; None for C order."""
    if noise_shape is None:
        return None
    strides = c_strides(_checks.noise_shape(noise_shape, shape))
    return None if strides == c_strides(shape) else strides


def entries_of(index: Any, ndim: int) -> list[Any]:
    """One integer or slice for every axis."""
    entries = list(index) if isinstance(index, tuple) else [index]
    for position, entry in enumerate(entries):
        if entry is not Ellipsis and not isinstance(entry, slice):
            entries[position] = _checks.index(entry, "a mask's index")
    if entries.count(Ellipsis) > 1:
        raise IndexError("a mask's index can have one '...' only")
    missing = ndim - (len(entries) - entries.count(Ellipsis))
    if missing < 0:
        raise IndexError(f"a mask of {ndim} axes has been indexed with {ndim - missing}")
    position = entries.index(Ellipsis) if Ellipsis in entries else len(entries)
    entries[position : position + 1] = [slice(None)] * missing
    return entries
