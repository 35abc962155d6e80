# SPDX-License-Identifier: BSD-3-Clause
"""Endless bytes for dieharder: the words of a generator or the bits of masks, from one stream or from many.

Words have all 16 bits of the number that decides on an element, whatever p is. The bits of a mask at p = 1/2
are the first ones of these numbers, and are what a user gets. So words say more, and take a sixteenth of the
time.
"""

import itertools

import numpy as np

import fastdrop
from fastdrop import _core

SEED = 19951109  # any number; not changed since the first run
MANY = 8192
BYTES = 2**25  # at a time, so that a call for each of many streams is worth its while


def key_of(seed):
    return tuple(np.random.SeedSequence(seed).generate_state(4, np.uint32).tolist())


# Pairs of key and stream.
SOURCES = {
    "one": lambda: [(key_of(SEED), 0)],
    "streams": lambda: [(key_of(SEED), stream) for stream in range(MANY)],
    "seeds": lambda: [(key_of(SEED + number), 0) for number in range(MANY)],
    "keys": lambda: [((number, 0, 0, 0), 0) for number in range(MANY)],
}


def words(generator, key, stream, first, count):
    """The words from that one on; both numbers are multiples of 4."""
    return _core.generate(generator, first // 4, stream, key, count // 4).ravel()


def mask_bits(generator, key, stream, first, count):
    """The same of the bits of a mask at p = 1/2, 32 a word."""
    mask = fastdrop.Mask(32 * (first + count), 0.5, key=key, stream=stream, generator=generator)
    return mask[32 * first :].to_bits().view("<u4")


BITS = {"words": words, "masks": mask_bits}


def chunks(generator, source, bits, first):
    """Chunks from the word `first` of each stream on; many streams take turns word by word."""
    sources, draw = SOURCES[source](), BITS[bits]
    each = BYTES // 4 // len(sources)
    for at in itertools.count(first, each):
        parts = [draw(generator, key, stream, at, each) for key, stream in sources]
        yield np.ascontiguousarray(np.stack(parts, axis=1)).astype("<u4", copy=False)
