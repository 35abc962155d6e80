# SPDX-License-Identifier: BSD-3-Clause
"""Values of a mask, p and the scale: one for all elements, or broadcast along axes."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._windows import AxisIndex, c_strides, slice_window

# As users give and see it.
ScalarOrArray: TypeAlias = float | NDArray[np.float64]


class Broadcast(NamedTuple):
    """Values that repeat along axes of the mask, as the core reads them."""

    values: bytes  # of float64 in C order; bytes compare, hash and pickle, and cannot be changed
    start: int  # position of the window's first value
    strides: tuple[int, ...]  # along the mask's axes, in values


Value: TypeAlias = float | Broadcast


def scale_for(p: Value, inverted: bool) -> Value:
    """What a mask of that p multiplies by where it keeps; 0 for p = 1, which keeps nothing."""
    if not inverted:
        return 1.0
    if isinstance(p, float):
        return 1.0 / (1.0 - p) if p < 1 else 0.0
    values = np.frombuffer(p.values)
    scale = np.divide(1.0, 1.0 - values, out=np.zeros_like(values), where=values < 1)
    return Broadcast(scale.tobytes(), p.start, p.strides)


def keep_probability(p: Value) -> Value:
    """``1 - p``."""
    if isinstance(p, float):
        return 1.0 - p
    return Broadcast((1.0 - np.frombuffer(p.values)).tobytes(), p.start, p.strides)


def broadcast_value(value: ScalarOrArray, noise_shape: tuple[int, ...]) -> Value:
    """A value for every element of that shape."""
    if isinstance(value, float):
        return value
    _checks.check_broadcast(value, noise_shape, "p")
    if value.size == 1:
        return float(value.item())
    strides = (0,) * (len(noise_shape) - value.ndim) + c_strides(value.shape)
    return Broadcast(value.tobytes(), 0, strides)


def slice_value(value: Value, index: list[AxisIndex]) -> Value:
    """The value in a window of the mask."""
    if isinstance(value, float):
        return value
    values, start, strides = value
    start, strides = slice_window(start, strides, index)
    if any(strides):
        return Broadcast(values, start, strides)
    # One value for the whole window. A window without elements has none.
    return float(np.frombuffer(values)[start]) if start < len(values) // 8 else 0.0


def view_value(value: Value, shape: tuple[int, ...]) -> ScalarOrArray:
    """The value as users see it: a float, or a read-only array of that shape."""
    if isinstance(value, float):
        return value
    values, start, strides = value
    view: NDArray[Any] = np.ndarray(shape, np.float64, values, 8 * start, tuple(8 * n for n in strides))
    return view
