# SPDX-License-Identifier: BSD-3-Clause
"""The rates of a mask, p and the scale that p gives: constant, or broadcast along axes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._windows import AxisIndex, c_strides, slice_window

# As users give and see it.
ScalarOrArray: TypeAlias = float | NDArray[np.float64]

# As the core reads it. Broadcast: values in C order (as bytes, which compare, hash and pickle, and cannot be
# changed), the position of the window's first one, and the strides along the mask's axes, in values.
Broadcast: TypeAlias = tuple[bytes, int, tuple[int, ...]]
Rate: TypeAlias = float | Broadcast


def p_and_scale(p: Any, keep_prob: Any, inverted: bool) -> tuple[ScalarOrArray, ScalarOrArray]:
    """The probability of dropping from its two spellings, and the scale of what is kept."""
    checked = _checks.drop_probability(p, keep_prob)
    return checked, scale_from_p(checked, inverted)


def scale_from_p(p: ScalarOrArray, inverted: bool) -> ScalarOrArray:
    """What a mask of that p multiplies by where it keeps; 0 for p = 1, which keeps nothing."""
    if not inverted:
        return 1.0
    if isinstance(p, float):
        return 1.0 / (1.0 - p) if p < 1 else 0.0
    return np.divide(1.0, 1.0 - p, out=np.zeros_like(p), where=p < 1)


def broadcast_rate(value: ScalarOrArray, noise_shape: tuple[int, ...]) -> Rate:
    """A rate for every element of that shape."""
    if isinstance(value, float):
        return value
    _checks.check_broadcast(value, noise_shape, "p")
    if value.size == 1:
        return float(value.item())
    return value.tobytes(), 0, (0,) * (len(noise_shape) - value.ndim) + c_strides(value.shape)


def slice_rate(rate: Rate, index: list[AxisIndex]) -> Rate:
    """The rate in a window of the mask."""
    if isinstance(rate, float):
        return rate
    values, start, strides = rate
    start, strides = slice_window(start, strides, index)
    if any(strides):
        return values, start, strides
    # One value for the whole window. A window without elements has none.
    return float(np.frombuffer(values)[start]) if start < len(values) // 8 else 0.0


def view_rate(rate: Rate, shape: tuple[int, ...]) -> ScalarOrArray:
    """The rate as users see it: a float, or a read-only array of that shape."""
    if isinstance(rate, float):
        return rate
    values, start, strides = rate
    view: NDArray[Any] = np.ndarray(shape, np.float64, values, 8 * start, tuple(8 * n for n in strides))
    return view
