# SPDX-License-Identifier: BSD-3-Clause
"""Alpha dropout: what is dropped becomes SELU's lower limit, and mean and variance stay what they were."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, _core
from .._checks import Array
from .._layer import MaskLayer
from .._operations import run_checked
from .._options import Option, ProbabilityOption
from .._states import whole_window
from ..functional import dropout
from ..mask import Mask, apply_mask, new_mask
from ..mask_generator import Rng, draw_state

# -scale * alpha of SELU: what SELU(x) goes to for large negative x.
_ALPHA_PRIME = -1.7580993408473766


def affine(p: float) -> tuple[float, float, float]:
    """a, b, and what a dropped element becomes (stream document, section 7)."""
    return _affine(p) if p >= _checks.SMALLEST_NORMAL else _core.with_subnormals(_affine, p)


def _affine(p: float) -> tuple[float, float, float]:
    if p == 1:
        return 0.0, 0.0, 0.0  # nothing is kept, and the last one goes to 0
    a = 1 / math.sqrt((1 - p) * (1 + p * (_ALPHA_PRIME * _ALPHA_PRIME)))
    b = -a * p * _ALPHA_PRIME
    return a, b, a * _ALPHA_PRIME + b


def _alpha(
    x: ArrayLike,
    p: Any,
    rng: Rng,
    noise_shape: tuple[int | None, ...] | None,
    training: bool,
    out: Array | None,
) -> tuple[Array, Mask]:
    p = _checks.scalar_probability(p)
    if not _checks.boolean(training, "training"):
        return dropout(x, rng=rng, training=False, out=out)
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    a, b, dropped = affine(p)
    state = draw_state(rng, whole_window(array.shape, noise_shape, p))
    y = _core.run("alpha_dropout", state, array, out, a, b, dropped)
    if y is None:
        y = run_checked("alpha_dropout", state, ("x",), array, out, a, b, dropped)
    return y, new_mask(state, a)


def alpha_dropout(
    x: ArrayLike,
    p: float = _checks.DEFAULT_P,
    *,
    rng: Rng = None,
    training: bool = True,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    """Dropout for self-normalising networks, in one pass: inputs of mean 0 and variance 1 keep both.

    ``y = a x + b`` with probability ``1 - p`` and ``a alpha' + b`` otherwise, where ``alpha' = -1.7581`` is
    the limit of SELU for large negative inputs, ``a = ((1 - p) (1 + p alpha'^2))^(-1/2)`` and
    ``b = -a p alpha'`` ([1]_). All constants are rounded once, to the dtype, or to float32 for those of
    16 bits.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values, of any shape.
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1. With 1 the result is 0 everywhere.
    rng, training, out : optional
        As for `dropout`.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of x's shape and dtype, in native byte order.
    mask : Mask
        What `alpha_dropout_backward` needs. It keeps what the mask of `dropout` keeps; its `scale` is `a`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    References
    ----------
    .. [1] Klambauer, Unterthiner, Mayr and Hochreiter, "Self-Normalizing Neural Networks", NIPS 2017.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, mask = fastdrop.alpha_dropout(np.zeros(4, np.float32), 0.5, rng=1)
    >>> y
    array([ 0.77919394, -0.77919394, -0.77919394,  0.77919394], dtype=float32)
    >>> fastdrop.alpha_dropout_backward(np.ones(4, np.float32), mask)
    array([0.8864049, 0.       , 0.       , 0.8864049], dtype=float32)
    """
    return _alpha(x, p, rng, None, training, out)


def alpha_dropout_backward(dy: ArrayLike, mask: Mask, *, out: Array | None = None) -> Array:
    """The gradient of `alpha_dropout`, and of `feature_alpha_dropout`, with respect to its input.

    ``dx = a dy`` where the mask keeps, and ``+0.0`` where it drops: there y does not depend on x.

    Parameters
    ----------
    dy : array_like of float16, bfloat16, float32 or float64
        Gradient with respect to the result, of the mask's shape.
    mask : Mask
        The mask that came with the result, or a window of it. Its scale is a; a mask of another function,
        which has another scale, is refused.
    out : ndarray, optional
        Where to write: of dy's shape and dtype, and either `dy` itself or not overlapping it.

    Returns
    -------
    ndarray
        `out`, or a new array of dy's shape and dtype, in native byte order.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, mask = fastdrop.alpha_dropout(np.zeros(4, np.float32), 0.5, rng=1)
    >>> fastdrop.alpha_dropout_backward(np.ones(4, np.float32), mask)
    array([0.8864049, 0.       , 0.       , 0.8864049], dtype=float32)
    """
    if not isinstance(mask, Mask):
        wanted = "the fastdrop.Mask that alpha_dropout returned"
        raise _checks.not_drawn(mask, "mask", wanted, isinstance(dy, Mask))
    p, scale = mask.p, mask.scale
    if not isinstance(p, float) or not isinstance(scale, float) or scale != affine(p)[0]:
        wanted = "a mask that alpha_dropout or feature_alpha_dropout returned, with their scale"
        raise ValueError(f"mask must be {wanted}, not {mask!r}: use dropout_backward(dy, mask) for others")
    return apply_mask(mask, dy, out, "dy")


def feature_alpha_dropout(
    x: ArrayLike,
    p: float = _checks.DEFAULT_P,
    *,
    channel_axis: int = 1,
    rng: Rng = None,
    training: bool = True,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    """Alpha dropout of whole channels: `alpha_dropout` with one decision for each sample and channel.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values. Axis 0 counts the samples.
    p : float, default 0.5
        Probability of dropping a channel, from 0 to 1.
    channel_axis : int, default 1
        The axis of the channels: -1 for channels-last. 0 is for a single sample ``(C, ...)`` without an axis
        that counts samples.
    rng, training, out : optional
        As for `dropout`.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of x's shape and dtype, in native byte order.
    mask : Mask
        What `alpha_dropout_backward` needs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, mask = fastdrop.feature_alpha_dropout(np.zeros((1, 2, 3), np.float32), 0.5, rng=1)
    >>> y
    array([[[ 0.77919394,  0.77919394,  0.77919394],
            [-0.77919394, -0.77919394, -0.77919394]]], dtype=float32)
    """
    array = _checks.as_given(x, "x")
    axis = _checks.axis(channel_axis, "channel_axis", array.ndim) if array.ndim else 0
    noise_shape = tuple(None if a in (0, axis) else 1 for a in range(array.ndim))
    return _alpha(array, p, rng, noise_shape, training, out)


class AlphaDropout(MaskLayer):
    """`alpha_dropout` as a layer, with the methods of `Layer`.

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1.
    rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.AlphaDropout(0.1, rng=0)
    >>> y = drop(np.ones((2, 3), np.float32))
    >>> dx = drop.backward(np.ones((2, 3), np.float32))
    >>> drop.eval()(y) is y
    True
    """

    __slots__ = ()

    p = ProbabilityOption(_checks.scalar_probability, "Probability of dropping an element.")

    def __init__(self, p: float = _checks.DEFAULT_P, *, rng: Rng = None) -> None:
        super().__init__(p, rng=rng)

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(alpha_dropout(x, self.p, rng=self.rng, training=self.training, out=out))

    def backward(self, dy: ArrayLike, *, mask: Mask | None = None, out: Array | None = None) -> Array:
        return self._answer(alpha_dropout_backward, dy, "mask", mask, out)


class FeatureAlphaDropout(AlphaDropout):
    """`feature_alpha_dropout` as a layer, with the methods of `Layer`.

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping a channel, from 0 to 1.
    channel_axis : int, default 1
        The axis of the channels, as for `feature_alpha_dropout`.
    rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.FeatureAlphaDropout(0.5, rng=1)
    >>> drop(np.zeros((1, 2, 3), np.float32))
    array([[[ 0.77919394,  0.77919394,  0.77919394],
            [-0.77919394, -0.77919394, -0.77919394]]], dtype=float32)
    """

    __slots__ = ("_channel_axis",)

    channel_axis = Option(_checks.index, "The axis of the channels.", usual=1)

    def __init__(self, p: float = _checks.DEFAULT_P, *, channel_axis: int = 1, rng: Rng = None) -> None:
        super().__init__(p, rng=rng)
        self.channel_axis = channel_axis

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(
            feature_alpha_dropout(
                x, self.p, channel_axis=self.channel_axis, rng=self.rng, training=self.training, out=out
            )
        )
