# SPDX-License-Identifier: BSD-3-Clause
"""A probability of keeping counts as it was given: 1 - keep_prob need not be a double.

What is dropped and the factor of what is kept are judged by exact fractions. tests/test_exact_probability.py
has the decisions of single elements.
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdrop
from arrays import DTYPES, same_bytes, special_values
from copies import copies
from fastdrop import reference

HALF_BELOW, TINY, SMALLEST = 0.5 - 2.0**-54, 2.0**-1022, 5e-324
SMALL = [0.1, 0.3, HALF_BELOW, 1e-10, 1e-17, 2.0**-64, 2.0**-65, 2.0**-66, 1e-300, TINY, 1e-310, SMALLEST]
EXACT = [0.0, 2.0**-53, 0.125, 0.25, 0.5, 0.7, 1 - 2.0**-53, 1.0]
ALL = np.array(SMALL + EXACT)
X = special_values((3, ALL.size), np.float64)


def exact_scale(q):
    """1 / q, rounded once."""
    try:
        return float(1 / Fraction(float(q))) if q else 0.0
    except OverflowError:
        return float("inf")


@pytest.mark.parametrize(
    ("q", "threshold"),
    [
        (0.1, 0xE666_6666_6666_6600),  # 0.1 is 0x0.1999999999999a, and p = 0.9 has 0xe666666666666800
        (1e-10, 2**64 - 1844674407),
        (1e-17, 2**64 - 184),
        (1.5 * 2.0**-64, 2**64 - 2),
        (2.5 * 2.0**-64, 2**64 - 2),
        (2.0**-65, 2**64),
        (SMALLEST, 2**64),
        (HALF_BELOW, 2**63 + 2**10),
        (0.0, 2**64),
        (1.0, 0),
    ],
)
def test_the_definition_of_the_threshold(q, threshold):
    assert threshold == reference.threshold(keep_prob=q) == 2**64 - round(Fraction(q) * 2**64)
    assert fastdrop.Mask(9, keep_prob=q, seed=0).to_numpy().all() == (q == 1)


@given(st.floats(0, 1) | st.floats(0, 2.0**-60) | st.sampled_from(ALL.tolist()))
def test_decisions_and_scale_are_those_of_the_number_that_was_given(q):
    mask = fastdrop.Mask((3, 400), keep_prob=q, seed=1)
    slow = reference.Mask((3, 400), keep_prob=q, seed=1)
    x = special_values((3, 400), np.float64)
    assert mask.scale == exact_scale(q)
    assert mask.p == float(1 - Fraction(q))
    assert same_bytes(mask.to_numpy(), slow.to_numpy())
    assert same_bytes(mask.apply(x), slow.apply(x))
    assert fastdrop.MaskGenerator(1).mask((3, 400), keep_prob=q) == mask
    for rng in (1, fastdrop.MaskGenerator(1)):
        y, other = fastdrop.dropout(x, keep_prob=q, rng=rng)
        assert other == mask
        assert same_bytes(y, slow.apply(x))
    p = float(1 - Fraction(q))
    assert (fastdrop.Mask((3, 400), p, seed=1) == mask) == (Fraction(p) == 1 - Fraction(q))


def test_the_smallest_keep_prob_that_keeps_anything_keeps_the_largest_number():
    """Of all elements those are kept whose number is at least D."""
    shape, seeds = 2**20, range(8)
    for seed in seeds:
        whole = fastdrop.Mask(shape, keep_prob=2.0**-17, seed=seed)
        index = np.flatnonzero(whole.to_numpy())
        assert index.size
        for q in (2.0**-18, 2.0**-19 * 1.1, 2.0**-20 / 3):
            kept = reference.keep(index, keep_prob=q, key=whole.key)
            mask = fastdrop.Mask(shape, keep_prob=q, seed=seed)
            np.testing.assert_array_equal(np.flatnonzero(mask.to_numpy()), index[kept])
            y = mask.apply(np.ones(shape))
            assert set(y[index[kept]].tolist()) <= {exact_scale(q)}


@pytest.mark.parametrize("inverted", [True, False])
def test_an_array_may_hold_all_of_them(isa, generator, inverted):
    options = {"inverted": inverted, "seed": 3, "generator": generator}
    for q in (ALL, ALL[::-1].copy(), ALL.reshape(-1, 1), np.array([[0.3]]), np.float32([0.1])):
        shape = np.broadcast_shapes(q.shape, (ALL.size, ALL.size))
        x = special_values(shape, np.float64)
        mask = fastdrop.Mask(shape, keep_prob=q, **options)
        slow = reference.Mask(shape, keep_prob=q, **options)
        assert same_bytes(mask.to_numpy(), slow.to_numpy())
        assert same_bytes(mask.apply(x), slow.apply(x))
        wanted = np.vectorize(exact_scale)(q) if inverted else np.ones(q.shape)
        np.testing.assert_array_equal(mask.scale, np.broadcast_to(wanted, shape))
        np.testing.assert_array_equal(mask.p, 1 - np.broadcast_to(q.astype(np.float64), shape))
        for other in copies(mask):
            assert (other, hash(other), repr(other)) == (mask, hash(mask), repr(mask))
        for index in ((slice(None, None, -3), slice(1, None)), 2, (..., 4), (0, 4)):
            assert same_bytes(mask[index].to_numpy(), np.asarray(slow[index].to_numpy()))
            assert same_bytes(mask[index].apply(x[index]), np.asarray(slow[index].apply(x[index])))


def test_a_window_of_one_rate_is_as_if_it_had_been_given_alone():
    mask = fastdrop.Mask((5, ALL.size), keep_prob=ALL, seed=3)
    for column, q in enumerate(ALL.tolist()):
        alone = fastdrop.Mask((5, ALL.size), keep_prob=q, seed=3)[:, column]
        assert mask[:, column] == alone


@pytest.mark.parametrize("q", [0.1, 1e-17])
def test_what_is_shown_is_not_rounded(q):
    mask = fastdrop.Mask(4, keep_prob=q, seed=3)
    assert f"keep_prob={q}, key" in repr(mask)
    assert "scale" not in repr(mask)
    assert "p=0.75, key" in repr(fastdrop.Mask(4, keep_prob=0.25, seed=3))


# --- Evaluation that multiplies ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["p", "keep_prob"])
def test_evaluation_multiplies_by_what_was_given_and_drops_where_nothing_is_kept(isa, dtype, name):
    """Infinity times 0 would be NaN, and -1 times 0 a negative zero."""
    x = special_values((8, ALL.size), dtype)
    for rates, out in itertools.product((ALL, ALL[:, np.newaxis][:8], *ALL.tolist()), (False, True)):
        options = {name: rates, "inverted": False, "training": False}
        wanted, _ = reference.dropout(x, **options)
        y, mask = fastdrop.dropout(x, **options, out=np.ones_like(x) if out else None)
        assert same_bytes(y, wanted)
        assert same_bytes(fastdrop.dropout_backward(x, mask), wanted)
        keep = np.broadcast_to(rates if name == "keep_prob" else 1 - rates, x.shape)
        np.testing.assert_array_equal(mask.to_numpy(), keep != 0)
        np.testing.assert_array_equal(np.broadcast_to(mask.scale, x.shape), keep)
        assert not y.view(f"u{x.itemsize}")[keep == 0].any()
        for part in (mask[1:, ::-2], mask[0]):
            assert same_bytes(part.to_numpy(), (keep != 0)[1:, ::-2] if part.ndim == 2 else keep[0] != 0)


@pytest.mark.parametrize("p", [1.0, np.array([1.0, 0.25, 1.0])], ids=["1", "array"])
def test_where_nothing_is_kept_evaluation_of_every_kind_gives_zero(p):
    x = np.full((2, 3, 3), -np.inf, np.float32)
    columns = np.broadcast_to(p, x.shape)
    options = {"inverted": False, "training": False}
    layers = [fastdrop.Dropout(p, inverted=False).eval(), fastdrop.DropConnect(p, inverted=False).eval()]
    results = [fastdrop.dropout(x, p, **options)[0], *(layer(x) for layer in layers)]
    results += [fastdrop.locked_dropout(x, p, time_axis=0, **options)[0]]
    for y in results:
        np.testing.assert_array_equal(y, np.where(columns == 1, np.float32(0), -np.inf))
        assert not np.signbit(y[columns == 1]).any()
