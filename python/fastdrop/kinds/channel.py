# SPDX-License-Identifier: BSD-3-Clause
"""Channel dropout: whole feature maps."""

from __future__ import annotations

from typing import Unpack

from numpy.typing import ArrayLike

from .. import _checks
from .._checks import Array, Probability
from .._keywords import check_options, naming_layer
from ..functional import DropoutOptions, dropout
from ..layers import ScalingLayer
from ..mask import Mask
from ..mask_generator import Rng
from ._feature_maps import FeatureMapLayer
from ._noise_shapes import independent_along, not_none


def channel_dropout(
    x: ArrayLike,
    p: Probability = _checks.DEFAULT_P,
    *,
    channel_axis: int = 1,
    sample_axis: int | None = 0,
    **options: Unpack[DropoutOptions],
) -> tuple[Array, Mask]:
    """Drop whole channels (spatial dropout).

    ``y[n, c, ...] = x[n, c, ...] / (1 - p)`` with probability ``1 - p`` and ``+0.0`` otherwise, decided
    once for each sample n and channel c: neighbours in a feature map are too alike for
    single elements to be missed [1]_. Noise shape: ``(N, C, 1, ...)``.

    Parameters
    ----------
    x : array_like of a float dtype
        Values, of any number of axes.
    p : float or array of float, default 0.5
        Probability of dropping a channel, from 0 to 1; an array is broadcast to the noise shape.
    channel_axis : int, default 1
        Axis of the channels; -1 for channels-last.
    sample_axis : int or None, default 0
        Axis of the samples; None: `x` is one sample.
    **options
        `rng`, `inverted`, `keep_prob`, `training`, `out`, as in `dropout`.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of x's shape and dtype.
    mask : Mask
        What `dropout_backward` needs; its noise shape says which axes share.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    References
    ----------
    .. [1] Tompson, Goroshin, Jain, LeCun and Bregler, "Efficient Object Localization Using Convolutional
       Networks", CVPR 2015, section 3.2.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, mask = fastdrop.channel_dropout(np.ones((2, 3, 4, 4), np.float32), 0.5, rng=1)
    >>> mask.noise_shape
    (2, 3, 1, 1)
    >>> y[..., 0, 0]
    array([[2., 0., 0.],
           [2., 0., 0.]], dtype=float32)
    """
    check_options(options, channel_dropout)
    array = _checks.as_given(x, "x")
    noise_shape = independent_along(
        array.shape, **not_none(sample_axis=sample_axis), channel_axis=channel_axis
    )
    return dropout(array, p, noise_shape=noise_shape, **options)


class _ChannelDropout(FeatureMapLayer, ScalingLayer):
    """`channel_dropout` as a layer, for feature maps whose axes the arguments state."""

    __slots__ = ("_batched", "_channel_axis")

    def __init__(
        self,
        p: Probability = _checks.DEFAULT_P,
        *,
        channel_axis: int | None = None,
        batched: bool = True,
        inverted: bool = True,
        keep_prob: Probability | None = None,
        rng: Rng = None,
    ) -> None:
        super().__init__(p, inverted=inverted, keep_prob=keep_prob, rng=rng)
        self._set_axes(channel_axis, batched)

    @naming_layer
    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        array, axes = self._with_axes(x)
        return self._remember(channel_dropout(array, **axes, **self._keywords(out)))


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
    inverted, keep_prob, rng : optional
        As for `Dropout`.

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

    __slots__ = ()
    _space = "L"


class Dropout2d(_ChannelDropout):
    """`channel_dropout` as a layer for images ``(N, C, H, W)``: whole channels, kept or dropped.

    Parameters
    ----------
    p, channel_axis, batched, inverted, keep_prob, rng : optional
        As for `Dropout1d`. With ``batched=False`` the input is one sample, ``(C, H, W)``.

    Raises
    ------
    TypeError, ValueError
        As for `Dropout1d`.

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

    __slots__ = ()
    _space = "HW"


class Dropout3d(_ChannelDropout):
    """`channel_dropout` as a layer for volumes ``(N, C, D, H, W)``: whole channels, kept or dropped.

    Parameters
    ----------
    p, channel_axis, batched, inverted, keep_prob, rng : optional
        As for `Dropout1d`. With ``batched=False`` the input is one sample, ``(C, D, H, W)``.

    Raises
    ------
    TypeError, ValueError
        As for `Dropout1d`.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.Dropout3d(0.5, rng=1)
    >>> drop(np.ones((2, 3, 2, 2, 2), np.float32))[..., 0, 0, 0]
    array([[2., 0., 0.],
           [2., 0., 0.]], dtype=float32)
    """

    __slots__ = ()
    _space = "DHW"
