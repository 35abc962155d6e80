# SPDX-License-Identifier: BSD-3-Clause
"""Norms alone, as layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import _checks
from .._checks import Array
from .._options import ProbabilityOption
from ._norm_layer import NormLayer, zeros
from ._normalize import EPS
from ._parameters import Parameter
from .layer_norm import dropout_add_layer_norm_backward, layer_norm
from .rms_norm import dropout_add_rms_norm_backward, rms_norm


def _no_rate(p: Any, name: str) -> float:
    if _checks.scalar_probability(p, name) != 0:
        given = f"not {_checks.abbreviate(p)}: DropoutAddLayerNorm and DropoutAddRMSNorm drop"
        raise ValueError(f"{name} must be 0 in a norm alone, which drops nothing, {given}")
    return 0.0


class _PlainNorm(NormLayer):
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

    bias = Parameter("What is added to the normalised values: one value for each feature, or None.")

    def __init__(
        self, features: int, *, eps: float = EPS, bias: bool = True, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(features, 0.0, None, dtype, weight=1.0, **zeros(bias=bias))
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

    def __init__(self, features: int, *, eps: float = EPS, dtype: DTypeLike = np.float32) -> None:
        super().__init__(features, 0.0, None, dtype, weight=1.0)
        self.eps = eps

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(rms_norm(x, self._parameters["weight"], eps=self._eps, out=out))
