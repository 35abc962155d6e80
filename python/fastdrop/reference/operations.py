# SPDX-License-Identifier: BSD-3-Clause
"""The arithmetic of results: one function for each row in the core's list of operations, and the rounding.

The first argument of a function is what is drawn: `keep`, True where an element is kept, or standard normal
numbers. The inputs and the constants follow in the order of the row. Every step is rounded by itself, to the
type that is computed with: the dtype of x, or float32 for values of 16 bits. Constants are rounded to that
type. A result of 16 bits is rounded once more when it is stored (``docs/stream.md``, sections 4, 7 and 8).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["OPERATIONS", "computed_with", "rounded", "scaled", "widened"]


def scaled(x: NDArray[Any], factor: Any) -> NDArray[Any]:
    """``round(x * factor)``. 16-bit values are multiplied in float32, whose result is rounded once more."""
    return rounded(widened(x) * factor, x.dtype)


def computed_with(dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype itself, but float32 for those of 16 bits."""
    return np.dtype(np.float32) if _is_half(dtype) else np.dtype(dtype)


def _is_half(dtype: DTypeLike) -> bool:
    return np.dtype(dtype).itemsize == 2


def widened(x: NDArray[Any]) -> NDArray[Any]:
    """Exactly: every float16 is a float32, and a bfloat16 (of kind "V") is the upper half of one."""
    if x.dtype.kind == "f":
        return x.astype(computed_with(x.dtype))
    bits = x.astype(x.dtype.newbyteorder("=")).view(np.uint16)
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def rounded(y: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """To nearest even. A NaN keeps its sign and the upper part of its fraction, and becomes quiet."""
    y, native = np.asarray(y), dtype.newbyteorder("=")
    if dtype.kind == "f":
        return y.astype(native)
    bits = y.view(np.uint32)
    carried = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    with np.errstate(invalid="ignore"):  # of a NaN that is not quiet
        is_nan = np.isnan(y)
    upper = np.where(is_nan, bits >> np.uint32(16) | np.uint32(0x40), carried >> np.uint32(16))
    return upper.astype(np.uint16).view(native)


def _constants(x: NDArray[Any], *values: ArrayLike) -> list[NDArray[Any]]:
    return [np.asarray(value, np.float64).astype(computed_with(x.dtype)) for value in values]


def dropout(keep: NDArray[np.bool_], x: NDArray[Any], scale: ArrayLike) -> NDArray[Any]:
    """``round(x * scale)`` where kept, and ``+0.0`` elsewhere: by select, so that no NaN survives."""
    with np.errstate(all="ignore"):
        (scale,) = _constants(x, scale)
        return np.where(keep, scaled(x, scale), np.zeros((), x.dtype))


def alpha_dropout(
    keep: NDArray[np.bool_], x: NDArray[Any], scale: ArrayLike, shift: ArrayLike, dropped: ArrayLike
) -> NDArray[Any]:
    """``round(round(x * scale) + shift)`` where kept, and ``dropped`` elsewhere."""
    with np.errstate(all="ignore"):
        scale, shift, dropped = _constants(x, scale, shift, dropped)
        return rounded(np.where(keep, widened(x) * scale + shift, dropped), x.dtype)


def gaussian_dropout(normals: NDArray[np.float32], x: NDArray[Any], deviation: ArrayLike) -> NDArray[Any]:
    """``round(x * round(1 + round(deviation * normals)))``."""
    with np.errstate(all="ignore"):
        (deviation,) = _constants(x, deviation)
        one = deviation.dtype.type(1)
        return scaled(x, one + deviation * normals.astype(deviation.dtype))


def keep_mask(keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The decisions themselves."""
    return keep


OPERATIONS: dict[str, Callable[..., NDArray[Any]]] = {
    "dropout": dropout,
    "alpha_dropout": alpha_dropout,
    "gaussian_dropout": gaussian_dropout,
    "keep_mask": keep_mask,
}
