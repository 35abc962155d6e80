# SPDX-License-Identifier: BSD-3-Clause
"""Every operation of the core, from its list: how to call it on a mask, and what the reference makes of it.

The laws of the other files go over `OPERATIONS`, so that a new row is judged by all of them. A row without a
function in the reference's list fails `test_core.py` and every law.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

import fastdrop
from arrays import DTYPES, special_values, without_nans
from fastdrop import _core, reference
from fastdrop._operations import run_checked

SEED, STREAM = 3, 9
# Few and many bits, a tie in every comparison of the upper half, the ends, and one within 2^-53 of 1.
PROBABILITIES = [0.0, 2.0**-64, 1e-6, 0.1, 0.25, 0.5, 0.9, 1.0 - 2.0**-53, 1.0]
# What every operation takes as its first constants. No float32 is one of them, and none is neutral.
CONSTANTS = (1.3, -0.7, 0.45, 2.1)


@dataclass(frozen=True)
class Operation:
    name: str
    info: Any  # what the core says about it

    @property
    def draws_normals(self):
        return self.info.draw == "normals"

    @property
    def needs_an_axis(self):
        """Rows and columns are of the last axis."""
        return any(operand.access != "full" for operand in self.info.inputs)

    @property
    def dtypes(self):
        return DTYPES if self.info.inputs else ["bool"]

    @property
    def probabilities(self):
        """Normal numbers are the same whatever p is."""
        return PROBABILITIES[::4] if self.draws_normals else PROBABILITIES

    @property
    def forms(self):
        """The masks that it takes, see `twins_of_a_form`. Every element has a normal number of its own."""
        return ("drawn",) if self.draws_normals else ("drawn", "shared", "varying", "stored")

    @property
    def constants(self):
        return CONSTANTS[: len(self.info.constants)]

    def inputs(self, shape, dtype):
        """Special values for every input, of the shape and the type that its row says.

        NaNs are in the first one only: which of two that meet goes on is the processor's choice.
        """
        shapes = {"full": shape, "per column": shape[-1:], "per row": shape[:-1]}
        types = {"element": dtype, "compute": reference.computed_with(dtype)}
        values = [special_values(shapes[operand.access], types[operand.type]) for operand in self.info.inputs]
        return [*values[:1], *map(without_nans, values[1:])]

    def cut(self, inputs, part):
        """The inputs of a window of a mask with one axis."""
        kept = zip(inputs, self.info.inputs, strict=True)
        return [x if operand.access == "per row" else x[part] for x, operand in kept]

    def call(self, mask, inputs, out=None):
        """The operation on what the mask draws, in `out` if there is one."""
        names = tuple(operand.name for operand in self.info.inputs)
        arguments = (*inputs, out, *self.constants)
        y = _core.run(self.name, mask._state, *arguments)
        return run_checked(self.name, mask._state, names, *arguments) if y is None else y

    def results(self, mask, inputs):
        """The result by every way to hand over the arrays: a new one, `out`, and in place of the first."""
        yield self.call(mask, inputs)
        out = np.full(mask.shape, 7, inputs[0].dtype if inputs else bool)
        assert self.call(mask, inputs, out) is out
        yield out
        if inputs:
            in_place = inputs[0].copy()
            assert self.call(mask, [in_place, *inputs[1:]], in_place) is in_place
            yield in_place

    def drawn(self, slow):
        """What the reference draws: standard normal numbers, or True where an element is kept."""
        if self.draws_normals:
            key, stream, generator = slow.key, slow.stream, slow.generator
            return reference.normals(slow.index, key=key, stream=stream, generator=generator)
        return np.asarray(slow.to_numpy())

    def reference(self, slow, inputs):
        return self.judged(self.drawn(slow), inputs)

    def judged(self, drawn, inputs):
        """The result for what has been drawn before."""
        return np.asarray(reference.OPERATIONS[self.name](drawn, *inputs, *self.constants))


# Element by element. Operations on rows have tests of their own.
OPERATIONS = {name: Operation(name, info) for name, info in _core.operations.items() if not info.whole_rows}
WITH_INPUTS = {name: operation for name, operation in OPERATIONS.items() if operation.info.inputs}
WITH_DECISIONS = {name: operation for name, operation in OPERATIONS.items() if not operation.draws_normals}
# Those that are functions of the package, too.
PUBLIC = [name for name in OPERATIONS if name in fastdrop.__all__]


def every_dtype(operations):
    """Every one of these operations with every dtype, as parameters of a test."""
    return [(name, dtype) for name, operation in operations.items() for dtype in operation.dtypes]


# --- Masks, each with the reference's ---------------------------------------------------------------


def twins(shape, p=0.3, *, seed=SEED, stream=STREAM, **options):
    """A mask, and the same one as the reference sees it."""
    options = {"seed": seed, "stream": stream, **options}
    return fastdrop.Mask(shape, p, **options), reference.Mask(shape, p, **options)


def endless_twins(start, size, p, generator):
    """The window of that size that begins at `start` of an endless mask."""
    options = {"seed": SEED, "stream": STREAM, "generator": generator}
    slow = reference.Mask(size, p, **options)
    slow.index = slow.index + np.uint64(start)
    return fastdrop.Mask(start + size, p, **options)[start:], slow


def stored_twins(shape, p=0.3):
    """A mask of bits that no generator has drawn."""
    keep = np.random.default_rng(11).random(shape) < 0.5
    return fastdrop.Mask.from_array(keep, p), reference.Mask.from_array(keep, p)


def varying_rates(shape):
    """Every kind of p in a random order; of few values, since the reference takes them one by one."""
    values = [0.0, 1.0, 1e-3, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.999]
    return np.random.default_rng(0).choice(values, shape)


def twins_of_a_form(form, shape, p, axes, **options):
    """A mask of one of an operation's `forms`, which shares or varies along some of the axes."""
    some = tuple(1 if axis in axes else length for axis, length in enumerate(shape))
    if form == "stored":
        return stored_twins(shape, p)
    if form == "shared":
        return twins(shape, p, noise_shape=some, **options)
    if form == "varying":
        return twins(shape, varying_rates(some), **options)
    return twins(shape, p, **options)
