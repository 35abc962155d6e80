# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of one shape and dtype, with a mask whose decisions others drew and whose scale is bounded."""

from dataclasses import dataclass

import numpy as np

import fastdrop
from bounded import Bounded
from fastdrop.reference import computed_with

from . import decisions

P, SEED, STREAM = 0.3, 20130101, 0
# The key of that seed, by docs/stream.md, section 2.
WORDS = tuple(np.random.SeedSequence(SEED).generate_state(4, np.uint32).tolist())
GENERATORS = {"float32": "philox4x32-10", "float64": "ars4x32-7"}  # both, whatever the dtypes are


@dataclass(frozen=True)
class Case:
    """What is computed by the core, and by the textbook, which may read what a forward pass has saved."""

    name: str
    compute: object  # () -> arrays, and what they were computed from
    textbook: object  # (what they were computed from) -> Bounded, one for each array


class Draw:
    def __init__(self, shape, dtype, seed=0):
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.own = np.dtype(computed_with(dtype))
        self.random = np.random.default_rng([seed, *shape])
        self.generator = GENERATORS[self.own.name]
        self.mask = fastdrop.Mask(shape, P, **self.source())
        size = int(np.prod(shape))
        self.keep = decisions.keep(self.generator, WORDS, STREAM, 0, size, P).reshape(shape)
        one, p = Bounded(1.0, "float64"), Bounded(P, "float64")
        self.scale = self.as_own(one / (one - p))

    def source(self):
        return {"seed": SEED, "stream": STREAM, "generator": self.generator}

    def as_own(self, constant):
        """A constant of float64, rounded once to the compute type."""
        return Bounded(constant.value, self.own).rounded(constant.value, constant.error)

    def numbers(self, shape):
        return self.random.standard_normal(shape).astype(self.dtype)

    def element(self):
        return self.numbers(self.shape)

    def column(self):
        return self.random.standard_normal(self.shape[-1:]).astype(self.own)

    def bounded(self, x):
        """Of numbers that are exact."""
        return Bounded(np.asarray(x).astype(self.own), self.own)
