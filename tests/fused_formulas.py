# SPDX-License-Identifier: BSD-3-Clause
"""Textbook formulas of the fused functions in longdouble, with bounds of the rounding errors."""

import functools
import math

import mpmath as mp
import numpy as np

from bounded import Bounded

TWO_OVER_PI = np.sqrt(np.longdouble(2) / np.arccos(np.longdouble(-1)))
CUBIC = np.longdouble("0.044715")


def sigmoid(t):
    return 1 / (1 + np.exp(-t))


def phi(t):
    return np.exp(-(t**2) / 2) * TWO_OVER_PI / 2


NODES = 32  # the normal distribution function is expanded around multiples of 1/32


@functools.cache
def normal_cdf_at_node(number):
    with mp.workprec(120):
        fraction, exponent = mp.frexp(mp.ncdf(mp.mpf(number) / NODES))
        high = float(fraction)
        return np.ldexp(np.longdouble(high) + np.longdouble(float(fraction - high)), exponent)


def normal_cdf(t):
    """By Taylor's series around the nearest node, whose terms have Hermite polynomials.

    ``Phi(n + d) = Phi(n) + phi(n) (d - He1(n) d^2 / 2! + He2(n) d^3 / 3! - ...)``. |d| is 1/64 at most. Where
    |n| is 40 at most, terms are below (40/64)^k / k!, and 24 of them leave less than longdouble rounds.
    """
    t = np.clip(np.asarray(t, np.longdouble), -40, 40)  # beyond, no float64 can tell
    numbers = np.rint(t * NODES).astype(int)
    unique, places = np.unique(numbers, return_inverse=True)
    at_nodes = np.array([normal_cdf_at_node(number) for number in unique.tolist()], np.longdouble)
    node = numbers.astype(np.longdouble) / NODES
    d = t - node
    series, power, previous, hermite = np.zeros_like(d), d, np.zeros_like(d), np.ones_like(d)
    for k in range(1, 25):
        series = series + power * hermite
        power = -power * d / (k + 1)
        previous, hermite = hermite, node * hermite - (k - 1) * previous
    return at_nodes[places.reshape(t.shape)] + phi(node) * series


def twice_u(t):
    """``t * sigmoid(2u)`` is ``t / 2 * (1 + tanh(u))``, which would cancel on the left."""
    return 2 * TWO_OVER_PI * (t + CUBIC * t**3)


def twice_slope_of_u(t):
    return 2 * TWO_OVER_PI * (1 + 3 * CUBIC * t**2)


# Value, the two terms of the derivative, and bounds of the first and the second derivative. Of gelu:
# |Phi + t phi| <= 1.13 and |phi (2 - t^2)| <= 2 phi(0) < 0.8; those of its approximation differ by less than
# 0.01. Of silu: |sigma (1 + t (1 - sigma))| < 1.1 and |sigma'(t) (2 + t (1 - 2 sigma))| <= 1/2, at 0.
TEXTBOOK = {
    "gelu": (lambda t: t * normal_cdf(t), lambda t: (normal_cdf(t), t * phi(t)), 1.14, 0.82),
    "gelu_tanh": (
        lambda t: t * sigmoid(twice_u(t)),
        lambda t: (
            sigmoid(twice_u(t)),
            t * sigmoid(twice_u(t)) * sigmoid(-twice_u(t)) * twice_slope_of_u(t),
        ),
        1.14,
        0.82,
    ),
    "silu": (lambda t: t * sigmoid(t), lambda t: (sigmoid(t), t * sigmoid(t) * sigmoid(-t)), 1.1, 0.51),
}

# How many units of the last place values and derivatives may be off, for t < 0 and t >= 0: docs/numerics.md,
# section 8. The unit of a derivative is that of its larger term.
UNITS = {
    "gelu": {"float32": (6.99, 1.42), "float64": (7.0, 3.8)},
    "gelu_tanh": {"float32": (177.63, 1.24), "float64": (2200, 1.8)},
    "silu": {"float32": (3.43, 1.54), "float64": (3.4, 1.7)},
}
DERIVATIVE_UNITS = {
    "gelu": {"float32": (3.59, 1.18), "float64": (4.8, 2.5)},
    "gelu_tanh": {"float32": (187.34, 1.18), "float64": (2200, 2.4)},
    "silu": {"float32": (2.87, 1.37), "float64": (4.9, 2.0)},
}


def units(table, name, t):
    below, above = table[name][t.dtype.name]
    if name == "gelu_tanh":  # the same section: the left tail depends on 2u. A derivative has 4 steps more.
        below = np.minimum(below, 9 + 5 * abs(twice_u(t.value)))
    return np.where(t.value < 0, below, above)


def activated(t, name):
    """The activation of what is bounded. That of relu is exact and its slope is 1 at most."""
    if name is None:
        return t
    if name == "relu":
        return Bounded(np.maximum(t.value, 0), t.dtype, t.error)
    value, _, slope, _ = TEXTBOOK[name]
    return t.apply(value, slope, units(UNITS, name, t))


def derivative(t, name):
    _, terms, _, curvature = TEXTBOOK[name]
    first, second = terms(t.value)
    larger = Bounded(np.maximum(abs(first), abs(second)), t.dtype)
    rounding = larger.apply(lambda size: size, 1, units(DERIVATIVE_UNITS, name, t)).error
    return Bounded(first + second, t.dtype, curvature * t.error + rounding)


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
