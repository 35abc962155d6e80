# SPDX-License-Identifier: BSD-3-Clause
"""Activations alone and their gradients: `bias_dropout_add` without bias, dropout and residual."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, _core
from .._checks import Array
from ..mask import state_and_scale
from ._masks import keeps_all
from ._names import GELU, GELU_TANH, RELU, SILU
from ._rows import checked_gradient, run_rows
from ._saved import check_apart

Approximation = Literal["none", "tanh"]


def relu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """The rectifier: ``+0.0`` where ``x < 0``, else x.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values, of at least one axis.
    out : ndarray, optional
        Where to write: `x` itself, or an array like it that does not overlap it.

    Returns
    -------
    ndarray
        `out`, or a new array of x's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> fastdrop.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return _activate(x, RELU, out)


def relu_backward(dy: ArrayLike, y: ArrayLike, *, out: Array | None = None) -> Array:
    """The gradient of `relu` with respect to x: ``+0.0`` where ``y <= 0``, else dy.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to y.
    y : array_like
        What `relu` returned, or its x: both are positive at the same places.
    out : ndarray, optional
        Where to write: `dy` itself, or an array like it that overlaps neither.

    Returns
    -------
    ndarray
        `out`, or a new array of dy's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> fastdrop.relu_backward(np.array([5.0, 5.0]), fastdrop.relu(np.array([-1.0, 2.0])))
    array([0., 5.])
    """
    return _derive(dy, y, "y", RELU, out)


def gelu(x: ArrayLike, *, approximate: Approximation = "none", out: Array | None = None) -> Array:
    """The Gaussian error linear unit ([1]_): ``x * Phi(x)``, with the normal distribution's Phi.

    Parameters
    ----------
    x, out
        As for `relu`.
    approximate : {"none", "tanh"}, default "none"
        "tanh": ``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``. Torch's default is "none",
        jax's is "tanh".

    Returns
    -------
    ndarray
        `out`, or a new array of x's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind; `out` is then untouched.

    References
    ----------
    .. [1] Hendrycks and Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415 (2016).

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> fastdrop.gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    return _activate(x, _gelu_code(approximate), out)


def gelu_backward(
    dy: ArrayLike, x: ArrayLike, *, approximate: Approximation = "none", out: Array | None = None
) -> Array:
    """The gradient of `gelu` with respect to x.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the result.
    x : array_like
        What `gelu` was called with.
    approximate : {"none", "tanh"}, default "none"
        As for `gelu`.
    out : ndarray, optional
        Where to write: `dy` itself, or an array like it that overlaps neither.

    Returns
    -------
    ndarray
        `out`, or a new array of dy's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> fastdrop.gelu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.0833,  0.5   ,  1.0833])
    """
    return _derive(dy, x, "x", _gelu_code(approximate), out)


def silu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """The sigmoid linear unit, also known as swish: ``x * sigmoid(x)``.

    Parameters
    ----------
    x, out
        As for `relu`.

    Returns
    -------
    ndarray
        `out`, or a new array of x's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> fastdrop.silu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2689,  0.    ,  0.7311])
    """
    return _activate(x, SILU, out)


def silu_backward(dy: ArrayLike, x: ArrayLike, *, out: Array | None = None) -> Array:
    """The gradient of `silu` with respect to x.

    Parameters
    ----------
    dy, x, out
        As for `gelu_backward`.

    Returns
    -------
    ndarray
        `out`, or a new array of dy's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> fastdrop.silu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])).round(4)
    array([0.0723, 0.5   , 0.9277])
    """
    return _derive(dy, x, "x", SILU, out)


def _gelu_code(approximate: str) -> float:
    if approximate == "none":
        return GELU
    _checks.choice(approximate, "approximate", ("none", "tanh"))
    return GELU_TANH


def _activate(x: ArrayLike, code: float, out: Array | None) -> Array:
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    state, scale = state_and_scale(keeps_all(array.shape))
    y: Array | None = _core.run("bias_dropout_add", state, array, None, None, out, scale, code)
    if y is None:
        names = ("x", "bias", "residual")
        y, _ = run_rows("bias_dropout_add", state, names, array, None, None, out, scale, code)
    return y


def _derive(dy: ArrayLike, saved: ArrayLike, name: str, code: float, out: Array | None) -> Array:
    """The gradient from x, or from y."""
    array = saved if isinstance(saved, np.ndarray) else _checks.float_array(saved, name)
    if out is not None:
        check_apart(out, name, array)
    state, scale = state_and_scale(keeps_all(array.shape))
    x, y = (None, array) if name == "y" else (array, None)
    arguments = (x, None, y, out, False, scale, code)
    result = _core.run("bias_dropout_add_backward", state, dy, *arguments)
    if result is None:
        dy = checked_gradient(dy, _checks.float_array(array, name), name)
        names = ("dy", "x", "bias", "y")
        result, _ = run_rows("bias_dropout_add_backward", state, names, dy, *arguments)
    dx: Array = result[0]
    return dx
