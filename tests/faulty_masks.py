# SPDX-License-Identifier: BSD-3-Clause
"""Masks with faults that libraries really had, or could have, which the checks of masks must see."""

import numpy as np

from fastdrop import reference

SEED = 20110815  # any number; chosen before the first run and not changed since


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


def at_most(p, size, seed=SEED, stream=0):
    """16 bits against p of 16 bits, with <= for <: one more number in 65,536 drops."""
    return numbers(size, seed, stream) >> np.uint64(48) > np.uint64(reference.threshold(p) >> 48)


def sixteen_bits(p, size, seed=SEED, stream=0):
    """Ties always kept: the second look of the stream is missing."""
    return numbers(size, seed, stream) >> np.uint64(48) >= np.uint64(reference.threshold(p) >> 48)


def one_stream(p, size, seed=SEED, stream=0):
    return fair(p, size, seed, 0)


def overlapping_streams(p, size, seed=SEED, stream=0):
    """A stream begins one block of eight after the one before."""
    return fair(p, size + 8 * stream, seed)[8 * stream :]


def short_seed(p, size, seed=SEED, stream=0):
    return fair(p, size, seed % 2**32, stream)


def twice_the_same_block(p, size, seed=SEED, stream=0):
    """Each block of eight is used for two: the counter moves at half the speed."""
    return np.repeat(fair(p, size // 2, seed, stream).reshape(-1, 8), 2, axis=0).ravel()


def correlated(p, size, seed=SEED, stream=0):
    """One decision in 1,000 is that of the element 17 before: a correlation of 1/1,000."""
    kept = fair(p, size, seed, stream)
    copied = np.flatnonzero(numbers(size - 17, seed + 1, stream) < np.uint64(2**64 // 1000))
    kept[copied + 17] = kept[copied]
    return kept


def parity_of_eight(p, size, seed=SEED, stream=0):
    """At p = 0.5 any seven bits of an aligned eight are independent, and the eighth is their parity."""
    kept = fair(p, size, seed, stream).reshape(-1, 8)
    kept[:, 7] = np.bitwise_xor.reduce(kept[:, :7], axis=1)
    return kept.ravel()


def new_numbers_for_each_p(p, size, seed=SEED, stream=0):
    return fair(p, size, seed + round(1000 * p), stream)
