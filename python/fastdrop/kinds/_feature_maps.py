# SPDX-License-Identifier: BSD-3-Clause
"""What the input of a layer for feature maps looks like: stated, never guessed from the rank."""

from __future__ import annotations

import functools
from typing import ClassVar

from .. import _checks
from .._options import Option
from ..layers import Layer


class FeatureMaps:
    """Which axes of an array are samples, channels and space."""

    def __init__(self, space: str, channel_axis: int | None, batched: bool) -> None:
        ndim = len(space) + 1 + batched
        self.batched = batched
        self.sample_axis = 0 if batched else None
        self.channel_axis = int(batched)
        if channel_axis is not None:
            self.channel_axis = _checks.axis(channel_axis, "channel_axis", ndim)
        if self.channel_axis == self.sample_axis:
            raise ValueError("channel_axis must not be 0 with batched=True: that is the axis of samples")
        names = [*("N" if batched else ""), *space]
        names.insert(self.channel_axis, "C")
        self.names = f"({', '.join(names)})"
        self.ndim = ndim

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse an array of another rank than stated."""
        if len(shape) != self.ndim:
            wanted = f"the {self.ndim} axes {self.names} of batched={self.batched}"
            raise ValueError(f"x must have {wanted}, not the shape {shape}")


_feature_maps = functools.cache(FeatureMaps)  # a forward pass asks every time


class FeatureMapLayer(Layer):
    """A layer whose arguments state the axes of its input."""

    __slots__ = ()  # of `_channel_axis` and `_batched`, which every class that is made of this one has
    _space: ClassVar[str]

    channel_axis = Option(
        _checks.optional_index, "Axis of the channels; None: the first after the samples.", usual=None
    )
    batched = Option(_checks.boolean, "Whether axis 0 is that of the samples.", usual=True)

    def _set_axes(self, channel_axis: int | None, batched: bool) -> None:
        self.channel_axis, self.batched = channel_axis, batched
        self._check_options()

    def _check_options(self) -> None:
        self._maps()

    def _maps(self) -> FeatureMaps:
        return _feature_maps(self._space, self.channel_axis, self.batched)
