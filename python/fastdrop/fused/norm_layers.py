# SPDX-License-Identifier: BSD-3-Clause
"""Norms with dropout and a residual, as layers."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import _checks
from .._checks import Array, Probability
from ..mask_generator import Rng
from ._norm_layer import NormLayer, zeros
from ._normalize import EPS
from ._parameters import Parameter, ResidualLayer
from .layer_norm import dropout_add_layer_norm, dropout_add_layer_norm_backward
from .rms_norm import dropout_add_rms_norm, dropout_add_rms_norm_backward


class _DropoutAddNorm(ResidualLayer, NormLayer):
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
        eps: float = EPS,
        bias: bool = True,
        x_bias: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        values = {"weight": 1.0, **zeros(bias=bias, x_bias=x_bias)}
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
        eps: float = EPS,
        x_bias: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(features, p, rng, dtype, weight=1.0, **zeros(x_bias=x_bias))
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
