# SPDX-License-Identifier: BSD-3-Clause
"""Every operation of the core, from its row: how to run it on a mask, what it means, which masks it takes.

The laws of the other files go over this list, so a new operation joins all of them by itself.
"""

import numpy as np

import fastdrop
from arrays import DTYPES, special_values
from fastdrop import _core, reference
from fastdrop._states import run_operation

SEED, STREAM = 3, 9
# Few and many bits, a tie in every comparison of the upper half, the ends, and one within 2^-53 of 1.
PROBABILITIES = [0.0, 2.0**-64, 1e-6, 0.1, 0.25, 0.5, 0.9, 1.0 - 2.0**-53, 1.0]
# What operations are tested with, in the order of their constants. None is neutral.
CONSTANTS = (1.1, 0.3, -1.7, 0.6)
# No NaN: which of two NaNs a sum has is not defined, and x has them.
PARAMETERS = np.nan_to_num(special_values(2**16, np.float64), nan=1.0, posinf=np.inf, neginf=-np.inf)


class Operation:
    """A row of the core's list, the reference's function of that name, and what follows from the two."""

    def __init__(self, name: str) -> None:
        self.name, self.row = name, _core.operations[name]
        self.meaning = reference.OPERATIONS[name]  # an operation without an oracle fails here
        self.draws_normals = self.row.draw == "normals"
        # Noise has a number for every element, and its variance is p / (1 - p).
        self.takes = ("drawn",) if self.draws_normals else ("drawn", "shared", "varying", "stored")
        self.probabilities = PROBABILITIES[:-1] if self.draws_normals else PROBABILITIES
        # Without inputs the dtype is that of what stands for one, which nobody reads.
        self.dtypes = DTYPES if self.row.inputs else ["bool"]
        # Whether a part of the arrays gives a part of the result, wherever it is cut.
        operands = (*self.row.inputs, *self.row.outputs)
        self.cuts_anywhere = all(operand.access == "full" for operand in operands)

    def allows(self, p):
        return p <= self.probabilities[-1]

    def call(self, mask, x, out=None):
        """The result of the core on a `fastdrop.Mask`, in `out` if there is one."""
        if not self.row.inputs:
            return mask.to_numpy()
        if self.name == "dropout":
            return mask.apply(x, out=out)  # its scale varies where p does
        names = tuple(operand.name for operand in self.row.inputs)
        return run_operation(self.name, mask, names, x, *self.others(x), out, *self.constants)

    def reference(self, mask, x):
        """The result of plain NumPy on a `reference.Mask`."""
        if self.name == "dropout":
            return mask.apply(x)
        options = {"key": mask.key, "stream": mask.stream, "generator": mask.generator}
        drawn = reference.normals(mask.index, **options) if self.draws_normals else mask.to_numpy()
        return self.meaning(drawn, x, *self.others(x), *self.constants) if self.row.inputs else drawn

    @property
    def constants(self):
        return CONSTANTS[: len(self.row.constants)]

    def others(self, x):
        """Every input beside x, from x: one that is full has other values of the same elements."""
        columns, rows = x.shape[-1:], x.shape[:-1]
        shapes = {"per column": columns, "per row": rows}
        for operand in self.row.inputs[1:]:
            dtype = reference.computed_with(x.dtype) if operand.type == "compute" else x.dtype
            with np.errstate(all="ignore"):
                if operand.access == "full":
                    yield np.where(x == x, np.negative(x), x.dtype.type(1)).astype(dtype)
                else:
                    yield np.resize(PARAMETERS, shapes[operand.access]).astype(dtype)

    def results(self, mask, x):
        """The result by every way to hand over the arrays: a new one, `out`, and in place."""
        yield self.call(mask, x)
        if self.row.inputs:
            out = np.full_like(x, 7)
            assert self.call(mask, x, out) is out
            yield out
            in_place = x.copy()
            assert self.call(mask, in_place, in_place) is in_place
            yield in_place


OPERATIONS = {name: Operation(name) for name in _core.operations}
WITH_INPUTS = {name: operation for name, operation in OPERATIONS.items() if operation.row.inputs}
CUT_ANYWHERE = {name: operation for name, operation in OPERATIONS.items() if operation.cuts_anywhere}
# Every operation with every dtype, as parameters of a test.
EVERY_DTYPE = [(name, dtype) for name, operation in OPERATIONS.items() for dtype in operation.dtypes]


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
    """A mask of one of the forms in `Operation.takes`, which shares or varies along some of the axes."""
    some = tuple(1 if axis in axes else length for axis, length in enumerate(shape))
    if form == "stored":
        return stored_twins(shape, p)
    if form == "shared":
        return twins(shape, p, noise_shape=some, **options)
    if form == "varying":
        return twins(shape, varying_rates(some), **options)
    return twins(shape, p, **options)
