# SPDX-License-Identifier: BSD-3-Clause
"""The reference of the operations on whole rows is what it says: textbook formulas, and sums in a fixed tree.

The formulas are written again, in longdouble, with a bound of the rounding errors (`bounded.py`).
"""

import itertools
import math

import numpy as np
import pytest

import fused_formulas as formulas
from arrays import DTYPES, same_bytes
from bounded import Bounded
from fastdrop import reference
from fastdrop.reference import ROW_OPERATIONS, column_sums, computed_with, join_sums, row_sums, widened

WIDE = ["float32", "float64"]
SHAPES = [(1, 1), (3, 31), (5, 32), (2, 33), (70, 7), (2, 3, 40), (9,), (131, 100)]


def normal(shape, dtype, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def kept(shape):
    return np.random.default_rng(len(shape)).random(shape) < 0.7


# --- Sums -------------------------------------------------------------------------------------------


def row_sum_by_a_loop(row):
    partial = [row.dtype.type(0)] * 32
    for j, value in enumerate(row):
        partial[j % 32] += value
    while len(partial) > 1:
        half = len(partial) // 2
        partial = [partial[i] + partial[i + half] for i in range(half)]
    return partial[0]


def tree(sums):
    """Of a list of numbers, recursively: the largest power of two on the left, what is left on the right."""
    if len(sums) == 1:
        return sums[0]
    half = 1 << ((len(sums) - 1).bit_length() - 1)
    return tree(sums[:half]) + tree(sums[half:])


def column_sum_by_a_loop(column):
    blocks = []
    for first in range(0, len(column), 64):
        total = column.dtype.type(0)
        for value in column[first : first + 64]:
            total += value
        blocks.append(total)
    return tree(blocks) if blocks else column.dtype.type(0)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("length", [0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 500])
def test_the_sum_of_a_row_is_a_fold_of_32_partial_sums(dtype, length):
    a = normal((4, length), dtype)
    wanted = np.array([row_sum_by_a_loop(row) for row in a], dtype)
    assert same_bytes(row_sums(a), wanted)
    assert same_bytes(row_sums(a.reshape(2, 2, length)), wanted.reshape(2, 2))
    assert same_bytes(row_sums(a[0]), np.asarray(wanted[0]))


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize(
    "rows", [0, 1, 2, 63, 64, 65, 128, 129, 192, 193, 320, 5 * 64 + 7, 7 * 64, 11 * 64 + 1]
)
def test_the_sum_of_a_column_is_a_tree_of_blocks_of_64_rows(dtype, rows):
    a = normal((rows, 3), dtype)
    wanted = np.array([column_sum_by_a_loop(a[:, j]) for j in range(3)], dtype)
    assert same_bytes(column_sums(a), wanted)
    if rows % 2 == 0:
        assert same_bytes(column_sums(a.reshape(2, rows // 2, 3)), wanted)


def test_the_tree_is_no_other_order():
    """A test of the tests: the orders that others would take give other bits here."""
    a = normal((7 * 64 + 5, 64), "float32")
    assert not same_bytes(column_sums(a), a.sum(axis=0))
    assert not same_bytes(column_sums(a), np.cumsum(a, axis=0)[-1])
    assert not same_bytes(row_sums(a), a.sum(axis=1))
    assert not same_bytes(row_sums(a), np.cumsum(a, axis=1)[:, -1])
    blocks = [column_sums(a[first : first + 64]) for first in range(0, len(a), 64)]
    assert not same_bytes(join_sums(blocks), np.cumsum(blocks, axis=0)[-1])


def test_sums_of_zeros_are_positive():
    """They begin at +0.0."""
    zeros = np.full((70, 40), -0.0, np.float32)
    for sums in (row_sums(zeros), column_sums(zeros)):
        assert not np.signbit(sums).any()
    assert column_sums(np.zeros((5, 0))).shape == (0,)
    assert row_sums(np.zeros((0, 5))).shape == (0,)


@pytest.mark.parametrize("dtype", WIDE)
def test_sums_are_near_the_exact_ones(dtype):
    """No term takes part in more additions than those of its partial sum, of the fold, or of the tree."""
    a = normal((1000, 333), dtype) * normal((1000, 333), dtype, 1) ** 5
    exact = Bounded(a, dtype)
    exact.sum(1, depth=math.ceil(333 / 32) + 5).check(row_sums(a))
    exact.sum(0, depth=64 + math.ceil(math.log2(math.ceil(1000 / 64)))).check(column_sums(a))


@pytest.mark.parametrize("rows", [1, 64, 65, 128, 200, 640, 1000, 1025])
@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_shards_join_to_the_sum_of_the_whole(rows, k):
    a, shard = normal((rows, 5), "float32"), 64 << k
    parts = [column_sums(a[first : first + shard]) for first in range(0, rows, shard)]
    assert same_bytes(join_sums(parts), column_sums(a))


# --- Formulas ---------------------------------------------------------------------------------------


ACTIVATIONS = [None, "relu", "gelu", "gelu_tanh", "silu"]
SCALE = 1.25


def bounded(x):
    return Bounded(widened(x), computed_with(x.dtype))


@pytest.mark.parametrize(("activation", "dtype"), list(itertools.product(ACTIVATIONS, DTYPES)))
@pytest.mark.parametrize("shape", SHAPES)
def test_bias_dropout_add_is_its_formula(shape, activation, dtype):
    x, residual, keep = normal(shape, dtype), normal(shape, dtype, 1), kept(shape)
    bias = normal(shape[-1:], computed_with(dtype), 2)
    (y,) = ROW_OPERATIONS["bias_dropout_add"](
        keep, x, bias, residual, SCALE, reference.ACTIVATION_CODES[activation]
    )
    assert y.dtype == x.dtype
    operands = map(bounded, (x, bias, residual))
    formulas.bias_dropout_add(*operands, keep, SCALE, activation).check(y)


@pytest.mark.parametrize(("activation", "dtype"), list(itertools.product(ACTIVATIONS, DTYPES)))
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_bias_dropout_add_is_its_formula(shape, activation, dtype):
    x, dy, keep = normal(shape, dtype), normal(shape, dtype, 1), kept(shape)
    bias = normal(shape[-1:], computed_with(dtype), 2)
    code = reference.ACTIVATION_CODES[activation]
    dx, dbias = ROW_OPERATIONS["bias_dropout_add_backward"](keep, dy, x, bias, None, SCALE, code)
    t = bounded(x) + bounded(bias)
    wanted = bounded(dy) * SCALE
    if activation == "relu":
        assert (abs(t.value) > t.error).all()  # so that its sign is sure
        wanted = wanted.where(t.value > 0)
    elif activation is not None:
        wanted = wanted * formulas.derivative(t, activation)
    wanted = wanted.where(keep)
    wanted.check(dx)
    formulas.column_sums(wanted).check(dbias)
    if activation == "relu":
        (y,) = ROW_OPERATIONS["bias_dropout_add"](keep, x, bias, None, SCALE, code)
        from_y = ROW_OPERATIONS["bias_dropout_add_backward"](None, dy, None, None, y, SCALE, code)
        assert all(map(same_bytes, from_y, (dx, dbias)))


EPS = 1e-3  # so large that rows of one or few features have a definite variance, too


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_norms_are_their_formulas(norm, shape, dtype):
    x, residual, keep = normal(shape, dtype), normal(shape, dtype, 1), kept(shape)
    wide = computed_with(dtype)
    weight, bias, x_bias = (normal(shape[-1:], wide, seed) for seed in (2, 3, 4))
    added = (bias,) if norm == "layer" else ()
    y, h, *statistics = ROW_OPERATIONS[f"dropout_add_{norm}_norm"](
        keep, x, residual, weight, *added, x_bias, SCALE, EPS
    )
    operands = map(bounded, (x, x_bias, residual))
    formulas.bias_dropout_add(*operands, keep, SCALE, None).check(h)
    # h is rounded where it is read, and exact from here on.
    xhat, average, rstd = formulas.normalized(norm, bounded(h), float(np.asarray(EPS, wide)))
    rstd.check(statistics[-1])
    if norm == "layer":
        average.check(statistics[0])
    wanted = xhat * bounded(weight)
    (wanted + bounded(bias) if norm == "layer" else wanted).check(y)


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 2.0**14), (np.float64, 2.0**30)])
def test_a_variance_far_from_zero_is_exact_where_its_steps_are(dtype, large):
    """Sums are integers below 2^24, or 2^53. Squares of x are not: the mean of them less the square of
    the mean would have lost the variance, which is 4."""
    signs = np.tile(np.array([1, -1, -1, 1], dtype), (3, 16))
    x, keep = large + 2 * signs, np.ones(signs.shape, bool)
    y, _, mean, rstd = ROW_OPERATIONS["dropout_add_layer_norm"](keep, x, None, None, None, None, 1.0, 0.0)
    assert (mean == large).all()
    assert (rstd == 0.5).all()
    assert (y == signs).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_the_gradients_of_norms_are_their_formulas(norm, shape, dtype):
    """From what was saved. Finite differences say that the formulas are right (test_fused_gradients.py)."""
    h, dy, dh, keep = normal(shape, dtype), normal(shape, dtype, 1), normal(shape, dtype, 2), kept(shape)
    wide = computed_with(dtype)
    weight = normal(shape[-1:], wide, 3)
    average, rstd = normal(shape[:-1], wide, 4), abs(normal(shape[:-1], wide, 5))
    saved = (average, rstd) if norm == "layer" else (rstd,)
    dx, dresidual, dweight, *sums = ROW_OPERATIONS[f"dropout_add_{norm}_norm_backward"](
        keep, dy, h, *saved, weight, dh, SCALE
    )
    centered = bounded(h) - bounded(formulas.per_row(average)) if norm == "layer" else bounded(h)
    xhat = centered * bounded(formulas.per_row(rstd))
    g = bounded(dy) * bounded(weight)
    own = formulas.through_norm(norm, g, xhat, bounded(rstd))
    wanted = bounded(dh) + own
    wanted.check(dresidual)
    (wanted * SCALE).where(keep).check(dx)
    terms = {"dweight": bounded(dy) * xhat, "dbias": bounded(dy), "dx_bias": (wanted * SCALE).where(keep)}
    if norm == "rms":
        del terms["dbias"]
    for term, result in zip(terms.values(), [dweight, *sums], strict=True):
        formulas.column_sums(term).check(result)


# --- What is absent, dropped, or not a number ---------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_absent_operand_is_a_neutral_one(dtype):
    shape, wide = (5, 40), computed_with(dtype)
    x, keep = normal(shape, dtype), kept(shape)
    nothing, none, ones = np.full(shape, -0.0, dtype), np.full(40, -0.0, wide), np.ones(40, wide)
    pairs = [
        ("bias_dropout_add", (None, None), (none, nothing), (SCALE, 2)),
        ("dropout_add_layer_norm", (None,) * 4, (nothing, ones, none, none), (SCALE, EPS)),
        ("dropout_add_rms_norm", (None,) * 3, (nothing, ones, none), (SCALE, EPS)),
    ]
    for name, absent, neutral, constants in pairs:
        results = [ROW_OPERATIONS[name](keep, x, *operands, *constants) for operands in (absent, neutral)]
        assert all(map(same_bytes, *results)), name
    dy, mean_, rstd = normal(shape, dtype, 1), normal((5,), wide, 2), abs(normal((5,), wide, 3))
    for name, statistics in [("layer", (mean_, rstd)), ("rms", (rstd,))]:
        function = ROW_OPERATIONS[f"dropout_add_{name}_norm_backward"]
        results = [
            function(keep, dy, x, *statistics, *operands, SCALE)
            for operands in ((None, None), (ones, nothing))
        ]
        assert all(map(same_bytes, *results)), name


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_dropped_is_a_positive_zero_whatever_it_was(activation):
    x = np.array([[np.nan, np.inf, -np.inf, -1.0]], np.float32)
    keep, code = np.zeros(x.shape, bool), reference.ACTIVATION_CODES[activation]
    (y,) = ROW_OPERATIONS["bias_dropout_add"](keep, x, None, None, 2.0, code)
    dx, dbias = ROW_OPERATIONS["bias_dropout_add_backward"](keep, x, x, None, None, 2.0, code)
    for result in (y, dx, dbias):
        assert result.tobytes() == np.zeros(4, np.float32).tobytes()


def test_a_nan_that_is_kept_stays_and_passes_its_gradient():
    x = np.array([[np.nan, -1.0, 2.0, -0.0]], np.float32)
    keep, ones = np.ones(x.shape, bool), np.ones(x.shape, np.float32)
    (y,) = ROW_OPERATIONS["bias_dropout_add"](keep, x, None, None, 1.0, 1)
    np.testing.assert_array_equal(y, [[np.nan, 0, 2, -0.0]])
    assert np.signbit(y[0, 3])
    for given in ((x, None, None), (None, None, y)):
        dx, _ = ROW_OPERATIONS["bias_dropout_add_backward"](keep, ones, *given, 1.0, 1)
        np.testing.assert_array_equal(dx, [[1, 0, 1, 0]])


def test_the_scale_may_vary():
    x, scale = normal((4, 5), "float32"), np.linspace(1, 2, 5)
    (y,) = ROW_OPERATIONS["bias_dropout_add"](np.ones((4, 5), bool), x, None, None, np.tile(scale, (4, 1)), 0)
    assert same_bytes(y, x * scale.astype(np.float32))
