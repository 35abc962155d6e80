# SPDX-License-Identifier: BSD-3-Clause
"""Softmax in longdouble, with bounds of the rounding errors of its computation."""

import math

import numpy as np

from bounded import Bounded

# What e^x may be off, in units of the last place; test_softmax_values.py has the sharp number.
EXPONENTIAL_UNITS = 2


def constant(value, dtype):
    """A number that is rounded to the dtype, or one that has its bound."""
    return value if isinstance(value, Bounded) else Bounded(value, dtype).rounded(value, 0)


def row_sum(a):
    """By 32 partial sums and a fold of them."""
    length = a.value.shape[-1]
    return a.sum(-1, depth=math.ceil(length / 32) + 5)[..., np.newaxis]


def powers_of_e(exponent):
    """Where an exponent is off by a little, e^x is by that share of it."""
    value = np.exp(exponent.value)
    assert exponent.error.max(initial=0) < 1e-3
    shares = Bounded(value, exponent.dtype, 1.001 * exponent.error * value)
    return shares.apply(lambda power: power, 1.0, EXPONENTIAL_UNITS)


class Softmax:
    """The weights of scores, which are bounded, and what they are made of; zeros in a row that sees nothing.

    The largest score as it is computed may be another one than here. Whatever is subtracted, weights are the
    same, and so is ``shift + logarithm()``.
    """

    def __init__(self, scores, scale, added, seen):
        one = Bounded(1.0, scores.dtype)
        takes_part = seen | ~seen.any(-1, keepdims=True)
        self.z = scores * scale
        if added is not None:
            self.z = self.z + np.where(seen, added, 0)
        self.shift = np.where(takes_part, self.z.value, -np.inf).max(-1, keepdims=True)
        powers = powers_of_e((self.z - self.shift).where(takes_part)).where(takes_part)
        self.total = row_sum(powers)
        self.weights = (powers * (one / self.total)).where(seen)

    def logarithm(self):
        """ln of the sum, rounded to the dtype; 2 units are far more than what float64's function takes."""
        least = self.total.value - self.total.error
        off = self.total.error / least
        value = np.log(self.total.value)
        return Bounded(value, self.total.dtype, off).apply(lambda _: value, 1.0, 2)


def dropped(a, keep, drop_scale):
    return (a * constant(drop_scale, a.dtype)).where(keep)


def through_softmax(gradient, weights, scale):
    """The gradient with respect to the scores of ``sum(gradient * weights)``."""
    return (weights * (gradient - row_sum(gradient * weights))) * scale
