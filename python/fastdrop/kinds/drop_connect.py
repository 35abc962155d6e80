# SPDX-License-Identifier: BSD-3-Clause
"""DropConnect: weights instead of activations, one by one or by rows."""

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
from ._noise_shapes import independent_along
from ._parameters import check_not_overwritten


def drop_connect(
    weight: ArrayLike,
    p: Probability = _checks.DEFAULT_P,
    *,
    row_axis: int | None = None,
    **options: Unpack[DropoutOptions],
) -> tuple[Array, Mask]:
    """Drop weights instead of activations (DropConnect, weight drop).

    ``y = weight / (1 - p)`` with probability ``1 - p`` and ``+0.0`` otherwise, decided for each weight
    [1]_, or once for each row. In a recurrent network, one mask of the hidden-to-hidden weights serves the
    whole sequence [2]_. In evaluation, [1]_ samples from a normal distribution with the same mean and
    variance. Later work, and this function, uses the mean.

    Parameters
    ----------
    weight : array_like of a float dtype
        Weights, of any number of axes.
    p : float or array of float, default 0.5
        Probability of dropping, from 0 to 1; an array is broadcast to the noise shape.
    row_axis : int or None, default None
        None: a decision for each element. Otherwise one for each index along this axis, shared by all
        others: in ``y = x @ weight`` axis 1 drops what arrives at an output, and axis 0 what leaves an input.
    **options
        `rng`, `inverted`, `keep_prob`, `training`, `out`, as in `dropout`; `out` must not
        share memory with the weights, which the next step needs.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of the weight's shape and dtype.
    mask : Mask
        What `dropout_backward` needs, for the gradient with respect to the weight.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    References
    ----------
    .. [1] Wan, Zeiler, Zhang, LeCun and Fergus, "Regularization of Neural Networks using DropConnect", ICML
       2013.
    .. [2] Merity, Keskar and Socher, "Regularizing and Optimizing LSTM Language Models", ICLR 2018,
       section 2.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, mask = fastdrop.drop_connect(np.ones((2, 4), np.float32), 0.5, rng=1)
    >>> y
    array([[2., 0., 0., 2.],
           [0., 0., 2., 0.]], dtype=float32)
    >>> fastdrop.drop_connect(np.ones((2, 4), np.float32), 0.5, row_axis=0, rng=1)[0]
    array([[2., 2., 2., 2.],
           [0., 0., 0., 0.]], dtype=float32)
    """
    check_options(options, drop_connect)
    array = _checks.as_given(weight, "weight")
    check_not_overwritten(array, options.get("out"), "weight")
    rows = None if row_axis is None else independent_along(array.shape, row_axis=row_axis)
    return dropout(array, p, noise_shape=rows, **options)


class DropConnect(ScalingLayer):
    """`drop_connect` as a layer: weights, kept or dropped one by one or by rows.

    `forward` takes the weights, and `backward` the gradient with respect to what it returned.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping, from 0 to 1; an array is broadcast to the noise shape.
    row_axis : int or None, default None
        None: a decision for each element. Otherwise one for each index along this axis.
    inverted, keep_prob, rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if the weights have no such axis.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.DropConnect(0.5, rng=1)
    >>> drop(np.ones((2, 4), np.float32))
    array([[2., 0., 0., 2.],
           [0., 0., 2., 0.]], dtype=float32)
    """

    __slots__ = ("_row_axis",)

    row_axis = Option(_checks.optional_index, "Axis along which rows are counted, or None.", usual=None)

    def __init__(
        self,
        p: Probability = _checks.DEFAULT_P,
        *,
        row_axis: int | None = None,
        inverted: bool = True,
        keep_prob: Probability | None = None,
        rng: Rng = None,
    ) -> None:
        super().__init__(p, inverted=inverted, keep_prob=keep_prob, rng=rng)
        self.row_axis = row_axis

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(drop_connect(x, row_axis=self.row_axis, **self._keywords(out)))
