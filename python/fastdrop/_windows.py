# SPDX-License-Identifier: BSD-3-Clause
"""Windows of a mask or of noise: strides in index space, and the basic indices that select them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import EllipsisType
from typing import Any, TypeAlias

from . import _checks

NoiseShape: TypeAlias = Sequence[int | None] | None
Index: TypeAlias = int | slice | EllipsisType | tuple[int | slice | EllipsisType, ...]

# What an index selects along one axis: one element, or a range of them.
AxisIndex: TypeAlias = int | range


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in C order; 0 for an axis of length 1, whose stride is never used, so that equals are equal."""
    strides, stride = [], 1
    for length in reversed(shape):
        strides.append(0 if length == 1 else stride)
        stride *= length
    return tuple(reversed(strides))


def noise_strides(shape: tuple[int, ...], noise_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Strides in index space that share a decision where the noise shape does; None for C order."""
    return None if noise_shape == shape else none_if_c_order(c_strides(noise_shape), shape)


def noise_window(
    shape: tuple[int, ...], noise_shape: Sequence[int | None]
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """The lengths of a noise shape for an array of that shape, and its strides."""
    # A bool is equal to an integer, so that it would be found, but it is not one.
    if type(noise_shape) is tuple and _LENGTHS.issuperset(map(type, noise_shape)):
        return _known_noise_window(shape, noise_shape)
    lengths = _checks.noise_shape(noise_shape, shape)
    return lengths, noise_strides(shape, lengths)


_LENGTHS = {int, type(None)}


@functools.lru_cache(maxsize=1024)  # as in training: the same few shapes at every step
def _known_noise_window(
    shape: tuple[int, ...], noise_shape: tuple[int | None, ...]
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    lengths = _checks.noise_shape(noise_shape, shape)
    return lengths, noise_strides(shape, lengths)


def none_if_c_order(strides: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides, or None if they are those of C order."""
    return None if strides == c_strides(shape) else strides


def slice_window(start: int, strides: tuple[int, ...], index: list[AxisIndex]) -> tuple[int, tuple[int, ...]]:
    """Start and strides of a window: 0 along axes of length 1, and everywhere if it has no elements."""
    ranges = [(stride, axis) for stride, axis in zip(strides, index, strict=True) if isinstance(axis, range)]
    if not all(axis for _, axis in ranges):
        return 0, (0,) * len(ranges)
    first = (axis.start if isinstance(axis, range) else axis for axis in index)
    start += sum(stride * position for stride, position in zip(strides, first, strict=True))
    return start, tuple(stride * axis.step if len(axis) > 1 else 0 for stride, axis in ranges)


def parse_index(index: Any, shape: tuple[int, ...]) -> list[AxisIndex]:
    """What a basic index selects along every axis."""
    parsed: list[AxisIndex] = []
    for length, entry in zip(shape, _entries(index, len(shape)), strict=True):
        if isinstance(entry, slice):
            parsed.append(range(length)[entry])
        elif -length <= entry < length:
            parsed.append(entry % length)
        else:
            given = _checks.abbreviate(entry)
            raise IndexError(f"an index must be within the axis of length {length}, not {given}")
    return parsed


def _integer(entry: Any) -> int:
    try:
        return _checks.index(entry, "an index")
    except TypeError as error:
        wanted = f"integers, slices and '...' only, not {_checks.describe(entry)}"
        remedy = "to_numpy() makes an array, which takes others"
        raise TypeError(f"an index must be {wanted}; {remedy}") from error.__cause__


def _entries(index: Any, ndim: int) -> list[Any]:
    """One integer or slice for every axis."""
    entries = list(index) if isinstance(index, tuple) else [index]
    for position, entry in enumerate(entries):
        if entry is not Ellipsis and not isinstance(entry, slice):
            entries[position] = _integer(entry)
    if entries.count(Ellipsis) > 1:
        raise IndexError("an index can have one '...' only")
    missing = ndim - (len(entries) - entries.count(Ellipsis))
    if missing < 0:
        raise IndexError(f"{ndim} axes have been indexed with {ndim - missing} entries")
    position = entries.index(Ellipsis) if Ellipsis in entries else len(entries)
    entries[position : position + 1] = [slice(None)] * missing
    return entries
