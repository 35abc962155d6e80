# SPDX-License-Identifier: BSD-3-Clause
"""Softmax alone, its logarithm, and the cross entropy of classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, _core
from .._checks import Array
from .._operations import compute_dtype
from ..mask import state_and_scale
from ._masks import keeps_all
from ._rows import checked_gradient, run_rows
from ._saved import check_apart

_MOST_CLASSES = 2**24  # numbers of classes are float32 in the core, which has all integers up to there


def softmax(x: ArrayLike, *, out: Array | None = None) -> Array:
    """The softmax of every row: ``exp(x) / sum(exp(x))`` along the last axis, which cannot overflow.

    This is `softmax_dropout` without scale, mask and dropout. A row of nothing but -inf is all zeros.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values, of at least one axis.
    out : ndarray, optional
        Where to write: `x` itself, or an array like it that does not overlap it.

    Returns
    -------
    ndarray
        `out`, or a new array of x's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> fastdrop.softmax(np.array([0.0, np.log(3.0)]))
    array([0.25, 0.75])
    """
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    state, one = state_and_scale(keeps_all(array.shape))
    arguments = (None, out, False, False, one, 1.0, math.inf)
    results = _core.run("softmax_dropout", state, array, *arguments)
    if results is None:
        results, _ = run_rows("softmax_dropout", state, ("x", "attn_mask"), array, *arguments)
    y: Array = results[0]
    return y


def softmax_backward(dy: ArrayLike, y: ArrayLike, *, out: Array | None = None) -> Array:
    """The gradient of `softmax` with respect to x: ``y * (dy - sum(dy * y))``.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to y.
    y : array_like
        What `softmax` returned.
    out : ndarray, optional
        Where to write: `dy` itself, or an array like it that overlaps neither.

    Returns
    -------
    ndarray
        `out`, or a new array of dy's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> fastdrop.softmax_backward(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    array([ 0.25, -0.25])
    """
    return _go_back("softmax_dropout_backward", dy, y, out, 1.0, 1.0)


def log_softmax(x: ArrayLike, *, out: Array | None = None) -> Array:
    """The logarithm of `softmax`: ``(x - max) - log(sum(exp(x - max)))`` along the last axis.

    Parameters
    ----------
    x, out
        As for `softmax`.

    Returns
    -------
    ndarray
        `out`, or a new array of x's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> np.exp(fastdrop.log_softmax(np.array([0.0, np.log(3.0)]))).round(15)
    array([0.25, 0.75])
    """
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    state, _ = state_and_scale(keeps_all(array.shape))
    y: Array | None = _core.run("log_softmax", state, array, out)
    if y is None:
        y, _ = run_rows("log_softmax", state, ("x",), array, out)
    return y


def log_softmax_backward(dy: ArrayLike, y: ArrayLike, *, out: Array | None = None) -> Array:
    """The gradient of `log_softmax` with respect to x: ``dy - exp(y) * sum(dy)``.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to y.
    y : array_like
        What `log_softmax` returned.
    out : ndarray, optional
        Where to write: `dy` itself, or an array like it that overlaps neither.

    Returns
    -------
    ndarray
        `out`, or a new array of dy's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y = fastdrop.log_softmax(np.array([0.0, 0.0]))
    >>> fastdrop.log_softmax_backward(np.array([1.0, 0.0]), y).round(15)
    array([ 0.5, -0.5])
    """
    return _go_back("log_softmax_backward", dy, y, out)


def cross_entropy(
    logits: ArrayLike, targets: ArrayLike, *, ignore_index: int | None = None, out: Array | None = None
) -> tuple[float, Array]:
    """The mean cross entropy of classes, and its gradient with respect to the logits.

    The loss of a row is ``-log_softmax(logits)[target]``. The mean is over all rows, or over those that are
    not ignored; it is rounded once. The gradient is ``(softmax(logits) - one_hot(target)) / rows``. Both come
    from the same walk over a row.

    Parameters
    ----------
    logits : array_like of float16, bfloat16, float32 or float64
        Scores of the shape ``(..., classes)``, with at most 2**24 classes, or any number in float64.
    targets : array_like of int
        The class of every row, from 0 on, of the shape ``logits.shape[:-1]``.
    ignore_index : int, optional
        A row with this target has no loss, and a gradient of zeros. PyTorch's default is -100.
    out : ndarray, optional
        Where to write the gradient: `logits` itself, or an array like it that does not overlap it.

    Returns
    -------
    loss : float
        The mean; NaN if no row counts.
    dlogits : ndarray
        `out`, or a new array of the shape and dtype of logits.

    Raises
    ------
    TypeError, ValueError
        If an array does not fit, or a target is no class; `out` is then untouched.

    Examples
    --------
    >>> import math, numpy as np, fastdrop
    >>> logits = np.log(np.array([[0.5, 0.5], [0.25, 0.75]]))
    >>> loss, dlogits = fastdrop.cross_entropy(logits, [0, 1])
    >>> round(loss, 6), round(-math.log(0.5 * 0.75) / 2, 6)
    (0.490415, 0.490415)
    >>> dlogits.round(6)
    array([[-0.25 ,  0.25 ],
           [ 0.125, -0.125]])
    """
    array = _checks.float_array(logits, "logits")
    state, _ = state_and_scale(keeps_all(array.shape, "logits"))
    if array.dtype.itemsize < 8 and array.shape[-1] > _MOST_CLASSES:
        wanted = f"at most {_MOST_CLASSES} classes, or be of float64"
        raise ValueError(f"logits must have {wanted}, not the shape {array.shape} of {array.dtype}")
    places, count = _places(targets, array.shape, ignore_index)
    arguments = (places.astype(compute_dtype(array.dtype)), out, None, 1.0 / count if count else 0.0)
    results = _core.run("cross_entropy", state, array, *arguments)
    if results is None:
        results, _ = run_rows("cross_entropy", state, ("logits", "targets"), array, *arguments)
    dlogits, losses = results
    return _mean(memoryview(losses.reshape(-1)), count), dlogits  # out is written: a list would need memory


def _mean(losses: memoryview, count: int) -> float:
    try:
        return math.fsum(losses) / count if count else math.nan
    except OverflowError:  # of the sum, but not of the mean
        return math.fsum(loss / count for loss in losses)


def _places(targets: Any, shape: tuple[int, ...], ignore_index: Any) -> tuple[Array, int]:
    """The classes of the rows, -1 for a row that is ignored, and how many rows are not."""
    array = _checks.as_array(targets, "targets", "an array of integers")
    remedy = ""
    if array.shape == shape:
        remedy = "; write targets.argmax(axis=-1) if each row has a 1 at its class"
    elif array.shape == (*shape[:-1], 1):
        remedy = "; write targets[..., 0]"
    if array.shape != shape[:-1]:
        wanted = f"an array of one class for each row of logits, {shape[:-1]}"
        raise ValueError(f"targets must be {wanted}, not {array.shape}{remedy}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"targets must be an array of integers, not {_checks.describe(targets)}")
    counts = np.ones(array.shape, bool)
    if ignore_index is not None:
        counts = array != _checks.index(ignore_index, "ignore_index")
    wrong = array[counts & ((array < 0) | (array >= shape[-1]))]
    if wrong.size:
        remedy = f"; write ignore_index={wrong[0]} to leave such rows out" if wrong[0] < 0 else ""
        wanted = f"from 0 to {shape[-1] - 1}, the classes of logits"
        raise ValueError(f"targets must be {wanted}, not {wrong[0]}{remedy}")
    return np.where(counts, array.astype(np.int64), -1), int(np.count_nonzero(counts))


def _go_back(operation: str, dy: ArrayLike, y: ArrayLike, out: Array | None, *constants: float) -> Array:
    array = y if isinstance(y, np.ndarray) else _checks.float_array(y, "y")
    if out is not None:
        check_apart(out, "y", array)
    state, _ = state_and_scale(keeps_all(array.shape, "y"))
    dx: Array | None = _core.run(operation, state, dy, array, out, *constants)
    if dx is None:
        dy = checked_gradient(dy, _checks.float_array(array, "y"), "y")
        dx, _ = run_rows(operation, state, ("dy", "y"), dy, array, out, *constants)
    return dx
