# SPDX-License-Identifier: BSD-3-Clause
"""The number of threads does not matter: the same bits from one thread and from several, for every operation.

Sizes are beyond the thread split, with odd starts and odd ends, so that parts begin within rows and tiles.
"""

import functools
import itertools

import numpy as np
import pytest

import fastdrop
from arrays import same_bytes, special_values
from fastdrop import reference
from operations import EVERY_DTYPE, OPERATIONS, endless_twins, twins

SIZE, START, P = 7 * 2**18 + 77, 2**32 - 77, 0.1


@functools.cache
def decisions(generator):
    """What the reference keeps: of all its work this takes longest."""
    return endless_twins(START, SIZE, P, generator)[1].to_numpy()


@functools.cache
def expected(name, dtype, generator):
    """An input, and the result, once for all ISAs and numbers of threads.

    By the reference; where that would take seconds, from windows that one thread does, which are judged by
    the reference in test_operations.py.
    """
    operation, x = OPERATIONS[name], special_values(SIZE, dtype)
    if "stored" in operation.takes:
        return x, operation.reference(reference.Mask.from_array(decisions(generator), P), x)
    mask, _ = endless_twins(START, SIZE, P, generator)
    cuts = [*range(0, SIZE, 100_003), SIZE]
    return x, np.concatenate([operation.call(mask[a:b], x[a:b]) for a, b in itertools.pairwise(cuts)])


@pytest.mark.parametrize(("name", "dtype"), EVERY_DTYPE)
def test_threads_do_not_matter(isa, generator, name, dtype, threads):
    operation, (x, y) = OPERATIONS[name], expected(name, dtype, generator)
    mask, _ = endless_twins(START, SIZE, P, generator)
    for count in (1, 2):
        with threads(count):
            assert same_bytes(operation.call(mask, x), y), count
    with threads(3):
        assert all(same_bytes(result, y) for result in operation.results(mask, x))


# One decision for more elements than a thread's part, and many for fewer.
SHARED = [((3, 700_001), (None, 1)), ((7000, 300), (None, 1)), ((41, 51_200), (1, None))]


@pytest.mark.parametrize(("shape", "noise_shape"), SHARED, ids=str)
def test_threads_do_not_matter_to_shared_decisions(isa, threads, shape, noise_shape):
    drawn_at = tuple(entry or length for entry, length in zip(noise_shape, shape, strict=True))
    keep = np.broadcast_to(twins(drawn_at)[1].to_numpy(), shape)
    mask, slow = twins(shape, noise_shape=noise_shape)[0], reference.Mask.from_array(keep, 0.3)
    for operation in (operation for operation in OPERATIONS.values() if "shared" in operation.takes):
        x = np.ones(shape, operation.dtypes[-1])
        y = operation.reference(slow, x)
        for count in (1, 3):
            with threads(count):
                assert same_bytes(operation.call(mask, x), y), (operation.name, count)


@pytest.mark.parametrize("shape", [(3, 700_001), (40_000, 60)], ids=str)
def test_threads_do_not_matter_to_a_p_that_varies_by_row(isa, threads, shape):
    """Across the parts of the threads, of few and of many rows."""
    p = np.linspace(0.0, 1.0, shape[0])[:, np.newaxis]
    mask, x = fastdrop.Mask(shape, p, inverted=False, seed=2), np.ones(shape, np.float32)
    with threads(1):
        y = mask.apply(x)
    for row in (0, 1, shape[0] // 2, shape[0] - 1):
        one = fastdrop.Mask(shape, float(p[row, 0]), inverted=False, seed=2)[row]
        assert same_bytes(y[row], one.apply(x[row]))
    with threads(3):
        assert same_bytes(mask.apply(x), y)


def test_threads_do_not_matter_to_stored_masks(isa, threads):
    keep = np.random.default_rng(0).random(3_000_077) < 0.5
    mask, x = fastdrop.Mask.from_array(keep, 0.5)[77:], np.ones(3_000_000, np.float32)
    for count in (1, 2, 3):
        with threads(count):
            assert same_bytes(mask.apply(x), keep[77:] * np.float32(2))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_do_not_matter_to_arrays_in_another_order(threads, count):
    shape = (1024, 1300)  # enough for three
    fortran = np.asfortranarray(special_values(shape, np.float32))
    rows = np.zeros((1024, 1310), np.float32)[:, 5:1305]
    mask = fastdrop.Mask((1025, 1301), 0.3, seed=1)[1:, 1:]
    y = mask.apply(np.ascontiguousarray(fortran))
    with threads(count):
        assert same_bytes(mask.apply(fortran), y)
        rows[...] = fortran
        mask.apply(rows, out=rows)
        assert same_bytes(rows, y)
        mask.apply(fortran, out=fortran)
        assert same_bytes(fortran, y)
