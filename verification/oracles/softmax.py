# SPDX-License-Identifier: BSD-3-Clause
"""Softmax, its logarithm, cross entropy and attention, by the textbook."""

import functools

import numpy as np

import attention_formulas
import fastdrop
from bounded import Bounded
from fastdrop import _core
from fastdrop.mask import state_and_scale
from softmax_formulas import EXPONENTIAL_UNITS, Softmax, constant, dropped, row_sum, through_softmax

from .case import Case

FACTOR, SPREADS = 0.375, (0.1, 3.0, 30.0)
SIZE, OWN_SIZE = 16, 8  # of the vectors of attention: terms of its products are kept one by one


def spread(draw, factor):
    return (factor * draw.element().astype(np.float64)).astype(draw.dtype)


def softmax_dropout(draw):
    added = draw.element()
    seen = draw.random.standard_normal(draw.shape) > -0.5
    seen[..., 0] = True
    attn_mask = np.where(seen, added, added.dtype.type(-np.inf))
    for factor in SPREADS:
        scores = spread(draw, factor)

        def compute(scores=scores):
            state, scale = state_and_scale(draw.mask)
            arguments = scores, attn_mask, None, None, None, scale, FACTOR, np.inf
            y, weights, lse = _core.run("softmax_dropout", state, *arguments)
            return [y, weights, lse], None

        def textbook(_, scores=scores):
            exact = Softmax(draw.bounded(scores), FACTOR, attn_mask.astype(draw.own), seen)
            # The shift and the logarithm are added in float64.
            logarithm = exact.logarithm()
            lse = exact.shift + logarithm.value
            error = logarithm.error + np.finfo(draw.own).eps * (abs(lse) + logarithm.error)
            y = dropped(exact.weights, draw.keep, draw.scale)
            return [y, exact.weights, Bounded(lse[..., 0], draw.own, error[..., 0])]

        yield Case("softmax_dropout", compute, textbook)


def softmax_dropout_backward(draw):
    scores, dy = draw.element(), draw.element()

    def compute():
        _, saved = fastdrop.softmax_dropout(scores, scale=FACTOR, mask=draw.mask)
        return [fastdrop.softmax_dropout_backward(dy, saved)], saved.weights

    def textbook(weights):
        gradient = dropped(draw.bounded(dy), draw.keep, draw.scale)
        return [through_softmax(gradient, draw.bounded(weights), FACTOR)]

    yield Case("softmax_dropout_backward", compute, textbook)


def log_softmax(draw):
    for factor in SPREADS:
        x = spread(draw, factor)

        def textbook(_, x=x):
            exact = Softmax(draw.bounded(x), 1.0, None, np.ones(draw.shape, bool))
            return [draw.bounded(x) - exact.shift - exact.logarithm()]

        yield Case("log_softmax", lambda x=x: ([fastdrop.log_softmax(x)], None), textbook)


def log_softmax_backward(draw):
    x, dy = draw.element(), draw.element()

    def compute():
        y = fastdrop.log_softmax(x)
        return [fastdrop.log_softmax_backward(dy, y)], y

    def textbook(y):
        powers, given = draw.bounded(y).apply(np.exp, 1.0, EXPONENTIAL_UNITS), draw.bounded(dy)
        return [given - powers * row_sum(given)]

    yield Case("log_softmax_backward", compute, textbook)


def cross_entropy(draw):
    targets = draw.random.integers(0, draw.shape[-1], draw.shape[:-1])
    for factor in SPREADS:
        logits = spread(draw, factor)

        def compute(logits=logits):
            loss, dlogits = fastdrop.cross_entropy(logits, targets)
            return [np.float64(loss), dlogits], None

        yield Case("cross_entropy", compute, functools.partial(entropies, draw, logits, targets))


def entropies(draw, logits, targets, _):
    exact = Softmax(draw.bounded(logits), 1.0, None, np.ones(draw.shape, bool))
    rows = np.arange(targets.size)
    of_target = draw.bounded(logits)[rows, targets] - exact.shift[:, 0]
    losses = exact.logarithm()[:, 0] - of_target
    # The exact sum of the losses is rounded, and divided.
    loss = losses.value.sum() / rows.size
    error = losses.error.sum() / rows.size + 2.0**-51 * loss
    factor = constant(1 / np.longdouble(rows.size), draw.own)
    here = np.arange(draw.shape[-1]) == targets[:, np.newaxis]
    others, own = exact.weights * factor, (exact.weights - 1) * factor
    values, errors = (
        np.where(here, *both) for both in ((own.value, others.value), (own.error, others.error))
    )
    return [Bounded(loss, draw.own, error), Bounded(values, draw.own, errors)]


def attention(draw):
    """Of so many weights, causal or not. Backward it goes through the operation `attention_backward`."""
    queries, keys = draw.shape
    shapes = (queries, SIZE), (keys, SIZE), (keys, OWN_SIZE), (queries, OWN_SIZE)
    query, key, value, dy = map(draw.numbers, shapes)
    for is_causal in (False, True):
        seen = np.tril(np.ones(draw.shape, bool)) if is_causal else None

        def compute(is_causal=is_causal):
            y, saved = fastdrop.attention(query, key, value, is_causal=is_causal, mask=draw.mask)
            return [y, *fastdrop.attention_backward(dy, saved)], None

        def textbook(_, seen=seen):
            exact = attention_formulas.Attention(query, key, value, draw.keep, draw.scale, seen=seen)
            return [exact.y, *exact.backward(dy)]

        yield Case(f"attention{', causal' if is_causal else ''}", compute, textbook)
