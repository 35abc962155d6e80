# SPDX-License-Identifier: BSD-3-Clause
"""Embedding dropout: whole rows of a table of words."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from .._checks import Array, Probability
from .._keywords import check_options
from ..functional import DropoutOptions, dropout
from ..layers import ScalingLayer
from ..mask import Mask
from ._noise_shapes import independent_along
from ._parameters import check_not_overwritten


def embedding_dropout(
    table: ArrayLike, p: Probability = _checks.DEFAULT_P, **options: Unpack[DropoutOptions]
) -> tuple[Array, Mask]:
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
        `rng`, `inverted`, `keep_prob`, `training`, `out`, as in `dropout`; `out` must not
        share memory with the table, which the next step needs.

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
    check_options(options, embedding_dropout)
    array = _table(table)
    if array.ndim != 2:
        raise ValueError(f"table must have the two axes (rows, columns), not the shape {array.shape}")
    check_not_overwritten(array, options.get("out"), "table")
    return dropout(array, p, noise_shape=independent_along(array.shape, row_axis=0), **options)


def _table(value: ArrayLike) -> Array:
    try:
        return _checks.as_given(value, "table")
    except TypeError:
        if not _holds_integers(value):
            raise
        remedy = "drop rows of it first, and then look the words up, embedding_dropout(table)[0][words]"
        raise TypeError(f"table must be the embedding table, floats, not integers: {remedy}") from None


def _holds_integers(value: ArrayLike) -> bool:
    try:
        return np.asarray(value).dtype.kind in "iu"
    except (TypeError, ValueError, RuntimeError, BufferError):  # no array at all
        return False


class EmbeddingDropout(ScalingLayer):
    """`embedding_dropout` as a layer: whole rows of a table, kept or dropped.

    `forward` takes the table, and `backward` the gradient with respect to what it returned.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping a row, from 0 to 1; an array is broadcast to the noise shape.
    inverted, keep_prob, rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if the table has not two axes.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.EmbeddingDropout(0.5, rng=1)
    >>> table, words = np.arange(8, dtype=np.float32).reshape(4, 2), [0, 1, 0]
    >>> drop(table)[words]
    array([[0., 2.],
           [0., 0.],
           [0., 2.]], dtype=float32)
    >>> gradient = np.zeros_like(table)
    >>> np.add.at(gradient, words, 1)
    >>> drop.backward(gradient)
    array([[4., 4.],
           [0., 0.],
           [0., 0.],
           [0., 0.]], dtype=float32)
    """

    __slots__ = ()

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(embedding_dropout(x, **self._keywords(out)))
