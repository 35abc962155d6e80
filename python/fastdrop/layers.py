# SPDX-License-Identifier: BSD-3-Clause
"""`Dropout`, the layer, and what it has in common with the layers of the kinds that scale as it does."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from . import _checks
from ._checks import Array, Probability
from ._layer import MaskLayer, read_only
from ._options import Option, ProbabilityOption
from ._values import ScalarOrArray
from ._windows import NoiseShape
from .functional import DropoutOptions, dropout
from .mask_generator import Rng


class LayerOptions(DropoutOptions, total=False):
    """The keywords of a function, and p."""

    p: Probability


class _P(ProbabilityOption[ScalarOrArray]):
    """Probability of dropping: the other side of `keep_prob`, if that was given."""

    def __set__(self, layer: Any, value: Any) -> None:
        super().__set__(layer, value)
        layer._keep_prob = None

    def show(self, layer: Any) -> list[str]:
        return super().show(layer) if layer._keep_prob is None else []


class _KeepProb(ProbabilityOption[ScalarOrArray | None]):
    """The number that was given: ``1 - (1 - keep_prob)`` is another one."""

    def __set__(self, layer: Any, value: Any) -> None:
        super().__set__(layer, value)
        if (checked := layer.keep_prob) is not None:
            layer.p = 1.0 - checked
            super().__set__(layer, checked)


def _checked_keep_prob(value: Any, name: str) -> ScalarOrArray | None:
    return None if value is None else read_only(_checks.probability(value, name, "keeping"), name)


class ScalingLayer(MaskLayer):
    """A `MaskLayer` that scales in training or, not inverted, in evaluation."""

    __slots__ = ("_inverted", "_keep_prob")
    _inverted: bool
    _keep_prob: ScalarOrArray | None

    p = _P(lambda p, name: read_only(_checks.probability(p, name), name), "Probability of dropping.")
    keep_prob = _KeepProb(_checked_keep_prob, "Probability of keeping, or None if p was given.", usual=None)
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
        self.keep_prob = keep_prob
        self.inverted = inverted

    def _keywords(self, out: Array | None) -> LayerOptions:
        """What the function of the layer's kind is told beside its axes."""
        keywords: LayerOptions = {
            "rng": self._rng,
            "inverted": self._inverted,
            "training": self._training,
            "out": out,
        }
        if self._keep_prob is None:
            keywords["p"] = self._p
        else:
            keywords["keep_prob"] = self._keep_prob
        return keywords

    def __setstate__(self, state: Any) -> None:
        self._keep_prob = None  # what older versions did not keep
        super().__setstate__(state)


class _NoiseShape(Option[NoiseShape]):
    """In a state -1 stands for None, which arrays of numbers cannot hold."""

    def to_state(self, layer: object) -> Any:
        entries = super().to_state(layer)
        return None if entries is None else [-1 if entry is None else entry for entry in entries]

    def from_state(self, value: Any) -> Any:
        return [None if entry == -1 else entry for entry in value] if isinstance(value, list) else value


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
        The probability of keeping, instead of `p`, which is then ``1 - keep_prob``. The scale is exactly
        ``1 / keep_prob``.
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
    keep_prob : float or array of float, or None
        The probability of keeping, if that was given. Setting it sets `p`; setting `p` makes it None.
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

    noise_shape = _NoiseShape(
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
                self._p if self._keep_prob is None else _checks.DEFAULT_P,
                rng=self._rng,
                noise_shape=self._noise_shape,
                inverted=self._inverted,
                keep_prob=self._keep_prob,
                training=self._training,
                out=out,
            )
        )
