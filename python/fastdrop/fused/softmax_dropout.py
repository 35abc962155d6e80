# SPDX-License-Identifier: BSD-3-Clause
"""Scale, mask, softmax and dropout in one pass, and the gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks, _core
from .._checks import Array, Probability
from .._windows import NoiseShape
from ..mask import Mask, state_and_scale
from ..mask_generator import Rng
from ._attn_mask import added_mask, checked_causal, checked_scale
from ._masks import keeps_everything, mask_for, optional_p
from ._rows import checked_gradient, run_rows
from ._saved import SavedSoftmaxDropout, check_apart, check_saved


def softmax_dropout(
    scores: ArrayLike,
    p: Probability = 0.0,
    *,
    scale: float = 1.0,
    attn_mask: ArrayLike | None = None,
    is_causal: bool = False,
    rng: Rng = None,
    noise_shape: NoiseShape = None,
    mask: Mask | None = None,
    training: bool = True,
    out: Array | None = None,
    weights_out: Array | None = None,
) -> tuple[Array, SavedSoftmaxDropout]:
    """Scale scores, mask them, take the softmax of every row and drop, in one pass.

    ``z = scores * scale + attn_mask``; ``weights = exp(z - max) / sum(exp(z - max))`` along the last axis;
    ``y = weights * s`` with probability ``1 - p`` and ``+0.0`` otherwise, where ``s = 1 / (1 - p)``. This is
    what attention does between its two matrix products ([1]_, with its dropout). A row that may attend to
    nothing is all zeros.

    Parameters
    ----------
    scores : array_like of float16, bfloat16, float32 or float64
        Values of the shape ``(..., queries, keys)``, or with any leading axes: rows are along the last one.
    p : float or array of float, default 0
        Probability of dropping a weight, as for `dropout`.
    scale : float, default 1
        What scores are multiplied by, such as ``1 / sqrt(d)``. The scale of dropout comes from p.
    attn_mask : array_like of bool or of the dtype of scores, optional
        True where a query may attend to a key, or what is added: -inf where it may not. It is broadcast to
        scores.
    is_causal : bool, default False
        A query sees the keys up to its own number only, both counted from the first. This needs no array, and
        nothing is computed of the others.
    rng, noise_shape, mask, training : optional
        As for `bias_dropout_add`: the mask is the one that `dropout` would draw for scores.
    out : ndarray, optional
        Where to write y: of the shape and dtype of scores, and either `scores` itself or not overlapping any
        operand.
    weights_out : ndarray, optional
        Where to write the weights, likewise. It must not overlap `out`.

    Returns
    -------
    y : ndarray
        `out`, or a new array like scores, in C order and native byte order.
    saved : SavedSoftmaxDropout
        What `softmax_dropout_backward` needs: the mask, which is no array, and the weights. These are y
        itself where nothing is dropped. They must not change before the backward pass.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` and `weights_out` are then untouched. The
        mask of a call that is refused for its arrays has been taken from `rng` all the same.

    References
    ----------
    .. [1] Vaswani et al., "Attention Is All You Need", arXiv:1706.03762 (2017).

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> scores = np.zeros((3, 3), np.float32)
    >>> y, saved = fastdrop.softmax_dropout(scores, p=0.5, is_causal=True, rng=1)
    >>> saved.weights
    array([[1.        , 0.        , 0.        ],
           [0.5       , 0.5       , 0.        ],
           [0.33333334, 0.33333334, 0.33333334]], dtype=float32)
    >>> y
    array([[2.       , 0.       , 0.       ],
           [1.       , 0.       , 0.       ],
           [0.6666667, 0.       , 0.6666667]], dtype=float32)
    >>> fastdrop.softmax_dropout_backward(np.ones_like(y), saved).shape
    (3, 3)
    """
    if training is not True:
        training = _checks.boolean(training, "training")
    array: Any = scores if isinstance(scores, np.ndarray) else _checks.float_array(scores, "scores")
    factor = checked_scale(scale, array.dtype)
    visible = 1.0 if checked_causal(is_causal, array.shape) else math.inf
    added = added_mask(attn_mask, array.shape, array.dtype, "scores")
    mask = mask_for(array.shape, optional_p(p, mask), rng, noise_shape, mask, training, "scores")
    state, drop_scale = state_and_scale(mask)
    keeps_all = keeps_everything(mask)
    given: Any = weights_out
    if given is False:  # which the core would take for weights that are not wanted
        raise TypeError("weights_out must be a numpy.ndarray or None, not False")
    weights: Any = False if keeps_all and given is None else given
    arguments = (added, out, weights, False, drop_scale, factor, visible)
    results = _core.run("softmax_dropout", state, array, *arguments)
    if results is None:
        results, _ = run_rows("softmax_dropout", state, ("scores", "attn_mask"), array, *arguments)
    y, weights, _ = results
    return y, SavedSoftmaxDropout(mask, y if weights is None else weights, factor)


def softmax_dropout_backward(dy: ArrayLike, saved: SavedSoftmaxDropout, *, out: Array | None = None) -> Array:
    """The gradient of `softmax_dropout` with respect to scores.

    With ``g = dy * s`` where the mask keeps and ``+0.0`` where it drops: ``dscores = weights * (g - sum(g *
    weights)) * scale``, where the sum is along the row.

    Parameters
    ----------
    dy : array_like of float16, bfloat16, float32 or float64
        Gradient with respect to y, of its shape and dtype.
    saved : SavedSoftmaxDropout
        What `softmax_dropout` returned.
    out : ndarray, optional
        Where to write: `dy` itself, or an array like it that does not overlap it.

    Returns
    -------
    ndarray
        `out`, or a new array of dy's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, saved = fastdrop.softmax_dropout(np.zeros((1, 2)))
    >>> fastdrop.softmax_dropout_backward(np.array([[1.0, 0.0]]), saved)
    array([[ 0.25, -0.25]])
    """
    if type(saved) is not SavedSoftmaxDropout:
        check_saved(saved, SavedSoftmaxDropout, dy)
    weights = saved.weights
    if out is not None:
        check_apart(out, "saved.weights", weights)
    state, drop_scale = state_and_scale(saved.mask)
    arguments = (weights, out, drop_scale, saved.scale)
    dscores: Array | None = _core.run("softmax_dropout_backward", state, dy, *arguments)
    if dscores is None:
        dy = checked_gradient(dy, weights, "scores")
        names = ("dy", "saved.weights")
        dscores, _ = run_rows("softmax_dropout_backward", state, names, dy, *arguments)
    return dscores
