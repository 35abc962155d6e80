# SPDX-License-Identifier: BSD-3-Clause
"""Dropout as functions of arrays."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from . import _checks, _core
from ._checks import Array, Probability
from ._states import whole_window
from ._values import scale_for
from ._windows import NoiseShape, noise_window
from .mask import Mask, apply_mask, evaluation_mask, new_mask
from .mask_generator import MaskGenerator, Rng, draw_state


class DropoutOptions(TypedDict, total=False):
    """The keywords that the kinds of dropout hand on to `dropout`."""

    rng: Rng
    inverted: bool
    keep_prob: Probability | None
    training: bool
    out: Array | None


def dropout(
    x: ArrayLike,
    p: Probability = _checks.DEFAULT_P,
    *,
    rng: Rng = None,
    noise_shape: NoiseShape = None,
    inverted: bool = True,
    keep_prob: Probability | None = None,
    training: bool = True,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    """Drop elements at random and scale the others, in one pass.

    ``y = round(x * s)`` with probability ``1 - p`` and ``+0.0`` otherwise, where ``s = 1 / (1 - p)`` rounded
    once to the dtype: the expected value of `y` is `x` (inverted dropout, [1]_). With ``inverted=False``,
    ``s = 1``.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values, of any shape and in any layout; see `Mask.apply`.
    p : float or array of float, default 0.5
        Probability of dropping an element, from 0 to 1. An array is broadcast to the noise shape: a rate for
        every row or channel.
    rng : optional
        Where the mask comes from. A `MaskGenerator` hands out its next mask. A `numpy.random` Generator or
        BitGenerator gives a new key by four raw draws. None is fresh entropy. An int or a SeedSequence
        gives the *same* mask at every call: in a training loop use a `MaskGenerator`. Not used when
        `training` is False.
    noise_shape : sequence of int or None, optional
        For every axis of `x` its length, or 1: one decision is shared along the whole axis; None means the
        length. ``(None, None, 1, 1)`` drops whole channels of images ``(N, C, H, W)``.
    inverted : bool, default True
        Scale in training, so that evaluation has nothing to do. False: what is kept stays as it is in
        training, and evaluation multiplies everything by ``1 - p``, as in the original paper.
    keep_prob : float or array of float, optional
        The probability of keeping, instead of `p`; exact to 2**-64, also where ``1 - keep_prob`` is not a
        float. ``s`` is then ``1 / keep_prob``.
    training : bool, default True
        False: nothing is dropped. The result is `x` itself, or a copy of it in `out`. With
        ``inverted=False`` it is ``round(x * (1 - p))``, and ``+0.0`` where p is 1. A flag is a bool or the
        integer 0 or 1. For a mode string write ``training=(mode == "train")``.
    out : ndarray, optional
        Where to write the result: of x's shape and dtype, in any layout, and either `x` itself (in place)
        or not overlapping it. A new array of 32 MiB or more takes at least twice as long as a reused one,
        because the system maps its pages at every call. In place is fastest.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new base array of x's shape and dtype, in C order and native byte order.
    mask : Mask
        What `dropout_backward` needs; it holds no array.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched. The mask of a call
        that is refused for its arrays has been taken from `rng` all the same.

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: A Simple Way to Prevent
       Neural Networks from Overfitting", JMLR 15 (2014), section 10.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, mask = fastdrop.dropout(np.ones(8, np.float32), 0.5, rng=1)
    >>> y
    array([2., 0., 0., 2., 0., 0., 2., 0.], dtype=float32)
    >>> fastdrop.dropout_backward(np.ones(8, np.float32), mask)
    array([2., 0., 0., 2., 0., 0., 2., 0.], dtype=float32)
    """
    if training is True and isinstance(rng, MaskGenerator) and inverted is True and keep_prob is None:
        # One call of the core instead of the steps below. It returns None for arrays, or a p, that it cannot
        # use as they are.
        strides = None
        if noise_shape is not None and isinstance(x, np.ndarray):
            strides = noise_window(x.shape, noise_shape)[1]
        done = _core.dropout(x, out, rng, p, strides, Mask)
        if done is not None:
            return done
    training, inverted = _checks.boolean(training, "training"), _checks.boolean(inverted, "inverted")
    rate = _checks.rate(p, keep_prob)
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    window = whole_window(array.shape, noise_shape, rate)
    if training:
        mask = new_mask(draw_state(rng, window), scale_for(window.p, inverted))
        return apply_mask(mask, array, out, "x"), mask
    mask = evaluation_mask(window, inverted)
    if out is not None or not inverted:
        return mask.apply(array, out=out), mask
    _checks.float_array(array, "x")
    return array, mask


def dropout_backward(dy: ArrayLike, mask: Mask, *, out: Array | None = None) -> Array:
    """The gradient of `dropout` with respect to its input, in one pass.

    `dropout` is linear in each element, so ``dx = round(dy * s)`` where the mask keeps and ``+0.0`` where it
    drops. The mask is generated again; neither `x` nor `y` is needed.

    Parameters
    ----------
    dy : array_like of float16, bfloat16, float32 or float64
        Gradient with respect to the result of `dropout`, of the mask's shape; a mask of your own is
        broadcast to it.
    mask : Mask
        The mask that `dropout` returned.
    out : ndarray, optional
        Where to write: of dy's shape and dtype, in any layout, and either `dy` itself or not overlapping it.

    Returns
    -------
    ndarray
        `out`, or a new base array of dy's shape and dtype, in C order and native byte order.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, mask = fastdrop.dropout(np.ones((2, 3), np.float32), 0.5, rng=1)
    >>> fastdrop.dropout_backward(np.full((2, 3), 10, np.float32), mask)
    array([[20.,  0.,  0.],
           [20.,  0.,  0.]], dtype=float32)
    """
    if not isinstance(mask, Mask):
        wanted = "the fastdrop.Mask that dropout returned"
        raise _checks.not_drawn(mask, "mask", wanted, isinstance(dy, Mask))
    return apply_mask(mask, dy, out, "dy")
