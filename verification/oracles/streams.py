# SPDX-License-Identifier: BSD-3-Clause
"""Blocks and masks of the core against those of others, on every ISA."""

import fastdrop
from fastdrop import _core

from . import decisions
from .words import HALF, wrapping

# Counters at which carries and the sequences of ARS end, and the ends; blocks before and after each.
PLACES = [0, 2**32, 2**40, 2**43, 2**60, 2**61, 2**63, HALF]
# Few and many bits, both ends, a threshold without a lower part, and what only ties can tell.
PROBABILITIES = [0.5, 0.1, 1 / 3, 0.9, 5 / 65536, 1.5 / 65536, 1e-6, 0.999, 2.0**-64, 1 - 2.0**-53]


def random_key(random):
    return tuple(random.integers(0, 2**32, 4).tolist())


def runs(random, count):
    """First counter, upper half and key, and how many blocks: every place, random ones, and so on."""
    size = min(2**16, -(-count // (2 * len(PLACES))))
    for number in range(-(-count // size)):
        round_, at = divmod(number, 2 * len(PLACES))
        if at < len(PLACES):  # the first round lies on the place, and the later ones anywhere near it
            offset = size // 2 + 1 if round_ == 0 else int(random.integers(-(2**20), 2**20))
            first = max(PLACES[at] - offset, 0) % HALF
        else:
            first = int(random.integers(0, HALF, dtype="u8"))
        yield first, int(random.integers(0, HALF, dtype="u8")), random_key(random), size


def different_blocks(generator, random, count):
    """How many blocks differ on any ISA, and how many were compared on each."""
    different = compared = 0
    for first, upper, key, size in runs(random, count):
        theirs = wrapping(generator, first, upper, size, key)
        for isa in fastdrop.isas():
            with fastdrop.use_isa(isa):
                ours = _core.generate(generator, first, upper, key, size)
            different += int((ours != theirs).any(axis=1).sum())
        compared += size
    return different, compared


def windows(random, count):
    """First index, stream, key, p, and how many elements: near an index where sequences end, or anywhere."""
    size = min(2**19, -(-count // (2 * len(PROBABILITIES))))
    places = [0, 2**32, 2**35, 2**43, 3 * 2**43, 2**61, 2**62]
    for number in range(-(-count // size)):
        place = places[number % len(places)] if number % 2 else int(random.integers(0, 2**63 - size))
        first = max(place - int(random.integers(0, size)), 0)
        if number == 1:
            first = 2**63 - 1 - size  # up to the last index
        stream = int(random.integers(0, 2**63))
        yield first, stream, random_key(random), PROBABILITIES[number % len(PROBABILITIES)], size


def different_decisions(generator, random, count):
    """The same for elements of masks, by p and then by the same number as a probability of keeping."""
    different = compared = 0
    for first, stream, key, p, size in windows(random, -(-count // 2)):
        numbers = decisions.sixteen_bit_numbers(generator, key, stream, first, size)
        options = {"key": key, "stream": stream, "generator": generator}
        cases = {"p": decisions.threshold(p), "keep_prob": decisions.threshold_of_keep_prob(p)}
        for name, d in cases.items():
            theirs = decisions.kept(numbers, d, generator, key, stream, first)
            mask = fastdrop.Mask(first + size, **{name: p}, **options)[first:]
            for isa in fastdrop.isas():
                with fastdrop.use_isa(isa):
                    different += int((mask.to_numpy() != theirs).sum())
            compared += size
    return different, compared
