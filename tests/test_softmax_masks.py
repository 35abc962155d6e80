# SPDX-License-Identifier: BSD-3-Clause
"""Which elements a row of scores sees: masks of bool and of floats, broadcast ones, and causal ones."""

import itertools
import math

import numpy as np
import pytest

import fastdrop
from arrays import ALL_LAYOUTS, DTYPES, same_bytes
from fastdrop.reference import SOFTMAX_OPERATIONS

SHAPE = BATCH, QUERIES, KEYS = 3, 5, 40
SCALE = 0.37

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def normal(seed, dtype="float32", shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def results(scores, **options):
    """y, the weights and the gradient."""
    y, saved = fastdrop.softmax_dropout(scores, 0.3, scale=SCALE, rng=7, **options)
    dy = normal(9, scores.dtype, scores.shape)
    return y, saved.weights, fastdrop.softmax_dropout_backward(dy, saved)


def same(first, second):
    return all(map(same_bytes, first, second))


def as_added(may_attend, dtype):
    return np.where(may_attend, 0.0, -np.inf).astype(dtype)


# --- attn_mask ------------------------------------------------------------------------------------------

# Every shape that is broadcast to that of scores.
SHAPES = [shape[first:] for shape in itertools.product(*([1, n] for n in SHAPE)) for first in range(4)]


@every_dtype
@pytest.mark.parametrize("shape", sorted(set(SHAPES)), ids=str)
def test_a_mask_is_broadcast(shape, dtype):
    scores, added = normal(0, dtype), normal(1, dtype, shape)
    wanted = results(scores, attn_mask=np.broadcast_to(added, SHAPE).copy())
    assert same(results(scores, attn_mask=added), wanted)
    assert same(results(scores, attn_mask=np.broadcast_to(added, SHAPE)), wanted)
    may_attend = normal(2, "float32", shape) > -0.5
    wanted = results(scores, attn_mask=as_added(np.broadcast_to(may_attend, SHAPE), dtype))
    assert same(results(scores, attn_mask=may_attend), wanted)


@every_dtype
def test_a_mask_of_bool_says_who_is_seen(dtype):
    scores, may_attend = normal(0, dtype), normal(1) > 0
    _, weights, _ = results(scores, attn_mask=may_attend)
    assert ((weights != 0) == may_attend).all()
    # They are those of a row without the others. Only the order of the sum is another one.
    kept = may_attend[1, 2]
    alone, _ = fastdrop.softmax_dropout(scores[1, 2][kept], scale=SCALE)
    # Powers are the same. In both a term takes part in at most 7 additions, then in a division and a product;
    # results of 16 bits are rounded to 8 bits or more, in both.
    unit = 2.0**-53 if dtype == "float64" else 2.0**-24
    rounding = 1.01 * 2 * (7 + 2) * unit + (2 * 2.0**-8 if np.dtype(dtype).itemsize == 2 else 0)
    np.testing.assert_allclose(weights[1, 2][kept].astype(float), alone.astype(float), rtol=rounding, atol=0)


@every_dtype
def test_everything_may_be_seen_by_a_mask_of_true(dtype):
    scores = normal(0, dtype)
    assert same(results(scores, attn_mask=np.ones(SHAPE, bool)), results(scores))
    assert same(results(scores, attn_mask=np.True_), results(scores))
    assert same(results(scores, attn_mask=[True] * KEYS), results(scores))


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "bool"])
def test_every_layout_of_a_mask(layout, dtype):
    scores, shape = normal(0, "float16" if dtype == "float16" else "float32"), (QUERIES, KEYS)
    mask = normal(1, "float32", shape) > 0 if dtype == "bool" else normal(1, dtype, shape)
    wanted = results(scores, attn_mask=mask)
    assert same(results(scores, attn_mask=ALL_LAYOUTS[layout](mask)), wanted)


@every_dtype
def test_minus_infinity_excludes_whatever_the_score_is(dtype):
    """But a NaN, which shows."""
    scores, added = normal(0, dtype), np.zeros(SHAPE, dtype)
    added[..., 7:] = -np.inf
    for value in (0.0, float(np.finfo(np.float32).max) if dtype == "float32" else 6e4, -6e4, -np.inf):
        scores[..., 7:] = value
        _, weights, _ = results(scores, attn_mask=added)
        assert same_bytes(weights[..., 7:], np.zeros((3, 5, 33), dtype))
        _, alone, _ = results(scores[..., :7], attn_mask=added[..., :7])
        assert same_bytes(np.ascontiguousarray(weights[..., :7]), alone)
    scores[..., 7:] = np.nan
    assert np.isnan(results(scores, attn_mask=added)[1]).all()


@every_dtype
def test_a_row_that_sees_nothing_is_zeros(isa, dtype):
    scores, zeros = normal(0, dtype), np.zeros((BATCH, KEYS), dtype)
    may_attend = np.ones(SHAPE, bool)
    may_attend[:, 2] = False
    for mask in (may_attend, as_added(may_attend, dtype)):
        found = results(scores, attn_mask=mask)
        for result, whole in zip(found, results(scores), strict=True):
            assert same_bytes(result[:, 2].copy(), np.copysign(zeros, result[:, 2]))
            result[:, 2] = whole[:, 2]
            assert same_bytes(result, whole)
        assert not np.signbit(found[0]).any()
    scores[:, 2] = -np.inf
    assert same_bytes(fastdrop.softmax(scores)[:, 2].copy(), zeros)
    everything = np.zeros(SHAPE, bool)
    assert all((result == 0).all() for result in results(normal(0, dtype), attn_mask=everything))


# --- is_causal ------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize(
    "shape",
    [(1, 1), (1, 40), (40, 1), (5, 40), (40, 5), (70, 70), (2, 3, 33), (2, 3, 4, 5), (3, 0, 4), (3, 4, 0)],
    ids=str,
)
def test_causal_is_the_lower_triangle(isa, shape, dtype):
    scores, added = normal(0, dtype, shape), normal(1, dtype, shape[-1:])
    triangle = np.tril(np.ones(shape[-2:], bool))
    assert same(results(scores, is_causal=True), results(scores, attn_mask=triangle))
    both = np.where(triangle, added, added.dtype.type(-np.inf))
    assert same(results(scores, is_causal=True, attn_mask=added), results(scores, attn_mask=both))


@every_dtype
def test_what_is_not_seen_is_not_read(isa, dtype):
    scores, dy = normal(0, dtype, (KEYS, KEYS)), normal(1, dtype, (KEYS, KEYS))
    hidden = ~np.tril(np.ones((KEYS, KEYS), bool))
    wanted = results(scores, is_causal=True)
    scores[hidden] = np.nan
    y, saved = fastdrop.softmax_dropout(scores, 0.3, scale=SCALE, rng=7, is_causal=True)
    assert same((y, saved.weights), wanted[:2])
    assert same_bytes(saved.weights[hidden], np.zeros(hidden.sum(), dtype))
    assert (fastdrop.softmax_dropout_backward(dy, saved)[hidden] == 0).all()


@every_dtype
def test_zeros_are_written_where_nothing_is_seen(dtype):
    """Also in place."""
    for shape in ((70, 70), (3, 5, 40), (1, 300)):
        scores = normal(0, dtype, shape)
        out, weights = np.full(shape, 7, dtype), np.full(shape, 7, dtype)
        wanted = results(scores, is_causal=True)
        assert same(results(scores, is_causal=True, out=out, weights_out=weights), wanted)
        assert same(results(scores, is_causal=True, out=scores), wanted)


def test_rows_of_every_matrix_are_counted_from_its_first():
    """Also by threads, which begin somewhere, and in windows."""
    shape = 9, 31, 50
    scores, mask = normal(0, shape=shape), fastdrop.Mask(shape, 0.3, seed=1)
    options = {"is_causal": True}
    y, _ = fastdrop.softmax_dropout(scores, mask=mask, **options)
    for at in range(9):
        alone, _ = fastdrop.softmax_dropout(scores[at], mask=mask[at], **options)
        assert same_bytes(alone, y[at].copy())


@pytest.mark.parametrize("count", [1, 2, 7])
def test_threads_begin_within_a_matrix(threads, count):
    shape = 3, 500, 300
    scores = normal(0, shape=shape)
    triangle = np.tril(np.ones(shape[1:], bool))
    wanted = results(scores, attn_mask=triangle)
    with threads(count):
        assert same(results(scores, is_causal=True), wanted)


@every_dtype
def test_a_first_row_may_see_any_number_of_elements(isa, dtype):
    """As a block of attention's does, which does not begin with the first query. No function has it alone."""
    scores = normal(0, dtype, (7, 50))
    for visible in (0.0, 1.0, 17.0, 49.0, 50.0, 1e9, math.inf):
        mask = fastdrop.Mask((7, 50), 0.3, seed=0)
        constants = mask._scale, SCALE, visible
        run = fastdrop._core.run("softmax_dropout", mask._state, scores, None, None, None, None, *constants)
        wanted = SOFTMAX_OPERATIONS["softmax_dropout"](mask.to_numpy(), scores, None, *constants)
        assert same(run, wanted)
        rows = np.arange(7)[:, np.newaxis]
        assert ((run[1] != 0) == (np.arange(50) < visible + rows)).all()
