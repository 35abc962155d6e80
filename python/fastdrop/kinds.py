# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of dropout that are a matter of which axes share a decision, as functions."""

from typing import Any, TypedDict, Unpack

from numpy.typing import ArrayLike, NDArray

from . import _checks
from .functional import Rng, dropout
from .mask import Mask
from .sharing import given, own_along, row_noise, shared_along, table_shape


class Options(TypedDict, total=False):
    """The keywords that every kind hands on to `dropout`."""

    rng: Rng
    inverted: bool
    keep_prob: float | NDArray[Any] | None
    training: bool
    out: NDArray[Any] | None


def channel_dropout(
    x: ArrayLike,
    p: float | NDArray[Any] = _checks.DEFAULT_P,
    *,
    channel_axis: int = 1,
    sample_axis: int | None = 0,
    **options: Unpack[Options],
) -> tuple[NDArray[Any], Mask]:
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
    array = _checks.given_array(x, "x")
    noise_shape = own_along(array.shape, **given(sample_axis=sample_axis), channel_axis=channel_axis)
    return dropout(array, p, noise_shape=noise_shape, **options)


def locked_dropout(
    x: ArrayLike, p: float | NDArray[Any] = _checks.DEFAULT_P, *, time_axis: int, **options: Unpack[Options]
) -> tuple[NDArray[Any], Mask]:
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
    array = _checks.given_array(x, "x")
    return dropout(array, p, noise_shape=shared_along(array.shape, time_axis=time_axis), **options)


def drop_path(
    x: ArrayLike,
    p: float | NDArray[Any] = _checks.DEFAULT_P,
    *,
    sample_axis: int = 0,
    **options: Unpack[Options],
) -> tuple[NDArray[Any], Mask]:
    """Drop a residual branch for whole samples (drop path, stochastic depth).

    ``y[n] = x[n] / (1 - p)`` with probability ``1 - p`` and ``+0.0`` otherwise, decided once for each
    sample n. Added to the shortcut, a sample then skips the branch. Noise shape: ``(N, 1, ...)``.

    The paper [1]_ scales in evaluation (``inverted=False``) and lets `p` grow linearly with the depth: block
    l of L has ``p * l / L``. The name is from [2]_.

    Parameters
    ----------
    x : array_like of a float dtype
        What the branch gives, of any number of axes.
    p : float or array of float, default 0.5
        Probability of dropping the branch, from 0 to 1; an array is broadcast to the noise shape.
    sample_axis : int, default 0
        Axis of the samples.
    **options
        `rng`, `inverted`, `keep_prob`, `training`, `out`, as in `dropout`.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of x's shape and dtype.
    mask : Mask
        What `dropout_backward` needs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    References
    ----------
    .. [1] Huang, Sun, Liu, Sedra and Weinberger, "Deep Networks with Stochastic Depth", ECCV 2016.
    .. [2] Larsson, Maire and Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks without Residuals",
       ICLR 2017, section 2.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> shortcut, branch = np.ones((4, 2), np.float32), np.ones((4, 2), np.float32)
    >>> y, mask = fastdrop.drop_path(branch, 0.5, rng=1)
    >>> shortcut + y
    array([[3., 3.],
           [1., 1.],
           [1., 1.],
           [3., 3.]], dtype=float32)
    """
    array = _checks.given_array(x, "x")
    return dropout(array, p, noise_shape=own_along(array.shape, sample_axis=sample_axis), **options)


def embedding_dropout(
    table: ArrayLike, p: float | NDArray[Any] = _checks.DEFAULT_P, **options: Unpack[Options]
) -> tuple[NDArray[Any], Mask]:
    """Drop whole rows of an embedding table: words, wherever they occur in the batch.

    ``y[v, :] = table[v, :] / (1 - p)`` with probability ``1 - p`` and ``+0.0`` otherwise, decided once for
    each row v ([1]_, [2]_). Look words up in the result, ``y[words]``. Noise shape: ``(V, 1)``.

    Parameters
    ----------
    table : array_like of a float dtype, of shape (V, E)
        One row for each word.
    p : float or array of float, default 0.5
        Probability of dropping a row, from 0 to 1; an array is broadcast to the noise shape.
    **options
        `rng`, `inverted`, `keep_prob`, `training`, `out`, as in `dropout`.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of the table's shape and dtype.
    mask : Mask
        What `dropout_backward` needs, for the gradient with respect to the table.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    References
    ----------
    .. [1] Gal and Ghahramani, "A Theoretically Grounded Application of Dropout in Recurrent Neural
       Networks", NIPS 2016, section 4.2.
    .. [2] Merity, Keskar and Socher, "Regularizing and Optimizing LSTM Language Models", ICLR 2018,
       section 4.3.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> table = np.arange(8, dtype=np.float32).reshape(4, 2)
    >>> y, mask = fastdrop.embedding_dropout(table, 0.5, rng=1)
    >>> y[[0, 1, 0]]
    array([[0., 2.],
           [0., 0.],
           [0., 2.]], dtype=float32)
    """
    array = _checks.given_array(table, "table")
    return dropout(array, p, noise_shape=own_along(table_shape(array.shape), row_axis=0), **options)


def drop_connect(
    weight: ArrayLike,
    p: float | NDArray[Any] = _checks.DEFAULT_P,
    *,
    row_axis: int | None = None,
    **options: Unpack[Options],
) -> tuple[NDArray[Any], Mask]:
    """Drop weights instead of activations (DropConnect, weight drop).

    ``y = weight / (1 - p)`` with probability ``1 - p`` and ``+0.0`` otherwise, decided for each weight
    [1]_, or once for each row. In a recurrent network, one mask of the hidden-to-hidden weights serves the
    whole sequence [2]_. In evaluation, [1]_ samples from a normal distribution of the same moments, where
    everybody since multiplies by the mean.

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
        `rng`, `inverted`, `keep_prob`, `training`, `out`, as in `dropout`.

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
    array = _checks.given_array(weight, "weight")
    return dropout(array, p, noise_shape=row_noise(array.shape, row_axis), **options)
