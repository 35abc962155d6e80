# SPDX-License-Identifier: BSD-3-Clause
"""`bias_dropout_add` as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import _checks
from .._checks import Array, Probability
from .._options import Option
from ..mask_generator import Rng
from ._names import checked_activation
from ._parameters import Parameter, ResidualLayer
from ._rows import overwrites
from ._saved import SavedBiasDropoutAdd
from .bias_dropout_add import bias_dropout_add, bias_dropout_add_backward


class BiasDropoutAdd(ResidualLayer):
    """`bias_dropout_add` as a layer, with the methods of `Layer`.

    ``layer(x, residual)`` adds the bias, applies the activation, drops and scales, and adds the residual.
    Parameters are arrays that an optimiser changes in place; `backward` replaces the gradients.

    Parameters
    ----------
    features : int
        Length of the last axis of the input.
    p : float or array of float, default 0.5
        Probability of dropping an element, from 0 to 1.
    activation : {None, "relu", "gelu", "gelu_tanh", "silu"}
        As for `bias_dropout_add`.
    dtype : dtype, default float32
        That of the bias, which begins as zeros: that of the input, or float32 for an input of 16 bits.
    rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Attributes
    ----------
    bias : ndarray
        The parameter. What is set is copied into it.
    parameters, gradients : dict
        ``{"bias": ...}``: arrays. A gradient is None before the first backward pass, and is that of the last
        backward pass afterwards: add them up yourself if you go back several times.
    activation : str or None
        May be set between steps.
    saved : SavedBiasDropoutAdd or None
        What the last forward pass saved.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> layer = fastdrop.BiasDropoutAdd(3, 0.5, activation="relu", rng=0)
    >>> x = np.ones((2, 3), np.float32)
    >>> y = layer(x, residual=x)
    >>> dx, dresidual = layer.backward(np.ones((2, 3), np.float32))
    >>> for name, parameter in layer.parameters.items():
    ...     parameter -= 0.1 * layer.gradients[name]
    >>> layer
    BiasDropoutAdd(3, p=0.5, activation='relu', rng=<seed=0, stream=1>)
    """

    __slots__ = ("_activation",)
    _activation: str | None

    bias = Parameter("What is added to x: one value for each feature.")
    activation = Option(checked_activation, "The activation, or None.", usual=None)

    def __init__(
        self,
        features: int,
        p: Probability = _checks.DEFAULT_P,
        *,
        activation: str | None = None,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(features, p, rng, dtype, bias=0.0)
        self.activation = activation

    def forward(self, x: ArrayLike, residual: ArrayLike | None = None, *, out: Array | None = None) -> Array:
        return self._remember(
            bias_dropout_add(
                x,
                self._parameters["bias"],
                residual,
                self._p,
                activation=self._activation,
                rng=self._rng,
                training=self._training,
                out=out,
            )
        )

    def backward(
        self, dy: ArrayLike, *, saved: SavedBiasDropoutAdd | None = None, out: Array | None = None
    ) -> Any:
        """The gradient with respect to a forward pass's input, and to its residual if there was one.

        Parameters
        ----------
        dy : array_like of float16, bfloat16, float32 or float64
            Gradient with respect to the result of that forward pass, of its shape and dtype.
        saved : SavedBiasDropoutAdd, optional
            What that forward pass saved; by default what the last one did. A layer that was called several
            times in training before its first backward pass needs it: keep `saved` after every call.
        out : ndarray, optional
            Where to write dx: `dy` itself, but not if there was a residual, or an array like it.

        Returns
        -------
        dx : ndarray
            `out`, or a new array of dy's shape and dtype.
        dresidual : ndarray
            `dy` itself. Only if the forward pass had a residual: else dx is returned alone.

        Raises
        ------
        TypeError, ValueError
            If there was no forward pass, or several and no `saved` is given, or an array does not fit.
        """
        used = self._drawn if saved is None else saved
        added = isinstance(used, SavedBiasDropoutAdd) and used.has_residual
        if added and isinstance(dy, np.ndarray) and overwrites(out, dy):
            raise ValueError("out must not be dy after a pass with a residual, whose gradient is dy itself")
        dx = self._go_back(bias_dropout_add_backward, dy, saved, out).dx
        return (dx, np.asarray(dy)) if added else dx
