# SPDX-License-Identifier: BSD-3-Clause
"""What p and the scale are for a mask: one number, or one that varies along its axes."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._windows import Pick, c_strides, cut

Rate: TypeAlias = float | NDArray[np.float64]

# Values in C order (as bytes, which compare, hash and pickle, and cannot be changed), then which of them the
# first element has, and the strides along the mask's axes.
Varying: TypeAlias = tuple[bytes, int, tuple[int, ...]]
Number: TypeAlias = float | Varying


def scale_of(p: Rate, inverted: bool) -> Rate:
    """What a mask of that p multiplies by where it keeps; with p = 1 it keeps nothing."""
    if not inverted:
        return 1.0
    if isinstance(p, float):
        return 1.0 / (1.0 - p) if p < 1 else 0.0
    return np.divide(1.0, 1.0 - p, out=np.zeros_like(p), where=p < 1)


def number_of(rate: Rate, noise_shape: tuple[int, ...]) -> Number:
    """A rate for every element of that shape."""
    if isinstance(rate, float):
        return rate
    _checks.fits(rate, noise_shape, "p")
    if rate.size == 1:
        return float(rate.item())
    return rate.tobytes(), 0, (0,) * (len(noise_shape) - rate.ndim) + c_strides(rate.shape)


def part_of(number: Number, picks: list[Pick]) -> Number:
    """The number in a window of the mask."""
    if isinstance(number, float):
        return number
    values, start, strides = number
    start, strides = cut(start, strides, picks)
    if any(strides):
        return values, start, strides
    return (
        float(np.frombuffer(values)[start]) if start < len(values) // 8 else 0.0
    )  # a window without elements


def rate_of(number: Number, shape: tuple[int, ...]) -> Rate:
    """The number as users see it: a float, or a read-only array of that shape."""
    if isinstance(number, float):
        return number
    values, start, strides = number
    view: NDArray[Any] = np.ndarray(shape, np.float64, values, 8 * start, tuple(8 * n for n in strides))
    return view
