# SPDX-License-Identifier: BSD-3-Clause
"""What the input of a layer for feature maps looks like: stated, never guessed from the rank."""

from .. import _checks


class FeatureMaps:
    """Which axes of an array are samples, channels and space, for a layer that says so in its arguments."""

    def __init__(self, space: str, channel_axis: int | None, batched: bool) -> None:
        if not isinstance(batched, bool):
            raise TypeError(f"batched must be a bool, not {_checks.describe(batched)}")
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

    def __str__(self) -> str:
        return f", channel_axis={self.channel_axis}, batched={self.batched}"
