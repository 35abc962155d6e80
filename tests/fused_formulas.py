# SPDX-License-Identifier: BSD-3-Clause
"""Textbook formulas of the fused functions in longdouble, with bounds of the rounding errors."""

import math

import numpy as np

from bounded import Bounded

# How many units of the last place the functions of reference/functions.py may be off: more than they are.
# Their own tests have the sharp numbers.
UNITS = 8

TWO_OVER_PI = np.sqrt(np.longdouble(2) / np.arccos(np.longdouble(-1)))
CUBIC = np.longdouble("0.044715")


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


Phi = np.vectorize(lambda t: math.erfc(-float(t) / math.sqrt(2)) / 2, otypes=[np.longdouble])


def phi(t):
    return np.exp(-(t**2) / 2) * TWO_OVER_PI / 2


def tanh_of_cubic(t):
    return np.tanh(TWO_OVER_PI * (t + CUBIC * t**3))


# Value, derivative, and bounds of the first and the second derivative. Of gelu: |Phi + t phi| <= 1.13 and
# |phi (2 - t^2)| <= 2 phi(0) < 0.8; those of its approximation differ by less than 0.01. Of silu:
# |sigma (1 + t (1 - sigma))| < 1.1 and |sigma'(t) (2 + t (1 - 2 sigma))| <= 1/2, at 0.
TEXTBOOK = {
    "gelu": (lambda t: t * Phi(t), lambda t: Phi(t) + t * phi(t), 1.14, 0.82),
    "gelu_tanh": (
        lambda t: t / 2 * (1 + tanh_of_cubic(t)),
        lambda t: (
            (1 + tanh_of_cubic(t)) / 2
            + t / 2 * (1 - tanh_of_cubic(t) ** 2) * TWO_OVER_PI * (1 + 3 * CUBIC * t**2)
        ),
        1.14,
        0.82,
    ),
    "silu": (lambda t: t * sigmoid(t), lambda t: sigmoid(t) * (1 + t * (1 - sigmoid(t))), 1.1, 0.51),
}


def activated(t, name):
    """The activation of what is bounded. That of relu is exact and its slope is 1 at most."""
    if name is None:
        return t
    if name == "relu":
        return Bounded(np.maximum(t.value, 0), t.dtype, t.error)
    value, _, slope, _ = TEXTBOOK[name]
    return t.apply(value, slope, UNITS)


def derivative(t, name):
    """Near its root a derivative is off by units of what is added up to it, which is 1.2 at most."""
    _, slope, _, curvature = TEXTBOOK[name]
    exact = t.apply(slope, curvature, 0)
    unit = np.longdouble(np.finfo(t.dtype).eps)
    return Bounded(exact.value, t.dtype, exact.error + UNITS * unit * 1.2)


def bias_dropout_add(x, bias, residual, keep, scale, activation):
    return residual + (activated(x + bias, activation) * scale).where(keep)


def per_row(statistic):
    return statistic[..., np.newaxis]


def mean(a):
    length = a.value.shape[-1]
    return a.sum(-1, depth=math.ceil(length / 32) + 5) / length


def column_sums(a):
    """Of all rows, by blocks of 64 and a tree."""
    rows = math.prod(a.value.shape[:-1])
    flat = Bounded(a.value.reshape(rows, -1), a.dtype, a.error.reshape(rows, -1))
    return flat.sum(0, depth=64 + math.ceil(math.log2(math.ceil(rows / 64))))


def normalized(norm, h, eps):
    """The normalised rows; their mean, if the norm takes it off; and 1 over their deviation."""
    average = mean(h) if norm == "layer" else None
    centered = h if average is None else h - per_row(average)
    rstd = Bounded(1.0, h.dtype) / (mean(centered * centered) + eps).sqrt()
    return centered * per_row(rstd), average, rstd


def through_norm(norm, g, xhat, rstd):
    """The gradient with respect to h of ``sum(g * xhat)``."""
    less = g - per_row(mean(g)) if norm == "layer" else g
    return per_row(rstd) * (less - xhat * per_row(mean(g * xhat)))
