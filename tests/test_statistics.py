# SPDX-License-Identifier: BSD-3-Clause
"""Masks look like independent coin tosses with the right coin, and every check here can fail.

What a check returns is a list of two-sided tail probabilities: how often masks of truly independent bits
would deviate at least so far. It fails when one of them is below ``FALSE_ALARM = 1e-9``. There are fewer
than 1,000 of them in this file, so by the union bound a perfect generator would fail it for at most one
choice of seeds in a million; the seeds are fixed, so a run that passed passes again.

- ``rates``, ``lags``, ``agreements`` count events that are independent with a known probability, so the
  count is binomial and the tail is exact. (The pairs of a lag are disjoint; agreements compare two masks.)
- ``groups`` looks at S, the sum over groups of (count - g q)^2 / (g q (1 - q)) for G groups of g. From the
  fourth moment of the binomial, S has mean G and variance G k with k = 2 + (1 - 6 q (1 - q)) / (g q (1 - q)).
  The tail is that of the gamma distribution with these two moments: for large g it is the chi-square, and
  for small g, where G is in the millions, it is the normal of the central limit.
- ``octets`` is Pearson's chi-square; the rarest pattern is expected 128 times.

Each check is also fed masks with a fault that some library really had, or could have, and must see it.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

import fastdrop
from fastdrop import reference
from tails import FALSE_ALARM, agreement_tail, binomial_tail, keep_probability

# The bits are pinned by the quick tests of the stream; statistics can change with the definition only.
pytestmark = pytest.mark.slow

SEED = 20110815  # any number; chosen before the first run and not changed since


# --- Sources of masks: a function (p, size, seed, stream) -> True where kept ------------------------


@pytest.fixture
def draw(generator):
    """The masks of fastdrop."""

    def draw(p, size, seed=SEED, stream=0):
        return fastdrop.Mask((size,), p, seed=seed, stream=stream, generator=generator).to_numpy()

    return draw


def numbers(size, seed=SEED, stream=0):
    """Uniform 64-bit numbers that owe nothing to fastdrop, for the faulty masks to start from."""
    return np.random.default_rng([seed, stream]).integers(0, 2**64, size, np.uint64)


def fair(p, size, seed=SEED, stream=0):
    return numbers(size, seed, stream) >= np.uint64(reference.threshold(p))


def shared_by_four(p, size, seed=SEED, stream=0):
    """Four neighbours have one bit: oneDNN 3.11 to 3.13, with a perfect rate."""
    return np.repeat(fair(p, size // 4, seed, stream), 4)


def eight_bits(p, size, seed=SEED, stream=0):
    """A byte against floor((1 - p) * 255): FlashAttention-2."""
    return numbers(size, seed, stream) >> np.uint64(56) <= np.uint64((1 - p) * 255)


def sixteen_bits(p, size, seed=SEED, stream=0):
    """Ties always kept: the second look of the stream is missing."""
    return numbers(size, seed, stream) >> np.uint64(48) >= np.uint64(reference.threshold(p) >> 48)


def one_stream(p, size, seed=SEED, stream=0):
    return fair(p, size, seed, 0)


def short_seed(p, size, seed=SEED, stream=0):
    return fair(p, size, seed % 2**32, stream)


def twice_the_same_block(p, size, seed=SEED, stream=0):
    """Each block of eight is used for two: the counter moves at half the speed."""
    return np.repeat(fair(p, size // 2, seed, stream).reshape(-1, 8), 2, axis=0).ravel()


def parity_of_eight(p, size, seed=SEED, stream=0):
    """At p = 0.5 any seven bits of an aligned eight are independent, and the eighth is their parity."""
    kept = fair(p, size, seed, stream).reshape(-1, 8)
    kept[:, 7] = np.bitwise_xor.reduce(kept[:, :7], axis=1)
    return kept.ravel()


def new_numbers_for_each_p(p, size, seed=SEED, stream=0):
    return fair(p, size, seed + round(1000 * p), stream)


# --- Checks ---------------------------------------------------------------------------------------


def rates(draw, probabilities, size):
    """How many are dropped."""
    return [
        binomial_tail(size - int(np.count_nonzero(draw(p, size))), size, reference.threshold(p) / 2**64)
        for p in probabilities
    ]


def groups(draw, p, size, lengths=tuple(2**power for power in range(1, 11))):
    """How the number kept varies from one aligned group of neighbours to the next."""
    q = keep_probability(p)
    counts = draw(p, size).astype(np.int64)
    tails = []
    for length in lengths:
        counts = counts.reshape(-1, length * counts.size // size).sum(axis=1)
        variance = length * q * (1 - q)
        spread = ((counts - length * q) ** 2).sum() / variance
        kurtosis = 2 + (1 - 6 * q * (1 - q)) / variance
        distribution = stats.gamma(counts.size / kurtosis, scale=kurtosis)
        tails.append(2 * min(distribution.cdf(spread), distribution.sf(spread)))
    return tails


def lags(draw, p, size, longest=64):
    """Whether an element agrees with the one `lag` further on.

    Blocks of `lag` elements are paired, the first with the second and so on: disjoint pairs are independent.
    The second phase pairs the second with the third, which the first leaves out.
    """
    kept = draw(p, size)
    tails = []
    for lag, phase in itertools.product(range(1, longest + 1), (0, 1)):
        usable = kept[phase * lag :]
        pairs = usable[: usable.size // (2 * lag) * (2 * lag)].reshape(-1, 2, lag)
        tails.append(agreement_tail(pairs[:, 0], pairs[:, 1], p))
    return tails


def agreements(draw, p, size, pairs):
    """Whether masks of two (seed, stream) agree more, or less, than strangers do."""
    return [agreement_tail(draw(p, size, *first), draw(p, size, *second), p) for first, second in pairs]


def octets(draw, p, size):
    """How often each of the 256 patterns of an aligned eight comes up."""
    q = keep_probability(p)
    observed = np.bincount(np.packbits(draw(p, size)), minlength=256)
    ones = np.array([pattern.bit_count() for pattern in range(256)])
    expected = q**ones * (1 - q) ** (8 - ones) * (size // 8)
    statistic = ((observed - expected) ** 2 / expected).sum()
    return [2 * min(stats.chi2(255).cdf(statistic), stats.chi2(255).sf(statistic))]


def resurrected(draw, probabilities, size):
    """How many elements a larger p keeps that a smaller one has dropped: masks are nested, so none."""
    masks = [draw(p, size) for p in sorted(probabilities)]
    return sum(int(np.count_nonzero(~less & more)) for less, more in itertools.pairwise(masks))


# --- fastdrop passes ------------------------------------------------------------------------------

# Few bits and many, both ends, what 4, 8 and 16 bits can say and what they cannot.
PROBABILITIES = (0.5, 0.9375, 3 / 256, 5 / 65536, 1 / 3, 0.1, 0.9, 0.004, 1e-4, 1.5 / 65536, 1 - 2.5 / 65536)
SEEDS = [((seed, 0), (seed + 1, 0)) for seed in range(40)] + [
    ((seed, 0), (seed + 2**power, 0)) for seed in (0, SEED) for power in (31, 32, 63, 64, 127)
]
STREAMS = [((SEED, stream), (SEED, stream + 1)) for stream in range(40)] + [
    ((SEED, stream), (SEED, stream + 2**power)) for stream in (0, 5) for power in (3, 29, 31, 32, 61, 62)
]


def test_the_share_dropped_is_p(draw):
    assert min(rates(draw, PROBABILITIES, 2**25)) >= FALSE_ALARM


@pytest.mark.parametrize("p", [0.5, 0.1, 0.9])
def test_neighbours_are_independent_in_groups(draw, p):
    assert min(groups(draw, p, 2**23)) >= FALSE_ALARM


@pytest.mark.parametrize("p", [0.5, 0.1])
def test_neighbours_are_independent_at_each_lag(draw, p):
    assert min(lags(draw, p, 2**22)) >= FALSE_ALARM


@pytest.mark.parametrize("pairs", [SEEDS, STREAMS], ids=["seeds", "streams"])
def test_masks_of_other_seeds_and_streams_are_strangers(draw, pairs):
    assert min(agreements(draw, 0.3, 2**18, pairs)) >= FALSE_ALARM


@pytest.mark.parametrize("p", [0.5, 0.25])
def test_all_patterns_of_an_octet_come_up_as_often_as_they_should(draw, p):
    assert min(octets(draw, p, 2**26)) >= FALSE_ALARM


def test_masks_are_nested(draw):
    assert resurrected(draw, (0.0, *PROBABILITIES, 1.0), 2**22) == 0


# --- The checks fail when they should -------------------------------------------------------------

CAUGHT = {
    "eight bits, by the rate": lambda: rates(eight_bits, [0.1], 2**22),
    "sixteen bits, by the rate": lambda: rates(sixteen_bits, [1.5 / 65536], 2**25),
    "shared by four, by groups": lambda: groups(shared_by_four, 0.1, 2**16),
    "a block twice, by groups": lambda: groups(twice_the_same_block, 0.5, 2**16),
    "shared by four, by lags": lambda: lags(shared_by_four, 0.1, 2**16),
    "a block twice, by lags": lambda: lags(twice_the_same_block, 0.5, 2**16),
    "one stream, by agreements": lambda: agreements(one_stream, 0.3, 2**14, STREAMS),
    "a short seed, by agreements": lambda: agreements(short_seed, 0.3, 2**14, SEEDS),
    "parity, by octets": lambda: octets(parity_of_eight, 0.5, 2**18),
}


@pytest.mark.parametrize("check", CAUGHT.values(), ids=CAUGHT)
def test_a_fault_is_caught(check):
    assert min(check()) < FALSE_ALARM


def test_masks_that_are_not_nested_are_caught():
    assert resurrected(new_numbers_for_each_p, PROBABILITIES, 2**12) > 0
