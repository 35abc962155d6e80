# SPDX-License-Identifier: BSD-3-Clause
"""Norms as layers, with dropout and a residual or alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import _checks
from .._checks import Array, Probability
from .._options import Option, ProbabilityOption
from ..mask_generator import Rng
from ._parameters import Parameter, ParameterLayer, ResidualLayer
from .layer_norm import dropout_add_layer_norm, dropout_add_layer_norm_backward, layer_norm
from .rms_norm import dropout_add_rms_norm, dropout_add_rms_norm_backward, rms_norm

_EPS = 1e-5


def _zeros(**is_there: Any) -> dict[str, float]:
    """What the biases that are there begin as."""
    return {name: 0.0 for name, value in is_there.items() if _checks.boolean(value, name)}


def _no_rate(p: Any, name: str) -> float:
    if _checks.scalar_probability(p, name) != 0:
        given = f"not {_checks.abbreviate(p)}: DropoutAddLayerNorm and DropoutAddRMSNorm drop"
        raise ValueError(f"{name} must be 0 in a norm alone, which drops nothing, {given}")
    return 0.0


class _NormLayer(ParameterLayer):
    """A layer with a weight and eps."""

    __slots__ = ("_eps",)
    _eps: float
    _backward_function: Callable[..., Any]  # that gradients come from

    weight = Parameter("What the normalised values are multiplied by: one value for each feature.")
    eps = Option(_checks.positive, "What is added to the variance, or to the mean of squares.", usual=_EPS)


class _DropoutAddNorm(ResidualLayer, _NormLayer):
    """`backward` of the layers with dropout and a residual."""

    __slots__ = ()

    x_bias = Parameter("What is added to x first: one value for each feature.")

    @property
    def h(self) -> Array | None:
        """What the last forward pass normalised: the next residual of networks that normalise first."""
        return None if self._drawn is None else self._drawn.h

    def backward(
        self,
        dy: ArrayLike,
        *,
        dh: ArrayLike | None = None,
        saved: Any = None,
        out: Array | None = None,
    ) -> Any:
        """The gradient with respect to a forward pass's input, and to its residual if there was one.

        Parameters
        ----------
        dy : array_like of float16, bfloat16, float32 or float64
            Gradient with respect to the result of that forward pass, of its shape and dtype.
        dh : array_like, optional
            Gradient with respect to `h`, if the network uses that, too.
        saved : optional
            What that forward pass saved; by default what the last one did. A layer that was called several
            times in training before its first backward pass needs it: keep `saved` after every call.
        out : ndarray, optional
            Where to write dx: `dy` or `dh` itself, or an array like them that does not overlap them.

        Returns
        -------
        dx : ndarray
            `out`, or a new array of dy's shape and dtype.
        dresidual : ndarray
            Only if the forward pass had a residual: else dx is returned alone.

        Raises
        ------
        TypeError, ValueError
            If there was no forward pass, or several and no `saved` is given, or an array does not fit.
        """
        function = functools.partial(self._backward_function, dh=dh)
        gradients = self._go_back(function, dy, saved, out)
        return gradients.dx if gradients.dresidual is None else (gradients.dx, gradients.dresidual)


class DropoutAddLayerNorm(_DropoutAddNorm):
    """`dropout_add_layer_norm` as a layer, with the methods of `Layer`.

    ``layer(x, residual)`` drops and scales x, adds the residual, and normalises every row. The sum is `h`.

    Parameters
    ----------
    features : int
        Length of the last axis of the input.
    p : float or array of float, default 0.5
        Probability of dropping an element, from 0 to 1.
    eps : float, default 1e-5
        What is added to the variance.
    bias : bool, default True
        Whether a bias is added to the normalised values.
    x_bias : bool, default False
        Whether a bias is added to x first, such as that of the matrix product before.
    dtype : dtype, default float32
        That of the parameters: that of the input, or float32 for an input of 16 bits. The weight begins as
        ones, the biases as zeros.
    rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Attributes
    ----------
    weight, bias, x_bias : ndarray or None
        The parameters; None if the layer has no such one. What is set is copied into them.
    parameters, gradients : dict
        As for `BiasDropoutAdd`.
    eps : float
        May be set between steps.
    h : ndarray or None
        What the last forward pass normalised.
    saved : SavedLayerNorm or None
        What the last forward pass saved.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> layer = fastdrop.DropoutAddLayerNorm(4, 0.1, rng=0)
    >>> x = np.arange(8, dtype=np.float32).reshape(2, 4)
    >>> y = layer(x, residual=x)
    >>> dx, dresidual = layer.backward(np.ones_like(y))
    >>> sorted(layer.gradients)
    ['bias', 'weight']
    >>> layer
    DropoutAddLayerNorm(4, p=0.1, rng=<seed=0, stream=1>)
    """

    __slots__ = ()
    _backward_function = staticmethod(dropout_add_layer_norm_backward)
    _flags: ClassVar = {"bias": True, "x_bias": False}

    bias = Parameter("What is added to the normalised values: one value for each feature, or None.")

    def __init__(
        self,
        features: int,
        p: Probability = _checks.DEFAULT_P,
        *,
        eps: float = _EPS,
        bias: bool = True,
        x_bias: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        values = {"weight": 1.0, **_zeros(bias=bias, x_bias=x_bias)}
        super().__init__(features, p, rng, dtype, **values)
        self.eps = eps

    def forward(self, x: ArrayLike, residual: ArrayLike | None = None, *, out: Array | None = None) -> Array:
        parameters = self._parameters
        return self._remember(
            dropout_add_layer_norm(
                x,
                residual,
                parameters["weight"],
                parameters.get("bias"),
                self._p,
                x_bias=parameters.get("x_bias"),
                eps=self._eps,
                rng=self._rng,
                training=self._training,
                out=out,
            )
        )


class DropoutAddRMSNorm(_DropoutAddNorm):
    """`dropout_add_rms_norm` as a layer, with the methods of `Layer`.

    ``layer(x, residual)`` drops and scales x, adds the residual, and divides every row by its root mean
    square. The sum is `h`.

    Parameters
    ----------
    features, p, eps, x_bias, dtype, rng : optional
        As for `DropoutAddLayerNorm`; there is no bias.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Attributes
    ----------
    weight, x_bias, parameters, gradients, eps, h
        As for `DropoutAddLayerNorm`.
    saved : SavedRMSNorm or None
        What the last forward pass saved.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> layer = fastdrop.DropoutAddRMSNorm(4, 0.1, x_bias=True, rng=0)
    >>> y = layer(np.ones((2, 4), np.float32))
    >>> dx = layer.backward(np.ones_like(y))
    >>> sorted(layer.gradients)
    ['weight', 'x_bias']
    """

    __slots__ = ()
    _backward_function = staticmethod(dropout_add_rms_norm_backward)
    _flags: ClassVar = {"x_bias": False}

    def __init__(
        self,
        features: int,
        p: Probability = _checks.DEFAULT_P,
        *,
        eps: float = _EPS,
        x_bias: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(features, p, rng, dtype, weight=1.0, **_zeros(x_bias=x_bias))
        self.eps = eps

    def forward(self, x: ArrayLike, residual: ArrayLike | None = None, *, out: Array | None = None) -> Array:
        parameters = self._parameters
        return self._remember(
            dropout_add_rms_norm(
                x,
                residual,
                parameters["weight"],
                self._p,
                x_bias=parameters.get("x_bias"),
                eps=self._eps,
                rng=self._rng,
                training=self._training,
                out=out,
            )
        )


class _PlainNorm(_NormLayer):
    """A norm alone, which does the same in training and in evaluation."""

    __slots__ = ()

    p = ProbabilityOption(_no_rate, "0: nothing is dropped.", usual=0.0)

    def backward(self, dy: ArrayLike, *, saved: Any = None, out: Array | None = None) -> Array:
        """The gradient with respect to a forward pass's input.

        Parameters
        ----------
        dy : array_like of float16, bfloat16, float32 or float64
            Gradient with respect to the result of that forward pass, of its shape and dtype.
        saved : optional
            What that forward pass saved; by default what the last one did. A layer that was called several
            times in training before its first backward pass needs it: keep `saved` after every call.
        out : ndarray, optional
            Where to write: `dy` itself, or an array like it that does not overlap it.

        Returns
        -------
        ndarray
            `out`, or a new array of dy's shape and dtype.

        Raises
        ------
        TypeError, ValueError
            If there was no forward pass, or several and no `saved` is given, or an array does not fit.
        """
        dx: Array = self._go_back(self._backward_function, dy, saved, out).dx
        return dx

    def _shown(self) -> list[str]:
        return super()._shown()[:-1]  # less the generator, of which it takes no mask


class LayerNorm(_PlainNorm):
    """`layer_norm` as a layer, with the methods of `Layer`. Nothing is dropped: its p is 0.

    Parameters
    ----------
    features : int
        Length of the last axis of the input.
    eps : float, default 1e-5
        What is added to the variance.
    bias : bool, default True
        Whether a bias is added to the normalised values.
    dtype : dtype, default float32
        That of the parameters, as for `DropoutAddLayerNorm`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Attributes
    ----------
    weight, bias, parameters, gradients, eps, saved
        As for `DropoutAddLayerNorm`.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> norm = fastdrop.LayerNorm(2, eps=1e-12)
    >>> norm(np.array([[1, 3], [0, 8]], np.float32))
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    >>> norm
    LayerNorm(2, eps=1e-12)
    """

    __slots__ = ()
    _backward_function = staticmethod(dropout_add_layer_norm_backward)
    _flags: ClassVar = {"bias": True}

    bias = DropoutAddLayerNorm.bias

    def __init__(
        self, features: int, *, eps: float = _EPS, bias: bool = True, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(features, 0.0, None, dtype, weight=1.0, **_zeros(bias=bias))
        self.eps = eps

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        parameters = self._parameters
        weight, bias = parameters["weight"], parameters.get("bias")
        return self._remember(layer_norm(x, weight, bias, eps=self._eps, out=out))


class RMSNorm(_PlainNorm):
    """`rms_norm` as a layer, with the methods of `Layer`. Nothing is dropped: its p is 0.

    Parameters
    ----------
    features : int
        Length of the last axis of the input.
    eps : float, default 1e-5
        What is added to the mean of squares.
    dtype : dtype, default float32
        That of the weight, as for `DropoutAddLayerNorm`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Attributes
    ----------
    weight, parameters, gradients, eps, saved
        As for `DropoutAddRMSNorm`.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> norm = fastdrop.RMSNorm(2, eps=1e-12)
    >>> norm(np.array([[2, 2], [0, 8]], np.float32))
    array([[1.       , 1.       ],
           [0.       , 1.4142135]], dtype=float32)
    """

    __slots__ = ()
    _backward_function = staticmethod(dropout_add_rms_norm_backward)

    def __init__(self, features: int, *, eps: float = _EPS, dtype: DTypeLike = np.float32) -> None:
        super().__init__(features, 0.0, None, dtype, weight=1.0)
        self.eps = eps

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(rms_norm(x, self._parameters["weight"], eps=self._eps, out=out))
