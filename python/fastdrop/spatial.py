# SPDX-License-Identifier: BSD-3-Clause
"""Channel dropout as layers, and what their input looks like: stated, never guessed from the rank."""

from typing import Any, ClassVar, Unpack

from numpy.typing import NDArray

from . import _checks
from .kind_layers import LayerOptions, _SharingDropout
from .sharing import given, own_along


class FeatureMaps:
    """Which axes of an array are samples, channels and space, for a layer that says so in its arguments."""

    def __init__(self, space: str, channel_axis: int | None, batched: bool) -> None:
        if not isinstance(batched, bool):
            raise TypeError(f"batched must be a bool, not {_checks._described(batched)}")
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


class _ChannelDropout(_SharingDropout):
    _space: ClassVar[str]

    def __init__(
        self,
        p: float | NDArray[Any] = _checks.DEFAULT_P,
        *,
        channel_axis: int | None = None,
        batched: bool = True,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(p, **options)
        self.maps = FeatureMaps(self._space, channel_axis, batched)

    def _noise_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        self.maps.check(shape)
        samples = given(sample_axis=self.maps.sample_axis)
        return own_along(shape, **samples, channel_axis=self.maps.channel_axis)

    def _arguments(self) -> str:
        return str(self.maps)


class Dropout1d(_ChannelDropout):
    """`channel_dropout` as a layer for sequences ``(N, C, L)``: whole channels, kept or dropped [1]_.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping a channel, from 0 to 1; an array is broadcast to the noise shape.
    channel_axis : int, optional
        Axis of the channels, by default the first that is not the samples'; -1 for channels-last.
    batched : bool, default True
        Whether axis 0 is that of the samples. False: the input is one sample, ``(C, L)``.
    **options
        `inverted`, `keep_prob`, `rng`, as in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if `x` has another number of
        axes than stated.

    References
    ----------
    .. [1] Tompson, Goroshin, Jain, LeCun and Bregler, "Efficient Object Localization Using Convolutional
       Networks", CVPR 2015, section 3.2.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> fastdrop.Dropout1d(0.5, rng=1, batched=False)(np.ones((3, 4), np.float32))
    array([[2., 2., 2., 2.],
           [0., 0., 0., 0.],
           [0., 0., 0., 0.]], dtype=float32)
    """

    _space = "L"


class Dropout2d(_ChannelDropout):
    """`channel_dropout` as a layer for images ``(N, C, H, W)``: whole channels, kept or dropped [1]_.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping a channel, from 0 to 1; an array is broadcast to the noise shape.
    channel_axis : int, optional
        Axis of the channels, by default the first that is not the samples'; -1 for channels-last.
    batched : bool, default True
        Whether axis 0 is that of the samples. False: the input is one sample, ``(C, H, W)``.
    **options
        `inverted`, `keep_prob`, `rng`, as in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if `x` has another number of
        axes than stated.

    References
    ----------
    .. [1] Tompson, Goroshin, Jain, LeCun and Bregler, "Efficient Object Localization Using Convolutional
       Networks", CVPR 2015, section 3.2.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.Dropout2d(0.5, rng=1, channel_axis=-1)
    >>> drop(np.ones((2, 4, 4, 3), np.float32))[:, 0, 0]
    array([[2., 0., 0.],
           [2., 0., 0.]], dtype=float32)
    >>> drop.mask.noise_shape
    (2, 1, 1, 3)
    """

    _space = "HW"


class Dropout3d(_ChannelDropout):
    """`channel_dropout` as a layer for volumes ``(N, C, D, H, W)``: whole channels, kept or dropped [1]_.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping a channel, from 0 to 1; an array is broadcast to the noise shape.
    channel_axis : int, optional
        Axis of the channels, by default the first that is not the samples'; -1 for channels-last.
    batched : bool, default True
        Whether axis 0 is that of the samples. False: the input is one sample, ``(C, D, H, W)``.
    **options
        `inverted`, `keep_prob`, `rng`, as in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if `x` has another number of
        axes than stated.

    References
    ----------
    .. [1] Tompson, Goroshin, Jain, LeCun and Bregler, "Efficient Object Localization Using Convolutional
       Networks", CVPR 2015, section 3.2.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.Dropout3d(0.5, rng=1)
    >>> drop(np.ones((2, 3, 2, 2, 2), np.float32))[..., 0, 0, 0]
    array([[2., 0., 0.],
           [2., 0., 0.]], dtype=float32)
    """

    _space = "DHW"
