# SPDX-License-Identifier: BSD-3-Clause
"""Checks of masks, as lists of two-sided tail probabilities: how often independent bits would deviate so far.

What they check is a function ``draw(p, size, seed, stream)``, which is True where an element is kept.

- ``rates``, ``lags``, ``agreements``, ``shifts`` count events that are independent with a known probability,
  so the count is binomial and the tail is exact. (The pairs of a lag are disjoint; agreements compare two
  masks.)
- ``neighbours`` counts pairs of neighbours that are both dropped. Of n elements, k are dropped. A run of
  drops begins at one of n - k + 1 places, so that the count is hypergeometric (Wald and Wolfowitz, "On a test
  whether two samples are from the same population", 1940): exact, too.
- ``groups`` looks at S, the sum over groups of (count - g q)^2 / (g q (1 - q)) for G groups of g. From the
  fourth moment of the binomial, S has mean G and variance G k with k = 2 + (1 - 6 q (1 - q)) / (g q (1 - q)).
  The tail is that of the gamma distribution with these two moments: for large g it is the chi-square, and
  for small g, where G is in the millions, it is the normal of the central limit.
- ``octets`` is Pearson's chi-square. Rare patterns are counted together with the rarest one that is expected
  100 times.
"""

import itertools

import numpy as np
from scipy import stats

from fastdrop import reference
from tails import agreement_tail, binomial_tail, keep_probability, two_sided

OF_GROUPS = tuple(2**power for power in range(1, 11))


def rates(draw, probabilities, size):
    """How many are dropped."""
    return [
        binomial_tail(size - int(np.count_nonzero(draw(p, size))), size, reference.threshold(p) / 2**64)
        for p in probabilities
    ]


def neighbours(draw, p, size):
    """How many neighbours are both dropped. Where few are kept, how many are both kept."""
    kept = draw(p, size)
    some = kept if p > 0.5 else ~kept
    count = int(np.count_nonzero(some))
    pairs = int(np.count_nonzero(some[1:] & some[:-1]))
    # SciPy's own tails of it give up at such sizes. Beyond 40 deviations nothing is left.
    mean = count * (count - 1) / size
    reach = int(40 * np.sqrt(mean)) + 100
    low = np.arange(max(0, min(pairs, int(mean) - reach)), pairs + 1)
    high = np.arange(pairs, min(count - 1, max(pairs, int(mean) + reach)) + 1)
    return [
        2
        * min(np.exp(stats.hypergeom(size, count - 1, count).logpmf(places)).sum() for places in (low, high))
    ]


def spread(counts, length, p):
    """Of the counts kept among `length` elements each."""
    q = keep_probability(p)
    variance = length * q * (1 - q)
    histogram = sum(np.bincount(part, minlength=length + 1) for part in np.array_split(counts, 16))
    total = (histogram * (np.arange(length + 1) - length * q) ** 2).sum() / variance
    kurtosis = 2 + (1 - 6 * q * (1 - q)) / variance
    return two_sided(stats.gamma(counts.size / kurtosis, scale=kurtosis), total)


def groups(draw, p, size, lengths=OF_GROUPS):
    """How the number kept varies from one aligned group of neighbours to the next."""
    counts, tails = draw(p, size).astype(np.uint16), []
    for length in lengths:
        while counts.size > size // length:
            counts = counts[::2] + counts[1::2]
        tails.append(spread(counts, length, p))
    return tails


def columns(draw, p, size, width):
    """How the number kept varies from one column of a matrix to the next."""
    rows = size // width
    return [spread(draw(p, size).reshape(rows, width).sum(axis=0), rows, p)]


def lags(draw, p, size, of=range(1, 65)):
    """Whether an element agrees with the one `lag` further on.

    Blocks of `lag` elements are paired, the first with the second and so on: disjoint pairs are independent.
    The second phase pairs the second with the third, which the first leaves out.
    """
    kept = draw(p, size)
    tails = []
    for lag, phase in itertools.product(of, (0, 1)):
        usable = kept[phase * lag :]
        pairs = usable[: usable.size // (2 * lag) * (2 * lag)].reshape(-1, 2, lag)
        tails.append(agreement_tail(pairs[:, 0], pairs[:, 1], p))
    return tails


def agreements(draw, p, size, pairs):
    """Whether masks of two (seed, stream) agree more, or less, than strangers do."""
    return [agreement_tail(draw(p, size, *first), draw(p, size, *second), p) for first, second in pairs]


def shifts(draw, p, size, first, second, of):
    """The same of masks of which one is moved by so many elements, either way."""
    a, b = draw(p, size, *first), draw(p, size, *second)
    moved = itertools.chain.from_iterable(((a[by:], b[:-by]), (a[:-by], b[by:])) for by in of)
    return [agreement_tail(one, other, p) for one, other in moved]


def octets(draw, p, size):
    """How often each of the 256 patterns of an aligned eight comes up."""
    q = keep_probability(p)
    observed = np.bincount(np.packbits(draw(p, size)), minlength=256)
    ones = np.array([pattern.bit_count() for pattern in range(256)])
    expected = q**ones * (1 - q) ** (8 - ones) * (size // 8)
    order = np.argsort(expected)[::-1]
    cells = max(2, int(np.count_nonzero(expected >= 100)))
    observed, expected = (
        np.append(counts[order][: cells - 1], counts[order][cells - 1 :].sum())
        for counts in (observed, expected)
    )
    statistic = ((observed - expected) ** 2 / expected).sum()
    return [two_sided(stats.chi2(cells - 1), statistic)]


def resurrected(draw, probabilities, size):
    """How many elements a larger p keeps that a smaller one has dropped: masks are nested, so none."""
    masks = [draw(p, size) for p in sorted(probabilities)]
    return sum(int(np.count_nonzero(~less & more)) for less, more in itertools.pairwise(masks))
