# SPDX-License-Identifier: BSD-3-Clause
"""Locked dropout: the same elements at every time step."""

from __future__ import annotations

from typing import Unpack

from numpy.typing import ArrayLike

from .. import _checks
from .._checks import Array, Probability
from .._keywords import check_options
from .._options import Option
from ..functional import DropoutOptions, dropout
from ..layers import ScalingLayer
from ..mask import Mask
from ..mask_generator import Rng
from ._noise_shapes import shared_along


def locked_dropout(
    x: ArrayLike,
    p: Probability = _checks.DEFAULT_P,
    *,
    time_axis: int,
    **options: Unpack[DropoutOptions],
) -> tuple[Array, Mask]:
    """Drop the same elements at every time step (locked or variational dropout, for recurrent networks).

    ``y[t, ...] = x[t, ...] / (1 - p)`` where one mask of the other axes keeps, for all t, and ``+0.0``
    elsewhere: noise that changed from step to step would drown the state that a recurrent network carries
    [1]_, [2]_. Noise shape: that of `x` with 1 for the time axis.

    Parameters
    ----------
    x : array_like of a float dtype
        Values, of any number of axes.
    p : float or array of float, default 0.5
        Probability of dropping, from 0 to 1; an array is broadcast to the noise shape.
    time_axis : int
        Axis of the time steps: 0 for ``(T, N, F)``, 1 for ``(N, T, F)``. It has no default, because both
        orders are common and the wrong one goes unnoticed.
    **options
        `rng`, `inverted`, `keep_prob`, `training`, `out`, as in `dropout`.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of x's shape and dtype.
    mask : Mask
        What `dropout_backward` needs. For a network that gets one step at a time,
        ``mask[t].apply(x_t)`` is the same for all t.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    References
    ----------
    .. [1] Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural
       Networks", NIPS 2016.
    .. [2] Merity, Keskar and Socher, "Regularizing and Optimizing LSTM Language Models", ICLR 2018,
       section 4.2.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, mask = fastdrop.locked_dropout(np.ones((3, 1, 4), np.float32), 0.5, time_axis=0, rng=1)
    >>> y[:, 0]
    array([[2., 0., 0., 2.],
           [2., 0., 0., 2.],
           [2., 0., 0., 2.]], dtype=float32)
    """
    check_options(options, locked_dropout)
    array = _checks.as_given(x, "x")
    return dropout(array, p, noise_shape=shared_along(array.shape, time_axis=time_axis), **options)


class LockedDropout(ScalingLayer):
    """`locked_dropout` as a layer: one mask for all time steps.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping, from 0 to 1; an array is broadcast to the noise shape.
    time_axis : int
        Axis of the time steps: 0 for ``(T, N, F)``, 1 for ``(N, T, F)``.
    inverted, keep_prob, rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if `x` has no such axis.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.LockedDropout(0.5, time_axis=0, rng=1)
    >>> drop(np.ones((3, 1, 4), np.float32))[:, 0]
    array([[2., 0., 0., 2.],
           [2., 0., 0., 2.],
           [2., 0., 0., 2.]], dtype=float32)
    """

    __slots__ = ("_time_axis",)

    time_axis = Option(_checks.index, "Axis of the time steps.")

    def __init__(
        self,
        p: Probability = _checks.DEFAULT_P,
        *,
        time_axis: int,
        inverted: bool = True,
        keep_prob: Probability | None = None,
        rng: Rng = None,
    ) -> None:
        super().__init__(p, inverted=inverted, keep_prob=keep_prob, rng=rng)
        self.time_axis = time_axis

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(locked_dropout(x, time_axis=self.time_axis, **self._keywords(out)))
