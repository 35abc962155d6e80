# SPDX-License-Identifier: BSD-3-Clause
"""Dropout, residual and layer norm in one pass, layer norm alone, and their gradients."""

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
from ._saved import LayerNormGradients, SavedLayerNorm, check_saved, in_dtype_of

_NAME = "dropout_add_layer_norm"


def dropout_add_layer_norm(
    x: ArrayLike,
    residual: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
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
) -> tuple[Array, SavedLayerNorm]:
    """Drop, scale, add a residual and normalise every row, in one pass.

    ``h = residual + d`` with ``d = (x + x_bias) * s`` with probability ``1 - p`` and ``+0.0`` otherwise,
    where ``s = 1 / (1 - p)``; then ``y = (h - mean) * rstd * weight + bias`` with the mean of every row of h
    and ``rstd = 1 / sqrt(variance + eps)`` ([1]_). The variance divides by the number of features. h is
    rounded to x's dtype, and what follows reads that. An operand that is left out changes nothing.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values of the shape ``(..., features)``. It has at least one axis.
    residual : array_like, optional
        What is added to what is left of x, of x's shape and dtype.
    weight, bias : array_like, optional
        One value for each feature, of x's dtype; for x of 16 bits float32 will do, too.
    p : float or array of float, default 0.5
        Probability of dropping an element, as for `dropout`. 0 drops nothing.
    x_bias : array_like, optional
        What is added to x first, such as the bias of the layer before: one value for each feature.
    eps : float, default 1e-5
        What is added to the variance, above 0.
    rng, noise_shape, mask, training : optional
        As for `bias_dropout_add`.
    out : ndarray, optional
        Where to write y: of x's shape and dtype, and either `x` or `residual` itself or not overlapping any
        operand.
    h_out : ndarray, optional
        Where to write h, likewise, such as `residual`. It must not overlap `out`.

    Returns
    -------
    y : ndarray
        `out`, or a new array of x's shape and dtype, in C order and native byte order.
    saved : SavedLayerNorm
        What `dropout_add_layer_norm_backward` needs. ``saved.h`` is h, which networks that normalise first
        (pre-norm) add to as their next residual. It is x itself, not a copy, where nothing is dropped or
        added. It must not change before the backward pass, nor must `weight`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` and `h_out` are then untouched. The mask of
        a call that is refused for its arrays has been taken from `rng` all the same.

    Notes
    -----
    An array whose last axis is not contiguous, or of foreign byte order, is copied first.

    References
    ----------
    .. [1] Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450 (2016).

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> x, residual = np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)
    >>> y, saved = fastdrop.dropout_add_layer_norm(x, residual, p=0.5, rng=1)
    >>> saved.h
    array([[2., 0., 0., 2.],
           [0., 0., 2., 0.]], dtype=float32)
    >>> saved.mean
    array([1. , 0.5], dtype=float32)
    >>> gradients = fastdrop.dropout_add_layer_norm_backward(np.ones_like(y), saved)
    >>> gradients.dresidual.shape, gradients.dweight is None
    ((2, 4), True)
    """
    if training is not True:
        training = _checks.boolean(training, "training")
    eps = checked_eps(eps)
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    mask = mask_for(array.shape, p, rng, noise_shape, mask, training)
    return _normalized(array, residual, weight, bias, x_bias, eps, mask, training, out, h_out)


def _normalized(
    x: Any,
    residual: Any,
    weight: Any,
    bias: Any,
    x_bias: Any,
    eps: float,
    mask: Mask,
    training: bool,
    out: Array | None,
    h_out: Array | None,
) -> tuple[Array, SavedLayerNorm]:
    h = wanted_h(x, residual is not None or x_bias is not None, mask, training, out, h_out)
    state, scale = state_and_scale(mask)
    results = _core.run(_NAME, state, x, residual, weight, bias, x_bias, out, h, None, None, scale, eps)
    if results is None:
        arguments = (x, residual, weight, bias, x_bias, out, h, None, None, scale, eps)
        names = ("x", "residual", "weight", "bias", "x_bias")
        results, (x, _, weight, bias, x_bias) = run_rows(_NAME, state, names, *arguments)
    y, h, mean, rstd = results
    if h is None:
        h = saved_h(x, out)
    return y, SavedLayerNorm(mask, h, mean, rstd, residual is not None, weight, bias, x_bias)


def dropout_add_layer_norm_backward(
    dy: ArrayLike,
    saved: SavedLayerNorm,
    *,
    dh: ArrayLike | None = None,
    out: Array | None = None,
    dresidual_out: Array | None = None,
) -> LayerNormGradients:
    """The gradients of `dropout_add_layer_norm`.

    With ``xhat = (h - mean) * rstd`` and ``g = dy * weight``, m1 the mean of a row of g and m2 that of ``g *
    xhat``: ``dresidual = dh + rstd * ((g - m1) - xhat * m2)``, and ``dx = dresidual * s`` where the mask
    keeps, ``+0.0`` where it drops. The gradients of weight, bias and x_bias are sums over all rows, of ``dy *
    xhat``, dy and dx; they have the same bits whatever the number of threads (see `join_sums`).

    Parameters
    ----------
    dy : array_like of float16, bfloat16, float32 or float64
        Gradient with respect to y, of x's shape and dtype.
    saved : SavedLayerNorm
        What `dropout_add_layer_norm` returned.
    dh : array_like, optional
        Gradient with respect to h, where a network uses that too (pre-norm); like dy.
    out : ndarray, optional
        Where to write dx: `dy` or `dh` itself, or an array like them that does not overlap them.
    dresidual_out : ndarray, optional
        Where to write dresidual, likewise. It must not overlap `out`.

    Returns
    -------
    dx : ndarray
        `out`, or a new array of dy's shape and dtype.
    dresidual : ndarray or None
        `dresidual_out`, or a new array like dx; None if there was no residual.
    dweight, dbias, dx_bias : ndarray or None
        Of the shape and dtype of the parameter; None if there was none.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, or if the forward pass wrote over x; `out` is then
        untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> x, weight = np.array([[0, 1, 2, 5]], np.float32), np.ones(4, np.float32)
    >>> y, saved = fastdrop.dropout_add_layer_norm(x, None, weight, p=0.0)
    >>> dx, dresidual, dweight, dbias, dx_bias = fastdrop.dropout_add_layer_norm_backward(y, saved)
    >>> bool((dweight == y * y).all()), dresidual is None, dbias is None
    (True, True, True)
    """
    if type(saved) is not SavedLayerNorm:
        check_saved(saved, SavedLayerNorm, dy)
    weight, bias, x_bias = saved.weight, saved.bias, saved.x_bias
    outs, statistics, name = (out, dresidual_out), (saved.mean, saved.rstd), "dropout_add_layer_norm_backward"
    dx, dresidual, dweight, dbias, dx_bias = normalize_backward(
        name, dy, saved, statistics, dh, *outs, weight, bias, x_bias
    )
    return LayerNormGradients(
        dx,
        dresidual,
        in_dtype_of(dweight, weight),
        in_dtype_of(dbias, bias),
        in_dtype_of(dx_bias, x_bias),
    )


def layer_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    eps: float = EPS,
    out: Array | None = None,
) -> tuple[Array, SavedLayerNorm]:
    """Normalise every row: `dropout_add_layer_norm` without dropout, residual and x_bias.

    ``y = (x - mean) * rstd * weight + bias``.

    Parameters
    ----------
    x, weight, bias, eps, out
        As for `dropout_add_layer_norm`. If `out` is `x`, a copy of x is saved.

    Returns
    -------
    y : ndarray
        `out`, or a new array of x's shape and dtype.
    saved : SavedLayerNorm
        What `layer_norm_backward` needs. It refers to x and to the parameters.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, saved = fastdrop.layer_norm(np.array([[1, 3], [0, 8]], np.float32), eps=1e-12)
    >>> y
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    return _normalized(
        array, None, weight, bias, None, checked_eps(eps), keeps_all(array.shape), True, out, None
    )


def layer_norm_backward(
    dy: ArrayLike, saved: SavedLayerNorm, *, out: Array | None = None
) -> LayerNormGradients:
    """The gradients of `layer_norm`, which are those of `dropout_add_layer_norm`.

    Parameters
    ----------
    dy, out
        As for `dropout_add_layer_norm_backward`.
    saved : SavedLayerNorm
        What `layer_norm` returned.

    Returns
    -------
    LayerNormGradients
        `dx`, `dweight` and `dbias`; the others are None.

    Raises
    ------
    TypeError, ValueError
        As for `dropout_add_layer_norm_backward`.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, saved = fastdrop.layer_norm(np.array([[1, 3], [0, 8]], np.float32))
    >>> gradients = fastdrop.layer_norm_backward(np.ones((2, 2), np.float32), saved)
    >>> gradients.dx
    array([[0., 0.],
           [0., 0.]], dtype=float32)
    """
    return dropout_add_layer_norm_backward(dy, saved, out=out)
