# SPDX-License-Identifier: BSD-3-Clause
"""Who is kept where every element has a p of its own: the reference takes one p at a time.

From the reference's generators, by sections 2 and 3 of docs/stream.md.
"""

import functools
import math

import numpy as np

from fastdrop import reference


@functools.cache
def element_numbers(size, generator, seed, stream):
    """U of the first `size` elements of a mask: of 64 random bits each."""
    generate, key = reference.GENERATORS[generator], reference.key_from(seed)
    upper = generate(reference.counter_from(np.arange((size + 7) // 8), stream, 0), key)
    lower = generate(reference.counter_from(np.arange(size), stream, 1), key)[:, :2]
    sixteen_bits = upper.view("<u2").ravel()[:size].astype(np.uint64)
    return sixteen_bits << np.uint64(48) | np.ascontiguousarray(lower).view("<u8").ravel() % np.uint64(2**48)


def kept(numbers, p):
    """Whether elements of those U are kept, for a p that is broadcast to them."""
    bounds = [round(math.ldexp(value, 64)) for value in p.ravel().tolist()]
    keeps_some = np.array([bound < 2**64 for bound in bounds]).reshape(p.shape)
    least = np.array([bound % 2**64 for bound in bounds], np.uint64).reshape(p.shape)
    return keeps_some & (numbers >= least)


def turning_probabilities(number):
    """The largest p that keeps the element of that U, and the smallest that drops it."""
    step = _step(number)
    at_most = number // step * step
    return math.ldexp(at_most, -64), math.ldexp(at_most + step, -64)


def turning_keep_probs(number):
    """The smallest keep_prob that keeps the element of that U, and the largest that drops it."""
    at_least = 2**64 - number  # so many numbers there are from U on
    step = _step(at_least)
    enough = -(-at_least // step) * step
    return math.ldexp(enough, -64), math.ldexp(enough - step, -64)


def _step(number):
    """Between doubles times 2^64 near that one, and at least 1."""
    return 2 ** max(0, number.bit_length() - 53)
