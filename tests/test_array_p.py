# SPDX-License-Identifier: BSD-3-Clause
"""A rate for every row, channel or element: each number of the mask varies along its axes as p does."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices

import fastdrop
from fastdrop import reference
from refusal import refuse
from test_agreement import DTYPES, same_bytes, special_values
from test_state import copies

SHAPE = (4, 3, 5, 7)
# Rows, channels, columns, several axes, every element, one rate; fewer axes than the mask has.
RATES = [(4, 1, 1, 1), (3, 1, 1), (7,), (5, 1), (4, 1, 5, 1), (1, 3, 1, 7), SHAPE, (1, 1), ()]


def some_rates(shape, seed=0):
    """Every kind of p, among them the ends."""
    p = np.random.default_rng(seed).random(shape)
    p.flat[::4], p.flat[2::7] = 0.0, 1.0
    return p


@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rates", RATES, ids=str)
def test_every_axis(isa, generator, dtype, rates, inverted):
    x, p = special_values(420, dtype).reshape(SHAPE), some_rates(rates)
    options = {"inverted": inverted, "seed": 3, "stream": 9, "generator": generator}
    mask, slow = fastdrop.Mask(SHAPE, p, **options), reference.Mask(SHAPE, p, **options)
    assert same_bytes(mask.to_numpy(), slow.to_numpy())
    assert same_bytes(mask.apply(x), slow.apply(x))
    assert same_bytes(fastdrop.dropout_backward(x, mask), slow.apply(x))
    assert same_bytes(
        mask.apply(x, out=x),
        reference.Mask(SHAPE, p, **options).apply(special_values(420, dtype).reshape(SHAPE)),
    )
    np.testing.assert_array_equal(mask.p, np.broadcast_to(p, SHAPE) if p.size > 1 else p.item())
    assert fastdrop.Mask(SHAPE, keep_prob=1 - p, **options) == fastdrop.Mask(SHAPE, 1 - (1 - p), **options)


@pytest.mark.parametrize("noise", [(4, 3, 1, 1), (1, 3, 5, 7), (None, 1, 1, 7), (4, 1, 5, 1)])
def test_with_shared_decisions(isa, noise):
    shape = [1 if entry == 1 else length for entry, length in zip(noise, SHAPE, strict=True)]
    x, p = special_values(420, np.float32).reshape(SHAPE), some_rates(shape)
    for training in (True, False):
        for inverted in (True, False):
            options = {"noise_shape": noise, "training": training, "inverted": inverted}
            y, mask = fastdrop.dropout(x, p, rng=4, **options)
            wanted, slow = reference.dropout(x, p, rng=4, **options)
            assert same_bytes(y, wanted)
            assert same_bytes(fastdrop.dropout_backward(x, mask), reference.dropout_backward(x, slow))


@st.composite
def windows(draw):
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple))
    noise = tuple(draw(st.sampled_from([length, 1])) for length in shape)
    rates = tuple(draw(st.sampled_from([length, 1])) for length in noise)[draw(st.integers(0, len(shape))) :]
    return shape, noise, rates, [draw(basic_indices(shape))], draw(st.booleans())


@given(windows())
def test_windows(isa, case):
    shape, noise, rates, chain, inverted = case
    options = {"noise_shape": noise, "inverted": inverted, "seed": 8}
    mask = fastdrop.Mask(shape, some_rates(rates), **options)
    slow = reference.Mask(shape, some_rates(rates), **options)
    for index in [*chain, ...]:
        mask, slow = mask[index], slow[index]
    x = special_values(mask.size, np.float32).reshape(mask.shape)
    assert same_bytes(mask.to_numpy(), np.asarray(slow.to_numpy()))
    assert same_bytes(mask.apply(x), np.asarray(slow.apply(x)))
    if mask.size:
        np.testing.assert_array_equal(np.broadcast_to(mask.p, mask.shape), slow.p)
    assert pickle.loads(pickle.dumps(mask)) == mask


def test_threads_do_not_matter(isa, threads):
    """A rate per row across the parts of the threads, of few and of many rows."""
    for rows, columns in [(3, 700_001), (40_000, 60)]:
        p = np.linspace(0.0, 1.0, rows)[:, np.newaxis]
        mask, x = (
            fastdrop.Mask((rows, columns), p, inverted=False, seed=2),
            np.ones((rows, columns), np.float32),
        )
        with threads(1):
            y = mask.apply(x)
        for row in (0, 1, rows // 2, rows - 1):
            one = fastdrop.Mask((rows, columns), float(p[row, 0]), inverted=False, seed=2)[row]
            assert same_bytes(y[row], one.apply(x[row]))
        with threads(3):
            assert same_bytes(mask.apply(x), y)


def test_a_huge_mask(isa):
    p = np.array([0.1, 0.9, 0.5])
    mask = fastdrop.Mask((2**60, 3), p, seed=6)
    for row in (2**31 // 3, 2**32 // 3, 2**40 // 3, 2**60 - 4):
        index = np.arange(3 * row, 3 * row + 12, dtype=np.uint64).reshape(4, 3)
        keep = np.stack([reference.keep(index[:, i], p[i], key=mask.key) for i in range(3)], axis=1)
        assert same_bytes(mask[row : row + 4].to_numpy(), keep)


def test_what_varies_can_be_seen_and_not_changed():
    p = np.array([[0.5], [0.75]])
    mask = fastdrop.Mask((2, 3), p, seed=0)
    assert mask.p.tolist() == [[0.5] * 3, [0.75] * 3]
    assert mask.scale.tolist() == [[2.0] * 3, [4.0] * 3]
    assert (mask[1].p, mask[1].scale, mask[1:, ::2].scale) == (0.75, 4.0, 4.0)
    assert mask[::-1].p.tolist() == [[0.75] * 3, [0.5] * 3]
    for rates in (mask.p, mask.scale):
        with pytest.raises(ValueError, match="read-only"):
            rates[0] = 1
    p[:] = 0
    assert mask.p[0, 0] == 0.5
    assert fastdrop.Mask((2, 3), np.array(0.25), seed=0) == fastdrop.Mask((2, 3), 0.25, seed=0)
    assert fastdrop.Mask((2, 3), np.float32([[0.25]]), seed=0) == fastdrop.Mask((2, 3), 0.25, seed=0)
    for other in copies(mask):
        assert (other, hash(other), repr(other)) == (mask, hash(mask), repr(mask))
        assert same_bytes(other.to_numpy(), mask.to_numpy())
    assert "p=array, key" in repr(mask)
    assert "p=array, scale=1.0, key" in repr(fastdrop.Mask((2, 3), mask.p, inverted=False))


def test_stored_masks_take_rates_for_their_scale(isa):
    keep, x = np.arange(12).reshape(3, 4) % 3 > 0, np.ones((3, 4), np.float32)
    p = np.array([0.0, 0.5, 0.75, 0.5])
    mask = fastdrop.Mask.from_array(keep, p)
    assert same_bytes(mask.apply(x), np.where(keep, np.float32([1, 2, 4, 2]), np.float32(0)))
    assert same_bytes(mask[1:, ::-2].apply(x[1:, ::-2].copy()), mask.apply(x)[1:, ::-2].copy())


def test_layer():
    x = np.ones((6, 4), np.float32)
    p = np.array([0.1, 0.9, 0.0, 1.0])
    drop = fastdrop.Dropout(p, rng=7)
    assert same_bytes(drop(x), reference.dropout(x, p, rng=7)[0])
    state = json.loads(json.dumps(drop.state_dict()))
    other = fastdrop.Dropout(rng=0)
    other.load_state_dict(state)
    assert same_bytes(other(x), drop(x))
    assert other.p.tolist() == p.tolist()


@pytest.mark.parametrize("rates", [(3,), (2, 1, 1), (5, 4), (6, 4, 1), (0,), (1, 6, 4)], ids=str)
def test_rates_that_do_not_fit(rates):
    x, wanted = (
        np.ones((6, 4), np.float32),
        f"p must have a shape that can be broadcast to the noise shape (6, 4), not {rates}",
    )
    p = np.full(rates, 0.5)
    for call in (
        lambda: fastdrop.Mask((6, 4), p),
        lambda: fastdrop.MaskGenerator(0).mask((6, 4), p),
        lambda: fastdrop.dropout(x, p),
        lambda: fastdrop.dropout(x, p, training=False),
        lambda: fastdrop.Dropout(p)(x),
        lambda: fastdrop.Mask.from_array(x > 0, p),
    ):
        refuse(call, ValueError, wanted)
    refuse(
        lambda: fastdrop.Mask((6, 4), np.full((6, 1), 0.5), noise_shape=(1, 4)),
        ValueError,
        "p must have",
        "(1, 4), not (6, 1)",
    )
