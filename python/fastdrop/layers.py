# SPDX-License-Identifier: BSD-3-Clause
"""`Dropout`, the layer, and what it has in common with the layers of the kinds that scale as it does."""

from __future__ import annotations

from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Probability
from ._layer import MaskLayer
from ._options import Option
from ._windows import NoiseShape
from .functional import DropoutOptions, dropout
from .mask_generator import Rng


class ScalingLayer(MaskLayer):
    """A `MaskLayer` that scales in training or, not inverted, in evaluation."""

    __slots__ = ("_inverted",)
    _inverted: bool

    inverted = Option(_checks.boolean, "Whether training scales, or evaluation.", usual=True)

    def __init__(
        self,
        p: Probability = _checks.DEFAULT_P,
        *,
        inverted: bool = True,
        keep_prob: Probability | None = None,
        rng: Rng = None,
    ) -> None:
        super().__init__(_checks.drop_probability(p, keep_prob), rng=rng)
        self.inverted = inverted

    def _keywords(self, out: Array | None) -> DropoutOptions:
        """What the function of the layer's kind is told beside its axes."""
        return {"rng": self._rng, "inverted": self._inverted, "training": self._training, "out": out}


class Dropout(ScalingLayer):
    """`dropout` as a layer.

    Every forward pass in training takes the next mask of the layer's `MaskGenerator`. The backward pass uses
    the mask of the last forward pass, or the one that you give it: ``backward(dy, mask=mask)``. If you call
    one layer at several time steps, keep `mask` after every call and give it back. Without ``mask=``,
    `backward` refuses to guess which step you mean.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping an element, from 0 to 1. An array is broadcast to the noise shape.
    noise_shape : sequence of int or None, optional
        For every axis of the input its length or None, or 1: one decision is shared along the whole axis.
    inverted : bool, default True
        Scale in training. False: in evaluation, both passes multiply by ``1 - p`` instead.
    keep_prob : float or array of float, optional
        The probability of keeping, instead of `p`, which is then ``1 - keep_prob``.
    rng : optional
        None (fresh entropy), an int, a `numpy.random` SeedSequence, BitGenerator or Generator, of which the
        layer makes a `MaskGenerator` of its own; or a `MaskGenerator`, which it then shares. Layers with the
        same int drop the same elements: give them one `MaskGenerator`, or one each from its `spawn`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Attributes
    ----------
    p, training, rng
        As for `Layer`.
    noise_shape : tuple of int or None, or None
        Where decisions are shared; may be set between steps.
    inverted : bool
        Whether training scales, or evaluation; may be set between steps.
    mask : Mask or None
        The mask of the last forward pass.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.Dropout(0.5, rng=0)
    >>> y = drop(np.ones((2, 3), np.float32))
    >>> dx = drop.backward(np.ones((2, 3), np.float32))
    >>> bool((y == dx).all())
    True
    >>> drop
    Dropout(p=0.5, rng=<seed=0, stream=1>)
    >>> drop.eval()(y) is y
    True
    """

    __slots__ = ("_noise_shape",)
    _noise_shape: NoiseShape

    noise_shape = Option(
        lambda value, _: _checks.noise_entries(value),
        "For every axis of the input its length, None for its length, or 1 where decisions are shared.",
        usual=None,
    )

    def __init__(
        self,
        p: Probability = _checks.DEFAULT_P,
        *,
        noise_shape: NoiseShape = None,
        inverted: bool = True,
        keep_prob: Probability | None = None,
        rng: Rng = None,
    ) -> None:
        super().__init__(p, inverted=inverted, keep_prob=keep_prob, rng=rng)
        self.noise_shape = noise_shape

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(
            dropout(
                x,
                self._p,
                rng=self._rng,
                noise_shape=self._noise_shape,
                inverted=self._inverted,
                training=self._training,
                out=out,
            )
        )
