# SPDX-License-Identifier: BSD-3-Clause
"""Masks far from index 0, as the reference makes them.

``python tests/far_masks.py > tests/data/far-masks.json`` has written what `test_far_masks.py` reads.

A million elements have some fifteen that are tied, and the threshold lies in the middle between two multiples
of 2^48: whoever looks at another number for a tied element is wrong about half of them.
"""

import hashlib
import itertools
import json
import sys

import numpy as np

from fastdrop import reference

COUNT, P = 10**6, 19660.5 / 2**16
STARTS = {"2^40": 2**40, "2^62": 2**62}
SEED, STREAM = 2**77 + 13, 2**62 + 3


def index(start):
    return np.uint64(start) + np.arange(COUNT, dtype=np.uint64)


def digest(keep):
    return hashlib.sha256(np.packbits(keep, bitorder="little").tobytes()).hexdigest()


def keep(start, generator):
    key = reference.key_from(SEED)
    return reference.keep(index(start), P, key=key, stream=STREAM, generator=generator)


def rows():
    return [
        {"start": name, "generator": generator, "sha256": digest(keep(STARTS[name], generator))}
        for name, generator in itertools.product(STARTS, reference.GENERATORS)
    ]


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=1)
    print()
