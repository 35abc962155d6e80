# SPDX-License-Identifier: BSD-3-Clause
"""The number of threads does not matter: the same bits from one thread and from several, for every operation.

Sizes are beyond the thread split, with odd starts and odd ends, so that parts begin within rows and tiles.
"""

import functools

import numpy as np
import pytest

import fastdrop
from arrays import same_bytes, special_values
from operations import OPERATIONS, WITH_DECISIONS, endless_twins, every_dtype, twins

SIZE, START, P = 7 * 2**18 + 77, 2**32 - 77, 0.1


@functools.cache
def drawn(name, generator):
    """What the reference draws for that operation, in which almost all of its time goes."""
    return OPERATIONS[name].drawn(endless_twins(START, SIZE, P, generator)[1])


@functools.cache
def expected(name, dtype, generator):
    """Inputs and the result, once for all ISAs and numbers of threads."""
    operation = OPERATIONS[name]
    inputs = operation.inputs((SIZE,), dtype)
    like = "gaussian_dropout" if operation.draws_normals else "keep_mask"
    return inputs, operation.judged(drawn(like, generator), inputs)


@pytest.mark.parametrize(("name", "dtype"), every_dtype(OPERATIONS))
def test_threads_do_not_matter(isa, generator, name, dtype, threads):
    operation, (inputs, y) = OPERATIONS[name], expected(name, dtype, generator)
    mask, _ = endless_twins(START, SIZE, P, generator)
    with threads(2):
        assert same_bytes(operation.call(mask, inputs), y)
    with threads(3):
        assert all(same_bytes(result, y) for result in operation.results(mask, inputs))


# One decision for more elements than a thread's part, and many for fewer.
SHARED = [((3, 700_001), (None, 1)), ((7000, 300), (None, 1)), ((41, 51_200), (1, None))]


@pytest.mark.parametrize(("shape", "noise_shape"), SHARED, ids=str)
def test_threads_do_not_matter_to_shared_decisions(isa, threads, shape, noise_shape):
    drawn_at = tuple(entry or length for entry, length in zip(noise_shape, shape, strict=True))
    keep = np.broadcast_to(twins(drawn_at)[1].to_numpy(), shape)
    mask, _ = twins(shape, noise_shape=noise_shape)
    for operation in WITH_DECISIONS.values():
        inputs = operation.inputs(shape, "float32")
        y = operation.judged(keep, inputs)
        for count in (1, 3):
            with threads(count):
                assert same_bytes(operation.call(mask, inputs), y), (operation.name, count)


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
