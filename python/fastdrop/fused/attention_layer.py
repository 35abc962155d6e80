# SPDX-License-Identifier: BSD-3-Clause
"""`attention` as a layer."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from .. import _checks
from .._checks import Array, Probability
from .._layer import Layer
from .._options import Option
from ..mask_generator import Rng
from ._saved import AttentionGradients, SavedAttention
from .attention import attention, attention_backward


def _optional_scale(value: Any, name: str) -> float | None:
    return None if value is None else _checks.finite(value, name)


class Attention(Layer):
    """`attention` as a layer, with the methods of `Layer`. It has no parameters.

    ``layer(query, key, value)`` is scaled dot-product attention with dropout of the weights.

    Parameters
    ----------
    p : float or array of float, default 0
        Probability of dropping a weight, from 0 to 1.
    is_causal : bool, default False
        A query sees the keys up to its own number only.
    scale : float, optional
        What scores are multiplied by, ``1 / sqrt(d)`` by default.
    rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Attributes
    ----------
    is_causal, scale
        As they were given; may be set between steps.
    saved : SavedAttention or None
        What the last forward pass saved.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> layer = fastdrop.Attention(0.1, is_causal=True, rng=0)
    >>> query, key, value = np.random.default_rng(0).standard_normal((3, 2, 4, 10, 8), np.float32)
    >>> y = layer(query, key, value)
    >>> dquery, dkey, dvalue = layer.backward(np.ones_like(y))
    >>> layer
    Attention(p=0.1, is_causal=True, rng=<seed=0, stream=1>)
    """

    __slots__ = ("_is_causal", "_scale")
    _is_causal: bool
    _scale: float | None

    is_causal = Option(_checks.boolean, "Whether a query sees keys up to its own number only.", usual=False)
    scale = Option(_optional_scale, "What scores are multiplied by; None for 1 / sqrt(d).", usual=None)

    def __init__(
        self, p: Probability = 0.0, *, is_causal: bool = False, scale: float | None = None, rng: Rng = None
    ) -> None:
        super().__init__(p, rng=rng)
        self.is_causal = is_causal
        self.scale = scale

    @property
    def saved(self) -> SavedAttention | None:
        """What the last forward pass saved, for ``backward(dy, saved=saved)``; None before it."""
        saved: SavedAttention | None = self._drawn
        return saved

    def forward(  # type: ignore[override]
        self,
        query: ArrayLike,
        key: ArrayLike,
        value: ArrayLike,
        attn_mask: ArrayLike | None = None,
        *,
        out: Array | None = None,
    ) -> Array:
        """Attend, as `attention` does.

        Parameters
        ----------
        query, key, value, attn_mask, out
            As for `attention`.

        Returns
        -------
        ndarray
            `out`, or a new array.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit.
        """
        return self._remember(
            attention(
                query,
                key,
                value,
                self._p,
                attn_mask=attn_mask,
                is_causal=self._is_causal,
                scale=self._scale,
                rng=self._rng,
                training=self._training,
                out=out,
            )
        )

    def __call__(self, *arrays: Any, **options: Any) -> Array:
        """Call `forward`."""
        return self.forward(*arrays, **options)

    def backward(  # type: ignore[override]
        self,
        dy: ArrayLike,
        *,
        saved: SavedAttention | None = None,
        out: tuple[Array | None, Array | None, Array | None] | None = None,
    ) -> AttentionGradients:
        """The gradients with respect to a forward pass's query, key and value.

        Parameters
        ----------
        dy : array_like of float16, bfloat16, float32 or float64
            Gradient with respect to the result of that forward pass, of its shape and dtype.
        saved : SavedAttention, optional
            What that forward pass saved; by default what the last one did. A layer that was called several
            times in training before its first backward pass needs it: keep `saved` after every call.
        out : tuple of three ndarrays, optional
            As for `attention_backward`.

        Returns
        -------
        dquery, dkey, dvalue : ndarray
            As from `attention_backward`.

        Raises
        ------
        TypeError, ValueError
            If there was no forward pass, or several and no `saved` is given, or an array does not fit.
        """
        gradients: Any = self._answer(attention_backward, dy, "saved", saved, out)  # type: ignore[arg-type]
        return gradients  # type: ignore[no-any-return]
