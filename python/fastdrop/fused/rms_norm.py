# SPDX-License-Identifier: BSD-3-Clause
"""Dropout, residual and RMS norm in one pass, RMS norm alone, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, _core
from .._checks import Array, Probability
from .._windows import NoiseShape
from ..mask import Mask, state_and_scale
from ..mask_generator import Rng
from ._masks import keeps_all, mask_for
from ._normalize import EPS, checked_eps, normalize_backward, saved_h, wanted_h
from ._rows import run_rows
from ._saved import RMSNormGradients, SavedRMSNorm, check_saved, in_dtype_of

_NAME = "dropout_add_rms_norm"


def dropout_add_rms_norm(
    x: ArrayLike,
    residual: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    p: Probability = _checks.DEFAULT_P,
    *,
    x_bias: ArrayLike | None = None,
    eps: float = EPS,
    rng: Rng = None,
    noise_shape: NoiseShape = None,
    mask: Mask | None = None,
    training: bool = True,
    out: Array | None = None,
    h_out: Array | None = None,
) -> tuple[Array, SavedRMSNorm]:
    """Drop, scale, add a residual and divide every row by its root mean square, in one pass.

    ``h = residual + d`` with ``d = (x + x_bias) * s`` with probability ``1 - p`` and ``+0.0`` otherwise,
    where ``s = 1 / (1 - p)``; then ``y = h * rstd * weight`` with ``rstd = 1 / sqrt(mean(h * h) + eps)`` of
    every row ([1]_). h is rounded to x's dtype, and what follows reads that.

    Parameters
    ----------
    x, residual, weight, p, x_bias, rng, noise_shape, mask, training, out, h_out
        As for `dropout_add_layer_norm`; there is no bias.
    eps : float, default 1e-5
        What is added to the mean of squares, above 0.

    Returns
    -------
    y : ndarray
        `out`, or a new array of x's shape and dtype, in C order and native byte order.
    saved : SavedRMSNorm
        What `dropout_add_rms_norm_backward` needs. ``saved.h`` is h, as for `dropout_add_layer_norm`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` and `h_out` are then untouched.

    References
    ----------
    .. [1] Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> x, residual = np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)
    >>> y, saved = fastdrop.dropout_add_rms_norm(x, residual, p=0.5, eps=1e-12, rng=1)
    >>> saved.h
    array([[2., 0., 0., 2.],
           [0., 0., 2., 0.]], dtype=float32)
    >>> y
    array([[1.4142135, 0.       , 0.       , 1.4142135],
           [0.       , 0.       , 2.       , 0.       ]], dtype=float32)
    """
    if training is not True:
        training = _checks.boolean(training, "training")
    eps = checked_eps(eps)
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    mask = mask_for(array.shape, p, rng, noise_shape, mask, training)
    return _normalized(array, residual, weight, x_bias, eps, mask, training, out, h_out)


def _normalized(
    x: Any,
    residual: Any,
    weight: Any,
    x_bias: Any,
    eps: float,
    mask: Mask,
    training: bool,
    out: Array | None,
    h_out: Array | None,
) -> tuple[Array, SavedRMSNorm]:
    h = wanted_h(x, residual is not None or x_bias is not None, mask, training, out, h_out)
    state, scale = state_and_scale(mask)
    results = _core.run(_NAME, state, x, residual, weight, x_bias, out, h, None, scale, eps)
    if results is None:
        names = ("x", "residual", "weight", "x_bias")
        arguments = (x, residual, weight, x_bias, out, h, None, scale, eps)
        results, (x, _, weight, x_bias) = run_rows(_NAME, state, names, *arguments)
    y, h, rstd = results
    if h is None:
        h = saved_h(x, out)
    return y, SavedRMSNorm(mask, h, rstd, residual is not None, weight, x_bias)


def dropout_add_rms_norm_backward(
    dy: ArrayLike,
    saved: SavedRMSNorm,
    *,
    dh: ArrayLike | None = None,
    out: Array | None = None,
    dresidual_out: Array | None = None,
) -> RMSNormGradients:
    """The gradients of `dropout_add_rms_norm`.

    With ``xhat = h * rstd`` and ``g = dy * weight``, and m2 the mean of a row of ``g * xhat``: ``dresidual =
    dh + rstd * (g - xhat * m2)``, and ``dx = dresidual * s`` where the mask keeps, ``+0.0`` where it drops.
    The gradients of weight and x_bias are sums over all rows of ``dy * xhat`` and dx.

    Parameters
    ----------
    dy, dh, out, dresidual_out
        As for `dropout_add_layer_norm_backward`.
    saved : SavedRMSNorm
        What `dropout_add_rms_norm` returned.

    Returns
    -------
    dx : ndarray
        `out`, or a new array of dy's shape and dtype.
    dresidual : ndarray or None
        `dresidual_out`, or a new array like dx; None if there was no residual.
    dweight, dx_bias : ndarray or None
        Of the shape and dtype of the parameter; None if there was none.

    Raises
    ------
    TypeError, ValueError
        As for `dropout_add_layer_norm_backward`.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> x, weight = np.array([[3, 4, 0, 0]], np.float32), np.ones(4, np.float32)
    >>> y, saved = fastdrop.dropout_add_rms_norm(x, None, weight, p=0.0)
    >>> dx, dresidual, dweight, dx_bias = fastdrop.dropout_add_rms_norm_backward(y, saved)
    >>> bool((dweight == y * y).all()), dresidual is None
    (True, True)
    """
    if type(saved) is not SavedRMSNorm:
        check_saved(saved, SavedRMSNorm, dy)
    weight, x_bias = saved.weight, saved.x_bias
    outs, name = (out, dresidual_out), "dropout_add_rms_norm_backward"
    dx, dresidual, dweight, dx_bias = normalize_backward(
        name, dy, saved, (saved.rstd,), dh, *outs, weight, x_bias
    )
    return RMSNormGradients(dx, dresidual, in_dtype_of(dweight, weight), in_dtype_of(dx_bias, x_bias))


def rms_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    eps: float = EPS,
    out: Array | None = None,
) -> tuple[Array, SavedRMSNorm]:
    """Divide every row by its root mean square: `dropout_add_rms_norm` without dropout, residual and x_bias.

    ``y = x * rstd * weight``.

    Parameters
    ----------
    x, weight, eps, out
        As for `dropout_add_rms_norm`. If `out` is `x`, a copy of x is saved.

    Returns
    -------
    y : ndarray
        `out`, or a new array of x's shape and dtype.
    saved : SavedRMSNorm
        What `rms_norm_backward` needs. It refers to x and to the weight.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, saved = fastdrop.rms_norm(np.array([[2, 2], [0, 8]], np.float32), eps=1e-12)
    >>> y
    array([[1.       , 1.       ],
           [0.       , 1.4142135]], dtype=float32)
    """
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    return _normalized(array, None, weight, None, checked_eps(eps), keeps_all(array.shape), True, out, None)


def rms_norm_backward(dy: ArrayLike, saved: SavedRMSNorm, *, out: Array | None = None) -> RMSNormGradients:
    """The gradients of `rms_norm`, which are those of `dropout_add_rms_norm`.

    Parameters
    ----------
    dy, out
        As for `dropout_add_layer_norm_backward`.
    saved : SavedRMSNorm
        What `rms_norm` returned.

    Returns
    -------
    RMSNormGradients
        `dx` and `dweight`; the others are None.

    Raises
    ------
    TypeError, ValueError
        As for `dropout_add_layer_norm_backward`.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, saved = fastdrop.rms_norm(np.array([[4, 4, 4, 4]], np.float32), np.ones(4, np.float32))
    >>> gradients = fastdrop.rms_norm_backward(np.array([[0, 0, 0, 4]], np.float32), saved)
    >>> gradients.dx.round(3)
    array([[-0.25, -0.25, -0.25,  0.75]], dtype=float32)
    """
    return dropout_add_rms_norm_backward(dy, saved, out=out)
