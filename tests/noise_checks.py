# SPDX-License-Identifier: BSD-3-Clause
"""Checks of normal numbers, as tail probabilities: how often true ones would deviate at least so far."""

import math

import numpy as np
from scipy import stats

from tails import binomial_tail, two_sided


def moments(z):
    """The first four power sums of n normal numbers: z^k has variance (2k - 1)!! less its mean squared."""
    tails = [two_sided(stats.chi2(z.size), (z**2).sum())]
    for k, mean, variance in ((1, 0, 1), (3, 0, 15), (4, 3, 96)):
        tails.append(two_sided(stats.norm(), ((z**k).sum() - mean * z.size) / math.sqrt(variance * z.size)))
    return tails


def distance(z):
    """Kolmogorov and Smirnov: whether the distribution function is the normal one, anywhere."""
    return [stats.kstest(z, "norm").pvalue]


def squared_distance(z):
    """Anderson and Darling: the distance of the distribution functions, squared, where tails count most.

    Its limit is the sum of independent chi-squares of 1, each by 1 / (j (j + 1)). The largest factor is 1/2,
    and the others make P(A > a) nearly ``sqrt(3) P(chi2 > 2 a)`` for large a (Zolotarev, 1961), since the
    product of ``1 - 2 / (j (j + 1))`` from j = 2 on is 1/3. At 3.857, where the level is 1 %, this is 0.95 %.
    """
    ordered, n = np.sort(z), z.size
    odd = 2 * np.arange(1, n + 1) - 1
    logarithms = stats.norm.logcdf(ordered) + stats.norm.logsf(ordered[::-1])
    distance = -n - (odd * logarithms).sum() / n
    return [min(1.0, math.sqrt(3) * stats.chi2(1).sf(2 * distance))]


def cells(z):
    """Pearson's chi-square over cells that go out to where 20 numbers are expected."""
    edges = stats.norm.ppf(np.linspace(0, 1, 1001)[1:-1])
    outer = -stats.norm.ppf(20 / z.size)
    edges = np.sort(np.concatenate([edges, np.linspace(3.2, outer, 40), -np.linspace(3.2, outer, 40)]))
    observed = np.bincount(np.searchsorted(edges, z), minlength=edges.size + 1)
    expected = np.diff(stats.norm.cdf(np.concatenate([[-np.inf], edges, [np.inf]]))) * z.size
    return [two_sided(stats.chi2(edges.size), ((observed - expected) ** 2 / expected).sum())]


def tails(z):
    """How many are far out, on either side: binomial."""
    counts = []
    for bound in (3.5, 4, 4.5):
        for side in (z, -z):
            counts.append(binomial_tail(int((side > bound).sum()), z.size, stats.norm.sf(bound)))
    return counts


def correlation(a, b):
    """Products of independent normal numbers have mean 0 and variance 1; their squares' have (3 - 1)^2."""
    count = math.sqrt(a.size)
    return [
        two_sided(stats.norm(), (a * b).sum() / count),
        two_sided(stats.norm(), ((a**2 - 1) * (b**2 - 1)).sum() / (2 * count)),
    ]


def lags(z):
    """Each with the one so much further on; pairs are disjoint. At 16 every pair is one of partners."""
    result = []
    for lag in (*range(1, 40), 64, 128, 256, 1024):
        pairs = z[: z.size // (2 * lag) * (2 * lag)].reshape(-1, 2, lag)
        result += correlation(pairs[:, 0].ravel(), pairs[:, 1].ravel())
    return result
