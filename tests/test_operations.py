# SPDX-License-Identifier: BSD-3-Clause
"""Every operation equals the reference bit for bit: dtype x ISA x generator x p x size x start.

Results are compared as bytes, so that a NaN's payload and the sign of a zero count.
"""

import functools
import itertools

import pytest

import fastdrop
from arrays import DTYPES, same_bytes, special_values
from fastdrop import reference
from operations import (
    OPERATIONS,
    PROBABILITIES,
    SEED,
    WITH_DECISIONS,
    endless_twins,
    every_dtype,
    stored_twins,
)

# Around the width of a block (8), of the vectors (16, 32), of a tile (128), and of several tiles.
SIZES = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 127, 128, 129, 255, 256, 257, 1000]
STARTS = [0, 1, 7, 8, 13, 127, 128, 129, 2**31 - 5, 2**32 - 5, 2**40 - 5, 2**62 - 5]


@functools.cache
def expected(name, dtype, generator, p, start):
    """Inputs of the largest size, and what the reference makes of them: once for all ISAs."""
    operation = OPERATIONS[name]
    inputs, slow = operation.inputs((max(SIZES),), dtype), endless_twins(start, max(SIZES), p, generator)[1]
    return inputs, operation.reference(slow, inputs)


@pytest.mark.parametrize(("name", "dtype"), every_dtype(OPERATIONS))
def test_every_size_and_start_equals_the_reference(isa, generator, name, dtype):
    """Decisions do not depend on the dtype, so that all p are needed for one only."""
    operation = OPERATIONS[name]
    probabilities = operation.probabilities[:: 1 if dtype in ("float32", "bool") else 4]
    for p, start in itertools.product(probabilities, STARTS):
        inputs, y = expected(name, dtype, generator, p, start)
        whole, _ = endless_twins(start, max(SIZES), p, generator)
        for size in SIZES:
            for result in operation.results(whole[:size], operation.cut(inputs, slice(size))):
                assert same_bytes(result, y[:size]), (p, start, size)


# Kernels share work between 256 counters whose upper bytes agree, while byte 5 of the counter stays the same:
# it changes at multiples of 2^43 elements (of 2^42 for noise, which takes two blocks for eight elements).
# They do so from 16,384 elements on, 128 tiles.
ORIGINS = [0, 2**42 - 9 * 128, 2**42 - 40 * 128, 5 * 2**42 - 3, 2**43 - 9 * 128, 2**43 - 140 * 128]
ORIGINS += [5 * 2**43 - 3, 2**63 - 2**15]
FIRST_TILES = [0, 1, 2, 6, 7, 8, 9, 13, 14, 15, 16]
TILES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 18, 40, 127, 128, 129, 150]
LONGEST = (max(FIRST_TILES) + max(TILES)) * 128 + 7


@functools.cache
def expected_of_counters(name, generator, origin):
    operation = OPERATIONS[name]
    inputs = operation.inputs((LONGEST,), operation.dtypes[-1])
    return inputs, operation.reference(endless_twins(origin, LONGEST, 0.3, generator)[1], inputs)


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_groups_of_counters_equal_the_reference(isa, generator, name, origin):
    operation = OPERATIONS[name]
    inputs, y = expected_of_counters(name, generator, origin)
    whole, _ = endless_twins(origin, LONGEST, 0.3, generator)
    for first, tiles in itertools.product(FIRST_TILES, TILES):
        part = slice(first * 128, (first + tiles) * 128 + 7)
        assert same_bytes(operation.call(whole[part], operation.cut(inputs, part)), y[part]), (first, tiles)


@pytest.mark.parametrize(("name", "dtype"), every_dtype(WITH_DECISIONS))
def test_every_size_and_first_bit_of_stored_masks_equals_the_reference(isa, name, dtype):
    """A window's first bit may be any bit of a byte."""
    operation, longest = OPERATIONS[name], max(SIZES)
    inputs, (mask, slow) = operation.inputs((longest,), dtype), stored_twins(longest + 70)
    for start in (0, 1, 7, 8, 9, 31, 63, 65, 70):
        y = operation.reference(slow[start : start + longest], inputs)
        for size in SIZES:
            part = mask[start : start + size]
            for result in operation.results(part, operation.cut(inputs, slice(size))):
                assert same_bytes(result, y[:size]), (start, size)


MEANINGS = {
    "dropout": lambda x, p, **options: reference.Mask(x.shape, p, **options).apply(x),
    "alpha_dropout": lambda x, p, **options: reference.alpha_applied(
        x, reference.Mask(x.shape, p, **options)
    ),
    "gaussian_dropout": lambda x, p, **options: reference.Noise(x.shape, p, **options).apply(x),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MEANINGS)
def test_the_public_function_is_the_operation_with_the_constants_of_p(isa, generator, name, dtype):
    """Gaussian dropout has no p of 1."""
    x = special_values((7, 1, 43), dtype)
    for p in PROBABILITIES[: -1 if name == "gaussian_dropout" else None]:
        masks = fastdrop.MaskGenerator(SEED, generator=generator)
        y, _ = getattr(fastdrop, name)(x, p, rng=masks)
        assert same_bytes(y, MEANINGS[name](x, p, seed=SEED, generator=generator)), p
