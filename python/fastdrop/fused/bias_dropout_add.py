# SPDX-License-Identifier: BSD-3-Clause
"""Bias, activation, dropout and residual in one pass, and the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, _core
from .._checks import Array, Probability
from .._windows import NoiseShape
from ..mask import Mask, state_and_scale
from ..mask_generator import Rng
from ._masks import mask_for
from ._names import CODES, NO_ACTIVATION, RELU, unknown_activation
from ._rows import checked_gradient, overwrites, run_rows
from ._saved import (
    BiasDropoutAddGradients,
    SavedBiasDropoutAdd,
    check_apart,
    check_saved,
    in_dtype_of,
    written_over,
)


def bias_dropout_add(
    x: ArrayLike,
    bias: ArrayLike | None = None,
    residual: ArrayLike | None = None,
    p: Probability = _checks.DEFAULT_P,
    *,
    activation: str | None = None,
    rng: Rng = None,
    noise_shape: NoiseShape = None,
    mask: Mask | None = None,
    training: bool = True,
    out: Array | None = None,
) -> tuple[Array, SavedBiasDropoutAdd]:
    """Add a bias, apply an activation, drop, scale and add a residual, in one pass.

    ``y = residual + d`` with ``d = act(x + bias) * s`` with probability ``1 - p`` and ``+0.0`` otherwise,
    where ``s = 1 / (1 - p)``: what stands between two matrix products of a network. An operand that is left
    out changes nothing. Every step is rounded by itself, in float32 for data of 16 bits, which are rounded
    once more at the end.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values of the shape ``(..., features)``, such as a matrix product. It has at least one axis.
    bias : array_like, optional
        One value for each feature, of x's dtype; for x of 16 bits float32 will do, too.
    residual : array_like, optional
        What is added at the end, of x's shape and dtype.
    p : float or array of float, default 0.5
        Probability of dropping an element, as for `dropout`. 0 drops nothing.
    activation : {None, "relu", "gelu", "gelu_tanh", "silu"}
        "gelu" is ``t * Phi(t)`` by the error function, as torch's default; "gelu_tanh" is its approximation,
        as jax's default. "silu" is ``t * sigmoid(t)``, also known as swish.
    rng, noise_shape : optional
        As for `dropout`: the mask is the one that `dropout` would draw.
    mask : Mask, optional
        A mask to use instead of drawing one: `p`, `rng` and `noise_shape` must then be left out. A mask of
        your own (`Mask.from_array`) is broadcast to x.
    training : bool, default True
        False: nothing is dropped or scaled, and neither `rng` nor `mask` is used.
    out : ndarray, optional
        Where to write: of x's shape and dtype, and either `x` or `residual` itself or not overlapping any
        operand. In training it cannot be `x` if the backward pass reads x: with an activation, other than
        relu without a residual.

    Returns
    -------
    y : ndarray
        `out`, or a new array of x's shape and dtype, in C order and native byte order.
    saved : SavedBiasDropoutAdd
        What `bias_dropout_add_backward` needs. It holds the mask, which is no array, and refers to arrays of
        yours: to `bias`; with "relu" and no residual to `y`; with another activation, or with "relu" and a
        residual, to `x`. They must not change before the backward pass.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched. The mask of a call
        that is refused for its arrays has been taken from `rng` all the same.

    Notes
    -----
    An array whose last axis is not contiguous, or of foreign byte order, is copied first.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> x, bias = np.array([[1, -2, 3], [-4, 5, 6]], np.float32), np.ones(3, np.float32)
    >>> y, saved = fastdrop.bias_dropout_add(x, bias, p=0.5, activation="relu", rng=1)
    >>> y
    array([[4., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    >>> dx, dbias = fastdrop.bias_dropout_add_backward(np.ones_like(y), saved)
    >>> dbias
    array([2., 0., 0.], dtype=float32)
    """
    try:
        code = CODES[activation]
    except (KeyError, TypeError):
        raise unknown_activation(activation) from None
    if training is not True:
        training = _checks.boolean(training, "training")
    array: Any = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    mask = mask_for(array.shape, p, rng, noise_shape, mask, training)
    state, scale = state_and_scale(mask)
    y_tells = code == RELU and residual is None
    needs_x = code != NO_ACTIVATION and not y_tells
    if out is not None and needs_x and overwrites(out, array):
        if training:
            raise ValueError(
                f"out must not be x in training with activation={activation!r}"
                f"{' and a residual' if code == RELU else ''}, because the backward pass reads x: leave out= "
                "away, or write out=residual"
            )
        needs_x = False
    parameter: Any = bias
    y = _core.run("bias_dropout_add", state, array, bias, residual, out, scale, code)
    if y is None:
        names = ("x", "bias", "residual")
        y, (array, parameter, _) = run_rows(
            "bias_dropout_add", state, names, array, bias, residual, out, scale, code
        )
    saved = SavedBiasDropoutAdd(
        mask, activation, array if needs_x else None, parameter, y if y_tells else None, residual is not None
    )
    return y, saved


def bias_dropout_add_backward(
    dy: ArrayLike, saved: SavedBiasDropoutAdd, *, out: Array | None = None
) -> BiasDropoutAddGradients:
    """The gradients of `bias_dropout_add` with respect to x and bias; that of the residual is `dy` itself.

    ``dx = (dy * s) * act'(x + bias)`` where the mask keeps and ``+0.0`` where it drops. The derivative of
    relu is 0 where ``x + bias <= 0`` and 1 elsewhere; without a residual the result says where, so that it is
    0 too where a result of 16 bits was rounded to 0. `dbias` is the sum of dx over all axes but the last,
    before dx is rounded to 16 bits, and has the same bits whatever the number of threads (see `join_sums`).

    Parameters
    ----------
    dy : array_like of float16, bfloat16, float32 or float64
        Gradient with respect to y, of x's shape and dtype.
    saved : SavedBiasDropoutAdd
        What `bias_dropout_add` returned.
    out : ndarray, optional
        Where to write dx: `dy` itself, or an array like it that does not overlap it. If there was a residual,
        its gradient is lost with `dy`.

    Returns
    -------
    dx : ndarray
        `out`, or a new array of dy's shape and dtype.
    dbias : ndarray or None
        Of the bias's shape and dtype; None if there was no bias.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, or if the forward pass wrote over x; `out` is then
        untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> x, bias = np.ones((3, 2), np.float32), np.zeros(2, np.float32)
    >>> y, saved = fastdrop.bias_dropout_add(x, bias, p=0.5, rng=0)
    >>> dx, dbias = fastdrop.bias_dropout_add_backward(np.ones((3, 2), np.float32), saved)
    >>> bool((dx == y).all()), bool((dbias == dx.sum(axis=0)).all())
    (True, True)
    """
    if type(saved) is not SavedBiasDropoutAdd:
        check_saved(saved, SavedBiasDropoutAdd, dy)
    code, x, bias, y = CODES[saved.activation], saved.x, saved.bias, saved.y
    if code and x is None and y is None:
        raise written_over("x", f"activation={saved.activation!r}")
    if out is not None:
        check_apart(out, "saved.x", x)
        check_apart(out, "saved.y", y)
    state, scale = state_and_scale(saved.mask)
    wanted = False if bias is None else None
    arguments = (x, None if x is None else bias, y, out, wanted, scale, code)
    result = _core.run("bias_dropout_add_backward", state, dy, *arguments)
    if result is None:
        dy = checked_gradient(dy, x if y is None else y)
        names = ("dy", "saved.x", "saved.bias", "saved.y")
        result, _ = run_rows("bias_dropout_add_backward", state, names, dy, *arguments)
    dx, dbias = result
    if bias is not None and dbias.dtype != bias.dtype:
        dbias = in_dtype_of(dbias, bias)
    return BiasDropoutAddGradients(dx, dbias)
