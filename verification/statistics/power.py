# SPDX-License-Identifier: BSD-3-Clause
"""What the battery sees: faults, each with a check, and the smallest size of mask at which they are seen."""

from faulty_masks import (
    SEED,
    at_most,
    correlated,
    eight_bits,
    one_stream,
    overlapping_streams,
    parity_of_eight,
    shared_by_four,
    short_seed,
    sixteen_bits,
    twice_the_same_block,
)
from mask_checks import agreements, groups, lags, neighbours, octets, rates, shifts

from .battery import SHIFTS

ADJACENT_STREAMS = (SEED, 0), (SEED, 1)
# What is wrong, who draws so, and the check.
SEEN = {
    "p has 8 bits: by the mean": (eight_bits, lambda draw, size: rates(draw, [0.1], size)),
    "<= for < in 16 bits: by the mean": (at_most, lambda draw, size: rates(draw, [1e-4], size)),
    "one decision for a group of 4: by groups": (
        shared_by_four, lambda draw, size: groups(draw, 0.1, size),
    ),
    "one decision for a group of 4: by runs": (
        shared_by_four, lambda draw, size: neighbours(draw, 0.1, size),
    ),
    "every block twice: by lags": (
        twice_the_same_block, lambda draw, size: lags(draw, 0.1, size, [8]),
    ),
    "the last of 8 is a parity: by patterns of 8": (
        parity_of_eight, lambda draw, size: octets(draw, 0.5, size),
    ),
    "all streams are one: by adjacent streams": (
        one_stream, lambda draw, size: agreements(draw, 0.3, size, [ADJACENT_STREAMS]),
    ),
    "a stream is the one before, moved by 8: by shifts": (
        overlapping_streams, lambda draw, size: shifts(draw, 0.3, size, *ADJACENT_STREAMS, SHIFTS),
    ),
    "a seed has 32 bits: by distant seeds": (
        short_seed, lambda draw, size: agreements(draw, 0.3, size, [((SEED, 0), (SEED + 2**32, 0))]),
    ),
    "a correlation of 1/1,000: by lags": (correlated, lambda draw, size: lags(draw, 0.5, size, [17])),
}  # fmt: skip
# The rate is off by 2^-16 at most. Beside the deviation of n elements, which is 0.3 / sqrt(n), that is seen
# from n = 10^10 on. Golden masks, whose ties are listed, see it at once.
UNSEEN = {
    "ties are kept: by the mean": (sixteen_bits, lambda draw, size: rates(draw, [0.1], size)),
}


def first_size(draw, check, threshold, largest):
    """The first power of 4 at which a tail is below the threshold, up to the largest size, or None."""
    size = 2**12
    while min(check(draw, size)) >= threshold:
        if size >= largest:
            return None
        size = min(4 * size, largest)
    return size
