# SPDX-License-Identifier: BSD-3-Clause
"""Bias, activation, dropout, residual and norm: what the operations on whole rows mean, and their sums.

The functions of `ROW_OPERATIONS` have the names of the rows in the core's list. The first argument is `keep`,
True where an element is kept. The inputs and the constants follow in the order of the row, None for an input
that is absent. The result is a tuple of all outputs of the row, also where a caller of the core would not
want one.

The last axis holds the features: a value per column belongs to an index along it. All other axes together
count the rows, in C order. Every step is rounded by itself, to the type that is computed with, as in
`operations`. An absent addend is -0.0 and an absent factor 1, which change no bit of a number.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .functions import ACTIVATIONS
from .operations import computed_with, rounded, widened
from .softmax import SOFTMAX_OPERATIONS
from .sums import column_sums, row_sums

__all__ = ["ACTIVATION_CODES", "ROW_OPERATIONS"]

# The constant `activation` counts these.
ACTIVATION_CODES = {None: 0, "relu": 1, "gelu": 2, "gelu_tanh": 3, "silu": 4}


# --- Operands ---------------------------------------------------------------------------------------


def _addend(value: NDArray[Any] | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.asarray(-0.0, dtype) if value is None else widened(value)


def _factor(value: NDArray[Any] | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.asarray(1.0, dtype) if value is None else widened(value)


def _constant(value: ArrayLike, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.asarray(value, np.float64).astype(dtype)


def _mean(a: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(row_sums(a) / a.dtype.type(a.shape[-1]))


def _per_row(values: NDArray[Any]) -> NDArray[Any]:
    return values[..., np.newaxis]


# --- Bias, activation, dropout, residual ------------------------------------------------------------


def bias_dropout_add(
    keep: NDArray[np.bool_],
    x: NDArray[Any],
    bias: NDArray[Any] | None,
    residual: NDArray[Any] | None,
    scale: ArrayLike,
    activation: float,
) -> tuple[NDArray[Any]]:
    """``y = residual + (keep ? act(x + bias) * scale : +0.0)``."""
    dtype = computed_with(x.dtype)
    with np.errstate(all="ignore"):
        t = widened(x) + _addend(bias, dtype)
        name = _activation(activation)
        a = t if name is None else ACTIVATIONS[name][0](t)
        dropped = np.where(keep, a * _constant(scale, dtype), dtype.type(0))
        return (rounded(_addend(residual, dtype) + dropped, x.dtype),)


def bias_dropout_add_backward(
    keep: NDArray[np.bool_],
    dy: NDArray[Any],
    x: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    y: NDArray[Any] | None,
    scale: ArrayLike,
    activation: float,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """`dx`, and `dbias`: the sum of every column of dx before it is rounded to 16 bits.

    ``dx = keep ? (dy * scale) * act'(x + bias) : +0.0``. For relu the factor is a selection: +0.0 where
    ``x + bias <= 0``, or where ``y <= 0`` if y is given, which is 0 where an element was dropped.
    """
    dtype, name = computed_with(dy.dtype), _activation(activation)
    with np.errstate(all="ignore"):
        dx = widened(dy) * _constant(scale, dtype)
        if name == "relu" and y is not None:
            kept = ~(widened(y) <= 0)
        else:
            kept = keep
            if name is not None:
                assert x is not None
                t = widened(x) + _addend(bias, dtype)
                if name == "relu":
                    kept = keep & ~(t <= 0)
                else:
                    dx = dx * ACTIVATIONS[name][1](t)
        dx = np.where(kept, dx, dtype.type(0))
        return rounded(dx, dy.dtype), column_sums(dx)


def _activation(code: float) -> str | None:
    return list(ACTIVATION_CODES)[int(code)]


# --- Dropout, residual, norm ------------------------------------------------------------------------


def _residual_sum(
    keep: NDArray[np.bool_],
    x: NDArray[Any],
    residual: NDArray[Any] | None,
    x_bias: NDArray[Any] | None,
    scale: ArrayLike,
) -> NDArray[Any]:
    """``h = residual + (keep ? (x + x_bias) * scale : +0.0)``, of x's dtype."""
    (h,) = bias_dropout_add(keep, x, x_bias, residual, scale, ACTIVATION_CODES[None])
    return h


def dropout_add_layer_norm(
    keep: NDArray[np.bool_],
    x: NDArray[Any],
    residual: NDArray[Any] | None,
    weight: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    x_bias: NDArray[Any] | None,
    scale: ArrayLike,
    eps: float,
) -> tuple[NDArray[Any], ...]:
    """`y`, `h`, `mean`, `rstd`: ``y = ((h - mean) * rstd) * weight + bias``, of the rounded h."""
    dtype = computed_with(x.dtype)
    with np.errstate(all="ignore"):
        h = _residual_sum(keep, x, residual, x_bias, scale)
        wide = widened(h)
        mean = _mean(wide)
        centered = wide - _per_row(mean)
        rstd = dtype.type(1) / np.sqrt(_mean(centered * centered) + _constant(eps, dtype))
        y = centered * _per_row(rstd) * _factor(weight, dtype) + _addend(bias, dtype)
        return rounded(y, x.dtype), h, mean, rstd


def dropout_add_rms_norm(
    keep: NDArray[np.bool_],
    x: NDArray[Any],
    residual: NDArray[Any] | None,
    weight: NDArray[Any] | None,
    x_bias: NDArray[Any] | None,
    scale: ArrayLike,
    eps: float,
) -> tuple[NDArray[Any], ...]:
    """`y`, `h`, `rstd`: ``y = (h * rstd) * weight`` with ``rstd = 1 / sqrt(mean(h * h) + eps)``."""
    dtype = computed_with(x.dtype)
    with np.errstate(all="ignore"):
        h = _residual_sum(keep, x, residual, x_bias, scale)
        wide = widened(h)
        rstd = dtype.type(1) / np.sqrt(_mean(wide * wide) + _constant(eps, dtype))
        return rounded(wide * _per_row(rstd) * _factor(weight, dtype), x.dtype), h, rstd


def dropout_add_layer_norm_backward(
    keep: NDArray[np.bool_],
    dy: NDArray[Any],
    h: NDArray[Any],
    mean: NDArray[Any],
    rstd: NDArray[Any],
    weight: NDArray[Any] | None,
    dh: NDArray[Any] | None,
    scale: ArrayLike,
) -> tuple[NDArray[Any], ...]:
    """`dx`, `dresidual`, `dweight`, `dbias`, `dx_bias`.

    With ``xhat = (h - mean) * rstd`` and ``g = dy * weight``, of whose rows m1 is the mean and m2 that of
    ``g * xhat``: ``dresidual = dh + rstd * ((g - m1) - xhat * m2)``.
    """
    dtype = computed_with(dy.dtype)
    with np.errstate(all="ignore"):
        wide = widened(dy)
        xhat = (widened(h) - _per_row(mean)) * _per_row(rstd)
        g = wide * _factor(weight, dtype)
        own = _per_row(rstd) * ((g - _per_row(_mean(g))) - xhat * _per_row(_mean(g * xhat)))
        dx, dresidual, dx_bias = _through_dropout(keep, dy.dtype, own, dh, scale)
        return dx, dresidual, column_sums(wide * xhat), column_sums(wide), dx_bias


def dropout_add_rms_norm_backward(
    keep: NDArray[np.bool_],
    dy: NDArray[Any],
    h: NDArray[Any],
    rstd: NDArray[Any],
    weight: NDArray[Any] | None,
    dh: NDArray[Any] | None,
    scale: ArrayLike,
) -> tuple[NDArray[Any], ...]:
    """`dx`, `dresidual`, `dweight`, `dx_bias`, where ``dresidual = dh + rstd * (g - xhat * m2)``."""
    dtype = computed_with(dy.dtype)
    with np.errstate(all="ignore"):
        wide = widened(dy)
        xhat = widened(h) * _per_row(rstd)
        g = wide * _factor(weight, dtype)
        own = _per_row(rstd) * (g - xhat * _per_row(_mean(g * xhat)))
        dx, dresidual, dx_bias = _through_dropout(keep, dy.dtype, own, dh, scale)
        return dx, dresidual, column_sums(wide * xhat), dx_bias


def _through_dropout(
    keep: NDArray[np.bool_],
    dtype: np.dtype[Any],
    own: NDArray[Any],
    dh: NDArray[Any] | None,
    scale: ArrayLike,
) -> tuple[NDArray[Any], ...]:
    """`dx`, `dresidual`, `dx_bias` from the gradient that the norm hands on; no sum is of rounded values."""
    dresidual = _addend(dh, own.dtype) + own
    dx = np.where(keep, dresidual * _constant(scale, own.dtype), own.dtype.type(0))
    return rounded(dx, dtype), rounded(dresidual, dtype), column_sums(dx)


ROW_OPERATIONS: dict[str, Callable[..., tuple[NDArray[Any], ...]]] = {
    "bias_dropout_add": bias_dropout_add,
    "bias_dropout_add_backward": bias_dropout_add_backward,
    "dropout_add_layer_norm": dropout_add_layer_norm,
    "dropout_add_layer_norm_backward": dropout_add_layer_norm_backward,
    "dropout_add_rms_norm": dropout_add_rms_norm,
    "dropout_add_rms_norm_backward": dropout_add_rms_norm_backward,
    **SOFTMAX_OPERATIONS,
}
