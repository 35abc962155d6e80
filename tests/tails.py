# SPDX-License-Identifier: BSD-3-Clause
"""Tail probabilities: how often masks and noise of a perfect generator would deviate at least so far."""

from scipy import stats

from fastdrop import reference

# A check fails below it. By the union bound, fewer than 1,000 checks of a perfect generator fail for at most
# one choice of seeds in a million.
FALSE_ALARM = 1e-9


def two_sided(distribution, value):
    """Of a continuous distribution."""
    return 2 * min(distribution.cdf(value), distribution.sf(value))


def binomial_tail(count, trials, probability):
    distribution = stats.binom(trials, probability)
    return 2 * min(distribution.cdf(count), distribution.sf(count - 1))


def keep_probability(p):
    """Of an element: p as the stream rounds it."""
    return 1 - reference.threshold(p) / 2**64


def agreement_tail(first, second, p):
    """Two independent masks agree where both keep or both drop."""
    q = keep_probability(p)
    agreeing = int((first == second).sum())
    return binomial_tail(agreeing, first.size, q**2 + (1 - q) ** 2)
