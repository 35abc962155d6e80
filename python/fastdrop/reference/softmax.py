# SPDX-License-Identifier: BSD-3-Clause
"""Softmax with scale, mask and dropout, its logarithm, attention's backward pass, and cross entropy.

The functions of `SOFTMAX_OPERATIONS` are as those of `fused.ROW_OPERATIONS`, which has them too. This is
section 11 of ``docs/numerics.md``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .functions import lowered, raised_exponential_to_zero
from .logarithm import natural_logarithm
from .operations import computed_with, rounded, widened
from .sums import row_sums

__all__ = ["SOFTMAX_OPERATIONS"]

Floats = NDArray[Any]


def _scores(
    scores: Floats, attn_mask: Floats | None, factor: float, visible: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """``z = scores * factor + attn_mask``, and which elements are visible."""
    dtype = computed_with(scores.dtype)
    mask = np.asarray(-0.0, dtype) if attn_mask is None else widened(attn_mask)
    z = widened(scores) * dtype.type(factor) + mask
    row = np.arange(z.shape[-2])[:, np.newaxis] if z.ndim > 1 else np.zeros((), int)
    return z, np.broadcast_to(np.arange(z.shape[-1]) < visible + row, z.shape)


class _Softmax:
    """Of every row of z the weights, +0.0 where they are not seen, and what they are normalised by."""

    def __init__(self, z: Floats, seen: NDArray[np.bool_]) -> None:
        minus_infinity = z.dtype.type(-np.inf)
        counts = seen & ~np.isnan(z)
        largest = np.where(counts, z, minus_infinity).max(axis=-1, keepdims=True, initial=-np.inf)
        self.shift = np.where(largest == -np.inf, z.dtype.type(0), largest)
        powers = np.where(seen, raised_exponential_to_zero(z - self.shift), z.dtype.type(0))
        total = row_sums(powers)[..., np.newaxis]
        is_empty = (largest == -np.inf) & ~np.isnan(total)
        one = z.dtype.type(1)
        self.factor = np.where(is_empty, z.dtype.type(0), one / np.where(is_empty, one, total))
        logarithm = natural_logarithm(lowered(total.astype(np.float64), z.dtype))
        self.logarithm = np.where(is_empty, np.inf, logarithm)  # float64
        self.weights = np.where(seen, powers * self.factor, z.dtype.type(0))


def _dropped(keep: NDArray[np.bool_], a: Floats, scale: ArrayLike) -> Floats:
    scaled: Floats = a * np.asarray(scale, np.float64).astype(a.dtype)
    return np.where(keep, scaled, a.dtype.type(0))


def softmax_dropout(
    keep: NDArray[np.bool_],
    scores: Floats,
    attn_mask: Floats | None,
    scale: ArrayLike,
    factor: float,
    visible: float,
) -> tuple[Floats, ...]:
    """`y`, `weights`, `lse`: ``weights = softmax(scores * factor + attn_mask)``, of what a row sees.

    Row r of a matrix, the last two axes, sees its first ``visible + r`` elements.
    """
    with np.errstate(all="ignore"):
        z, seen = _scores(scores, attn_mask, factor, visible)
        softmax = _Softmax(z, seen)
        weights = softmax.weights
        lse = (softmax.shift.astype(np.float64) + softmax.logarithm).astype(weights.dtype)
        y = np.where(seen, _dropped(keep, weights, scale), z.dtype.type(0))
        return rounded(y, scores.dtype), rounded(weights, scores.dtype), lse[..., 0]


def softmax_dropout_backward(
    keep: NDArray[np.bool_], dy: Floats, weights: Floats, scale: ArrayLike, factor: float
) -> tuple[Floats]:
    """``(weights * (dP - sum(dP * weights))) * factor`` with ``dP = keep ? dy * scale : +0.0``."""
    with np.errstate(all="ignore"):
        gradient, wide = _dropped(keep, widened(dy), scale), widened(weights)
        total = row_sums(gradient * wide)[..., np.newaxis]
        return (rounded((wide * (gradient - total)) * wide.dtype.type(factor), dy.dtype),)


def attention_backward(
    keep: NDArray[np.bool_],
    dweights: Floats,
    scores: Floats,
    attn_mask: Floats | None,
    lse: Floats,
    delta: Floats,
    scale: ArrayLike,
    factor: float,
    visible: float,
) -> tuple[Floats, Floats]:
    """`dscores`, `dropped`, by weights that are computed again: ``e^(z - lse)``."""
    with np.errstate(all="ignore"):
        z, seen = _scores(scores, attn_mask, factor, visible)
        weights = _weight_of(z - lse[..., np.newaxis])
        gradient = _dropped(keep, widened(dweights), scale)
        dscores = (weights * (gradient - delta[..., np.newaxis])) * z.dtype.type(factor)
        results = (np.where(seen, a, z.dtype.type(0)) for a in (dscores, _dropped(keep, weights, scale)))
        dscores, dropped = (rounded(a, scores.dtype) for a in results)
        return dscores, dropped


def log_softmax(keep: NDArray[np.bool_], x: Floats) -> tuple[Floats]:
    """``(x - largest) - ln(sum of e^(x - largest))``."""
    with np.errstate(all="ignore"):
        z = widened(x)
        softmax = _Softmax(z, np.ones(z.shape, bool))
        return (rounded((z - softmax.shift) - softmax.logarithm.astype(z.dtype), x.dtype),)


def log_softmax_backward(keep: NDArray[np.bool_], dy: Floats, y: Floats) -> tuple[Floats]:
    """``dy - e^y * sum(dy)``."""
    with np.errstate(all="ignore"):
        wide = widened(dy)
        return (rounded(wide - _weight_of(widened(y)) * row_sums(wide)[..., np.newaxis], dy.dtype),)


def cross_entropy(
    keep: NDArray[np.bool_], logits: Floats, targets: Floats, factor: float
) -> tuple[Floats, Floats]:
    """`dlogits` and `loss`. A row whose target is no column does not count."""
    with np.errstate(all="ignore"):
        z = widened(logits)
        counts = ((targets >= 0) & (targets < z.shape[-1]))[..., np.newaxis]
        place = np.where(counts, targets[..., np.newaxis], -1)
        is_target = np.arange(z.shape[-1]) == np.trunc(place)
        softmax = _Softmax(z, np.ones(z.shape, bool))
        one, zero = z.dtype.type(1), z.dtype.type(0)
        dlogits = np.where(is_target, softmax.weights - one, softmax.weights) * z.dtype.type(factor)
        centred = np.where(is_target, z - softmax.shift, -np.inf).max(axis=-1, keepdims=True, initial=-np.inf)
        loss = softmax.logarithm.astype(z.dtype) - centred
        loss = np.where(counts, loss, zero)[..., 0]
        return rounded(np.where(counts, dlogits, zero), logits.dtype), loss


def _weight_of(logarithm: Floats) -> Floats:
    """A weight from its logarithm, which may be a little above 0 by rounding."""
    zero = logarithm.dtype.type(0)
    return lowered(raised_exponential_to_zero(np.where(zero < logarithm, zero, logarithm)), logarithm.dtype)


SOFTMAX_OPERATIONS: dict[str, Callable[..., tuple[Floats, ...]]] = {
    "softmax_dropout": softmax_dropout,
    "softmax_dropout_backward": softmax_dropout_backward,
    "attention_backward": attention_backward,
    "log_softmax": log_softmax,
    "log_softmax_backward": log_softmax_backward,
    "cross_entropy": cross_entropy,
}
