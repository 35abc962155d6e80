# SPDX-License-Identifier: BSD-3-Clause
"""Sums over rows and along them: threads, shards in processes of their own, forks, and their errors."""

import functools
import math
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, same_bytes
from operations import twins
from processes import run
from row_operations import ROW_OPERATIONS, WITH_SUMS, every_row_operation

# --- Threads ----------------------------------------------------------------------------------------------

# Rows of work for 2, 3 and 7 threads; an odd number of tasks; less than a block for each; and one long row.
SHAPES = [(1025, 1024), (64 * 33 + 1, 800), (64 * 7 - 1, 9001), (5, 800_003), (1, 1_100_001)]


def calls(name, shape, dtype="float32"):
    operation = ROW_OPERATIONS[name]
    choice = next(operation.whole_choices())
    inputs = operation.inputs(shape, dtype, choice)
    return lambda mask: operation.call(mask, inputs, choice)


def all_same(first, second):
    return all(map(same_bytes, first, second))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_row_operation
def test_the_number_of_threads_does_not_matter(threads, name, shape):
    call = calls(name, shape)
    varying = np.linspace(0, 1, shape[0])[:, np.newaxis]
    masks = [
        fastdrop.Mask((shape[0] + 1, *shape[1:]), 0.3, seed=1)[1:],
        fastdrop.Mask(shape, varying, seed=1),
    ]
    for mask in masks:
        with threads(1):
            wanted = call(mask)
        for count in (2, 3, 7):
            with threads(count):
                assert all_same(call(mask), wanted), count


@functools.cache
def many_blocks(name, dtype):
    """One row more than whole blocks, by few columns: many blocks for every task. Once for all ISAs."""
    operation, (mask, slow) = ROW_OPERATIONS[name], twins((64 * 33 + 1, 500), 0.3)
    choice = next(operation.whole_choices())
    inputs = operation.inputs(mask.shape, dtype, choice)
    return mask, inputs, choice, operation.reference(slow, inputs, choice)


@pytest.mark.parametrize("dtype", [DTYPES[0], DTYPES[3]], ids=str)
@every_row_operation
def test_several_threads_have_the_bits_of_the_reference(isa, threads, name, dtype):
    mask, inputs, choice, wanted = many_blocks(name, dtype)
    with threads(3):
        assert all_same(ROW_OPERATIONS[name].call(mask, inputs, choice), wanted)


def test_calls_from_several_threads_at_once(threads):
    """Also such as hire threads themselves."""
    jobs = []
    for seed, shape in enumerate([(1300, 1000), (70, 300), (3, 7)] * 2):
        mask = fastdrop.Mask(shape, 0.3, seed=seed)
        jobs += [(calls(name, shape), mask) for name in ROW_OPERATIONS]
    wanted = [call(mask) for call, mask in jobs]
    with threads(3), ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda job: job[0](job[1]), jobs * 3))
    assert all(map(all_same, results, wanted * 3))


def test_a_forked_child_computes_the_same():
    """After threads have run in the parent."""
    program = """
        import os, warnings
        import numpy as np, fastdrop
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork() beside threads
        x, weight = np.random.default_rng(0).standard_normal((1300, 1000)).astype("f4"), np.ones(1000, "f4")
        mask = fastdrop.Mask(x.shape, 0.3, seed=0)
        def work():
            y, saved = fastdrop.dropout_add_layer_norm(x, x, weight, weight, mask=mask)
            gradients = fastdrop.dropout_add_layer_norm_backward(y, saved)
            return b"".join(each.tobytes() for each in (y, *gradients[:4]))
        with fastdrop.set_num_threads(2):
            wanted = work()
            child = os.fork()
            if child == 0:
                os._exit(0 if work() == wanted else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), work() == wanted)
    """
    assert run(program, OMP_NUM_THREADS="2", FASTDROP_NUM_THREADS="2") == "0 True"


# --- Shards -------------------------------------------------------------------------------------------------

ROWS, COLUMNS = 64 * 11 + 5, 33


def whole_case(name, dtype):
    operation = ROW_OPERATIONS[name]
    choice = next(operation.whole_choices())
    return operation, choice, operation.inputs((ROWS, COLUMNS), dtype, choice)


def sums_of_shard(name, dtype, first, last):
    """The sums of some rows, as a worker of distributed training computes them: at the top, to be pickled."""
    operation, choice, inputs = whole_case(name, dtype)
    mask = fastdrop.Mask((ROWS, COLUMNS), 0.3, seed=5)[first:last]
    mine = [
        x if x is None or operand.access == "per column" else x[first:last].copy()
        for x, operand in zip(inputs, operation.info.inputs, strict=True)
    ]
    results = operation.call(mask, mine, choice)
    outputs = zip(operation.info.outputs, results, strict=True)
    return [sums for operand, sums in outputs if operand.access == "per column"]


def cuts(shard):
    return [(first, min(first + shard, ROWS)) for first in range(0, ROWS, shard)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", WITH_SUMS)
def test_sums_of_shards_join_to_those_of_the_whole(isa, name, dtype):
    """An odd number of shards, an even one, and a last one that is shorter."""
    operation, choice, inputs = whole_case(name, dtype)
    slow = fastdrop.reference.Mask((ROWS, COLUMNS), 0.3, seed=5)
    outputs = zip(operation.info.outputs, operation.reference(slow, inputs, choice), strict=True)
    wanted = [sums for operand, sums in outputs if operand.access == "per column"]
    for shard in (64, 128, 256, 512, 1024):
        parts = [sums_of_shard(name, dtype, *cut) for cut in cuts(shard)]
        joined = [fastdrop.join_sums(of_one) for of_one in zip(*parts, strict=True)]
        assert all_same(joined, wanted), shard


@pytest.mark.slow
def test_shards_may_be_processes():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for name in WITH_SUMS:
            whole = sums_of_shard(name, "float32", 0, ROWS)
            for shard in (64, 128, 256):
                parts = pool.starmap(sums_of_shard, [(name, "float32", *cut) for cut in cuts(shard)])
                joined = [fastdrop.join_sums(of_one) for of_one in zip(*parts, strict=True)]
                assert all_same(joined, whole), (name, shard)


# --- The bound of errors ------------------------------------------------------------------------------------


def ill_conditioned(shape, dtype, axis):
    """Numbers of many magnitudes, whose sum along an axis is next to nothing beside them."""
    random = np.random.default_rng(3)
    half = [length // 2 if at == axis else length for at, length in enumerate(shape)]
    a = random.standard_normal(half) * 10.0 ** random.integers(-4, 5, half)
    both = np.concatenate([a, -a * (1 + 1e-6 * random.standard_normal(half))], axis).astype(dtype)
    return random.permuted(both, axis=axis)


def bound(a, depth, axis):
    """Of the error of a sum in which no term takes part in more additions than so many.

    Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section 4.2.
    """
    unit = float(np.finfo(a.dtype).eps) / 2
    return depth * unit / (1 - depth * unit) * abs(a.astype(np.float64)).sum(axis)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [64, 1000, 20_000])
def test_the_error_of_sums_over_rows(isa, dtype, rows):
    """64 additions in a block, and one for each level of the tree."""
    dy = ill_conditioned((rows, 6), dtype, 0)
    bias, keeps_all = np.zeros(6, dtype), fastdrop.Mask(dy.shape, 0.0, seed=0)
    _, saved = fastdrop.bias_dropout_add(dy, bias, mask=keeps_all)
    dbias = fastdrop.bias_dropout_add_backward(dy, saved).dbias
    exact = np.array([math.fsum(column.tolist()) for column in dy.T])
    allowed = bound(dy, 64 + math.ceil(math.log2(max(rows / 64, 1))), 0)
    assert (abs(dbias - exact) <= allowed).all()
    if rows > 1000:  # where a sum in order is allowed more, which this one does not need
        assert (allowed < bound(dy, rows, 0) / 100).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [32, 1000, 20_000])
def test_the_error_of_sums_along_rows(isa, dtype, columns):
    """Of 32 partial sums, five levels of the fold, and the division, which rounds once more."""
    x = ill_conditioned((6, columns), dtype, 1)
    _, saved = fastdrop.layer_norm(x)
    exact = np.array([math.fsum(row.tolist()) for row in x]) / columns
    unit = float(np.finfo(dtype).eps) / 2
    allowed = bound(x, math.ceil(columns / 32) + 5, 1) / columns
    assert (abs(saved.mean - exact) <= allowed * (1 + unit) + unit * abs(exact)).all()
