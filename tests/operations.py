# SPDX-License-Identifier: BSD-3-Clause
"""Every operation of the core, once: how to run it on a mask, what it means, and which masks it takes.

The laws of the other files go over this list. An operation that is missing here fails `test_operations.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import fastdrop
from arrays import DTYPES
from fastdrop import reference
from fastdrop.mask import run_operation, with_scale

SEED, STREAM = 3, 9
# Few and many bits, a tie in every comparison of the upper half, the ends, and one within 2^-53 of 1.
PROBABILITIES = [0.0, 2.0**-64, 1e-6, 0.1, 0.25, 0.5, 0.9, 1.0 - 2.0**-53, 1.0]


@dataclass(frozen=True)
class Operation:
    name: str
    call: Callable  # (fastdrop.Mask, x, out=None) -> the result, in `out` if there is one
    reference: Callable  # (reference.Mask, x) -> the result, by plain NumPy
    function: Callable | None  # (x, p, rng=...) -> (result, ...): the public function of it
    constants: tuple = ()  # their names, in the order in which the core takes them
    inputs: tuple = ("x",)
    dtypes: list = ()
    probabilities: list = ()
    takes: tuple = ("drawn", "shared", "varying", "stored")  # kinds of mask, see `masks` below

    def allows(self, p):
        return p <= self.probabilities[-1]

    def results(self, mask, x):
        """The result by every way to hand over the arrays: a new one, `out`, and in place."""
        yield self.call(mask, x)
        if self.inputs:
            out = np.full_like(x, 7)
            assert self.call(mask, x, out) is out
            yield out
            in_place = x.copy()
            assert self.call(mask, in_place, in_place) is in_place
            yield in_place


# --- How the core is called -----------------------------------------------------------------------


def alpha_dropout(mask, x, out=None):
    scale, shift, dropped = reference.affine(mask.p) if mask.p < 1 else (0.0, 0.0, 0.0)
    return run_operation("alpha_dropout", with_scale(mask, scale), x, out, "x", shift, dropped)


def gaussian_dropout(mask, x, out=None):
    deviation = math.sqrt(mask.p / (1 - mask.p))
    return run_operation("gaussian_dropout", with_scale(mask, deviation), x, out, "x")


# --- What they mean -------------------------------------------------------------------------------


def gaussian_reference(mask, x):
    """The noise whose elements have the indices of that mask."""
    p = float(mask.p.max(initial=0))
    noise = reference.Noise((), p, seed=0, stream=mask.stream, generator=mask.generator)
    noise.index, noise.key = mask.index, mask.key
    return noise.apply(x)


LIST = [
    Operation(
        "dropout",
        call=lambda mask, x, out=None: mask.apply(x, out=out),
        reference=lambda mask, x: mask.apply(x),
        function=fastdrop.dropout,
        constants=("scale",),
        dtypes=DTYPES,
        probabilities=PROBABILITIES,
    ),
    Operation(
        "alpha_dropout",
        call=alpha_dropout,
        reference=lambda mask, x: reference.alpha_applied(x, mask),
        function=fastdrop.alpha_dropout,
        constants=("scale", "shift", "dropped"),
        dtypes=DTYPES,
        probabilities=PROBABILITIES,
        takes=("drawn", "shared", "stored"),  # one p for all: the constants depend on it
    ),
    Operation(
        "gaussian_dropout",
        call=gaussian_dropout,
        reference=gaussian_reference,
        function=fastdrop.gaussian_dropout,
        constants=("deviation",),
        dtypes=DTYPES,
        probabilities=PROBABILITIES[:-1],  # its variance is p / (1 - p)
        takes=("drawn",),  # every element has a number of its own
    ),
    Operation(
        "keep_mask",
        call=lambda mask, x, out=None: mask.to_numpy(),
        reference=lambda mask, x: mask.to_numpy(),
        function=None,
        inputs=(),
        dtypes=["bool"],  # of what stands for its input, which nobody reads
        probabilities=PROBABILITIES,
    ),
]
OPERATIONS = {operation.name: operation for operation in LIST}
WITH_INPUTS = {name: operation for name, operation in OPERATIONS.items() if operation.inputs}
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
