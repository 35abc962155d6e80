# SPDX-License-Identifier: BSD-3-Clause
"""Windows of a mask: strides in index space, and the indices that cut them."""

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, TypeAlias

from . import _checks

NoiseShape: TypeAlias = Sequence[int | None] | None
Pick: TypeAlias = int | range
Index: TypeAlias = int | slice | EllipsisType | tuple[int | slice | EllipsisType, ...]


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in C order; 0 for an axis of length 1, whose stride is never used, so that equals are equal."""
    strides, stride = [], 1
    for length in reversed(shape):
        strides.append(0 if length == 1 else stride)
        stride *= length
    return tuple(reversed(strides))


def strides_of(shape: tuple[int, ...], noise_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Strides in index space that share a decision where the noise shape does; None for C order."""
    return None if noise_shape == shape else plain(c_strides(noise_shape), shape)


def plain(strides: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides, or None if they are those of C order."""
    return None if strides == c_strides(shape) else strides


def cut(start: int, strides: tuple[int, ...], picks: list[Pick]) -> tuple[int, tuple[int, ...]]:
    """Start and strides of a window: 0 along axes of length 1, and everywhere if it has no elements."""
    ranges = [(stride, pick) for stride, pick in zip(strides, picks, strict=True) if isinstance(pick, range)]
    if not all(pick for _, pick in ranges):
        return 0, (0,) * len(ranges)
    first = (pick.start if isinstance(pick, range) else pick for pick in picks)
    start += sum(stride * place for stride, place in zip(strides, first, strict=True))
    return start, tuple(stride * pick.step if len(pick) > 1 else 0 for stride, pick in ranges)


def picks_of(index: Any, shape: tuple[int, ...]) -> list[Pick]:
    """What a basic index picks of every axis."""
    picks: list[Pick] = []
    for length, entry in zip(shape, _entries(index, len(shape)), strict=True):
        if isinstance(entry, slice):
            picks.append(range(length)[entry])
        elif -length <= entry < length:
            picks.append(entry % length)
        else:
            given = _checks._shown(entry)
            raise IndexError(f"a mask's index must be within the axis of length {length}, not {given}")
    return picks


def _entries(index: Any, ndim: int) -> list[Any]:
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
