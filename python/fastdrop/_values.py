# SPDX-License-Identifier: BSD-3-Clause
"""Values of a mask, p and the scale: one for all elements, or broadcast along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _checks, _core
from ._windows import AxisIndex, c_strides, slice_window

# As users give and see it.
ScalarOrArray: TypeAlias = float | NDArray[np.float64]


class Broadcast(NamedTuple):
    """Values that repeat along axes of the mask, as the core reads them."""

    values: bytes  # of float64 in C order; bytes compare, hash and pickle, and cannot be changed
    start: int  # position of the window's first value
    strides: tuple[int, ...]  # along the mask's axes, in values


Value: TypeAlias = float | Broadcast


# A rate is a double that says the probabilities of dropping and of keeping. From 0 to 1 it is p. Below 0 it
# is -q, where q is the probability of keeping and no double is 1 - q (stream document, section 3). It is the
# p of the core's MaskState.


def keep_probability(rate: Value) -> Value:
    """The probability of keeping, without another rounding."""
    return _core.with_subnormals(_keep_probability, rate)


def _keep_probability(rate: Value) -> Value:
    if isinstance(rate, float):
        return -rate if rate < 0 else 1.0 - rate
    return _map(rate, lambda rates: np.where(rates < 0, -rates, 1.0 - rates))


def drop_probability(rate: Value) -> Value:
    """p, rounded to a double."""
    return _core.with_subnormals(_drop_probability, rate)


def _drop_probability(rate: Value) -> Value:
    if isinstance(rate, float):
        return 1.0 + rate if rate < 0 else rate
    return _map(rate, lambda rates: np.where(rates < 0, 1.0 + rates, rates))


def scale_for(rate: Value, inverted: bool) -> Value:
    """What a mask of that rate multiplies by where it keeps; 0 for p = 1, which keeps nothing."""
    if not inverted:
        return 1.0
    if isinstance(rate, float):
        if rate >= _checks.SMALLEST_NORMAL:  # in Python, which torch's compiler looks into
            return 1.0 / (1.0 - rate) if rate < 1.0 else 0.0
        return _core.scale(rate)
    return Broadcast(_core.scales(rate.values), rate.start, rate.strides)


def evaluation_rate(keep: Value) -> Value:
    """1 where that probability of keeping is 0, so that the zero is selected there; 0 elsewhere."""
    return _core.with_subnormals(_evaluation_rate, keep)


def _evaluation_rate(keep: Value) -> Value:
    if isinstance(keep, float):
        return 1.0 if keep == 0 else 0.0
    dropped = np.frombuffer(keep.values) == 0
    return _map(keep, lambda _: dropped.astype(np.float64)) if dropped.any() else 0.0


def _map(value: Broadcast, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Broadcast:
    values, start, strides = value
    return Broadcast(function(np.frombuffer(values)).tobytes(), start, strides)


def broadcast_value(value: ScalarOrArray, noise_shape: tuple[int, ...]) -> Value:
    """A value for every element of that shape."""
    if isinstance(value, float):
        return value
    _checks.check_broadcast(value, noise_shape, "p")
    if value.size == 1:
        return float(value.item())
    strides = (0,) * (len(noise_shape) - value.ndim) + c_strides(value.shape)
    return Broadcast(_core.value_bytes(value), 0, strides)


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
