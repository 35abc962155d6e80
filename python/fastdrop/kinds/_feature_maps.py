# SPDX-License-Identifier: BSD-3-Clause
"""What the input of a layer for feature maps looks like: stated, never guessed from the rank."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, TypedDict

from numpy.typing import ArrayLike

from .. import _checks
from .._checks import Array
from .._layer import Layer
from .._options import Option


class FeatureAxes(TypedDict):
    """The axes as the functions of the kinds take them."""

    channel_axis: int
    sample_axis: int | None


class FeatureMaps:
    """Which axes of an array are samples, channels and space."""

    def __init__(self, space: str, channel_axis: int | None, batched: bool) -> None:
        ndim = len(space) + 1 + batched
        axis = int(batched) if channel_axis is None else _checks.axis(channel_axis, "channel_axis", ndim)
        if batched and axis == 0:
            raise ValueError("channel_axis must not be 0 with batched=True: that is the axis of samples")
        names = [*("N" if batched else ""), *space]
        names.insert(axis, "C")
        self.axes: FeatureAxes = {"channel_axis": axis, "sample_axis": 0 if batched else None}
        self.names = f"({', '.join(names)})"
        self.ndim, self.batched = ndim, batched

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse an array of another rank than stated."""
        if len(shape) != self.ndim:
            wanted = f"the {self.ndim} axes {self.names} of batched={self.batched}"
            raise ValueError(f"x must have {wanted}, not the shape {shape}")


_feature_maps = functools.cache(FeatureMaps)  # a forward pass asks every time


class _ChannelAxis(Option[int | None]):
    """The option `channel_axis`. It must be an axis of the input with samples, which has most axes.

    Whether it goes together with `batched` is checked later, so that you may set the two in any order.
    """

    def __set__(self, layer: Any, value: Any) -> None:
        if value is not None:
            _checks.axis(value, "channel_axis", len(layer._space) + 2)
        super().__set__(layer, value)


class FeatureMapLayer(Layer):
    """A layer whose arguments state the axes of its input."""

    # A subclass must have the slots `_channel_axis` and `_batched`: two base classes with slots cannot be
    # combined.
    __slots__ = ()
    _space: ClassVar[str]

    channel_axis = _ChannelAxis(
        _checks.optional_index, "Axis of the channels; None: the first after the samples.", usual=None
    )
    batched = Option(_checks.boolean, "Whether axis 0 is that of the samples.", usual=True)

    def _set_axes(self, channel_axis: int | None, batched: bool) -> None:
        self.channel_axis, self.batched = channel_axis, batched
        self._check_options()

    def _check_options(self) -> None:
        self._maps()

    def _with_axes(self, x: ArrayLike) -> tuple[Array, FeatureAxes]:
        """`x` as an array, and its axes; an array of another rank than stated is refused."""
        array, maps = _checks.as_given(x, "x"), self._maps()
        maps.check(array.shape)
        return array, maps.axes

    def _maps(self) -> FeatureMaps:
        return _feature_maps(self._space, self.channel_axis, self.batched)
