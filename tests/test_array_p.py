# SPDX-License-Identifier: BSD-3-Clause
"""A rate for every row, channel or element: each number of the mask varies along its axes as p does."""

import functools

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, same_bytes, special_values
from copies import copies, through_json
from fastdrop import reference
from operations import SEED, STREAM, varying_rates
from refusal import refuse

SHAPE = (4, 3, 5, 7)
# Rows, channels, columns, several axes, every element, one rate; fewer axes than the mask has.
RATES = [(4, 1, 1, 1), (3, 1, 1), (7,), (5, 1), (4, 1, 5, 1), (1, 3, 1, 7), SHAPE, (1, 1), ()]


@functools.cache
def expected(rates, dtype, inverted, generator):
    """A mask by the reference, its decisions and its result, once for all ISAs."""
    x, p = special_values(SHAPE, dtype), varying_rates(rates)
    slow = reference.Mask(SHAPE, p, inverted=inverted, seed=SEED, stream=STREAM, generator=generator)
    return x, p, slow.to_numpy(), slow.apply(x)


@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_p_may_vary_along_any_axes(isa, generator, dtype, inverted):
    for rates in RATES:
        x, p, keep, y = expected(rates, dtype, inverted, generator)
        options = {"inverted": inverted, "seed": SEED, "stream": STREAM, "generator": generator}
        mask = fastdrop.Mask(SHAPE, p, **options)
        assert same_bytes(mask.to_numpy(), keep), rates
        assert same_bytes(mask.apply(x), y), rates
        assert same_bytes(mask.apply(x, out=np.full_like(x, 7)), y), rates
        assert same_bytes(mask.apply((in_place := x.copy()), out=in_place), y), rates
        assert same_bytes(fastdrop.dropout_backward(x, mask), y), rates


@pytest.mark.parametrize("rates", RATES, ids=str)
def test_a_mask_shows_how_its_p_varies_and_keep_prob_is_the_other_spelling(rates):
    p = varying_rates(rates)
    mask = fastdrop.Mask(SHAPE, p, seed=SEED)
    np.testing.assert_array_equal(mask.p, np.broadcast_to(p, SHAPE) if p.size > 1 else p.item())
    assert fastdrop.Mask(SHAPE, keep_prob=1 - p, seed=SEED) == fastdrop.Mask(SHAPE, 1 - (1 - p), seed=SEED)


@pytest.mark.parametrize("noise", [(4, 3, 1, 1), (1, 3, 5, 7), (None, 1, 1, 7), (4, 1, 5, 1)])
def test_p_may_vary_where_decisions_are_shared(isa, noise):
    shape = [1 if entry == 1 else length for entry, length in zip(noise, SHAPE, strict=True)]
    x, p = special_values(SHAPE, np.float32), varying_rates(shape)
    for training in (True, False):
        for inverted in (True, False):
            options = {"noise_shape": noise, "training": training, "inverted": inverted}
            y, mask = fastdrop.dropout(x, p, rng=4, **options)
            wanted, slow = reference.dropout(x, p, rng=4, **options)
            assert same_bytes(y, wanted)
            assert same_bytes(fastdrop.dropout_backward(x, mask), reference.dropout_backward(x, slow))


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


def test_a_stored_mask_takes_an_array_of_p_for_its_scale(isa):
    keep, x = np.arange(12).reshape(3, 4) % 3 > 0, np.ones((3, 4), np.float32)
    p = np.array([0.0, 0.5, 0.75, 0.5])
    mask = fastdrop.Mask.from_array(keep, p)
    assert same_bytes(mask.apply(x), np.where(keep, np.float32([1, 2, 4, 2]), np.float32(0)))
    assert same_bytes(mask[1:, ::-2].apply(x[1:, ::-2].copy()), mask.apply(x)[1:, ::-2].copy())


def test_a_layer_keeps_its_array_of_p_through_a_checkpoint():
    x = np.ones((6, 4), np.float32)
    p = np.array([0.1, 0.9, 0.0, 1.0])
    drop = fastdrop.Dropout(p, rng=7)
    assert same_bytes(drop(x), reference.dropout(x, p, rng=7)[0])
    state = through_json(drop.state_dict())
    other = fastdrop.Dropout(rng=0)
    other.load_state_dict(state)
    assert same_bytes(other(x), drop(x))
    assert other.p.tolist() == p.tolist()


ONES = np.ones((6, 4), np.float32)
TAKES_P = {
    "Mask": lambda p: fastdrop.Mask((6, 4), p),
    "MaskGenerator.mask": lambda p: fastdrop.MaskGenerator(0).mask((6, 4), p),
    "dropout": lambda p: fastdrop.dropout(ONES, p),
    "dropout in evaluation": lambda p: fastdrop.dropout(ONES, p, training=False),
    "Dropout": lambda p: fastdrop.Dropout(p)(ONES),
    "Mask.from_array": lambda p: fastdrop.Mask.from_array(ONES > 0, p),
}


@pytest.mark.parametrize("entrance", TAKES_P)
@pytest.mark.parametrize("rates", [(3,), (2, 1, 1), (5, 4), (6, 4, 1), (1, 6, 4)], ids=str)
def test_a_p_that_does_not_fit_is_refused(entrance, rates):
    wanted = f"p must have a shape that can be broadcast to the noise shape (6, 4), not {rates}"
    refuse(lambda: TAKES_P[entrance](np.full(rates, 0.5)), ValueError, wanted)


def test_a_p_without_elements_fits_an_input_without_elements_only():
    """A layer refuses it at once: it is made for inputs of any number of rows."""
    empty, refused = np.zeros((0, 4)), "p must have at least one element, not the shape (0, 4)"
    assert fastdrop.dropout(np.zeros((0, 4)), empty)[0].shape == (0, 4)
    for name in ("Mask", "MaskGenerator.mask", "dropout", "Mask.from_array"):
        wanted = "p must have a shape that can be broadcast to the noise shape (6, 4), not (0, 4)"
        refuse(lambda name=name: TAKES_P[name](empty), ValueError, wanted)
    drop = fastdrop.Dropout(0.25)
    refuse(lambda: fastdrop.Dropout(empty), ValueError, refused)
    refuse(lambda: setattr(drop, "p", empty), ValueError, refused)
    refuse(lambda: drop.load_state_dict(drop.state_dict() | {"p": []}), ValueError, "p must have at least")
    assert drop.p == 0.25


@pytest.mark.parametrize("dtype", ["float64", "float16", "longdouble", "int8"])
def test_an_array_without_axes_is_one_rate(dtype):
    for p in (np.array(0, dtype), np.array(1, dtype)):
        made = fastdrop.Dropout(p).p, fastdrop.Dropout(keep_prob=p).p, fastdrop.AlphaDropout(p).p
        assert made == (p, 1 - p, p)
        assert {type(each) for each in made} == {float}


def test_a_p_that_does_not_fit_the_noise_shape_is_refused():
    p = np.full((6, 1), 0.5)
    refuse(
        lambda: fastdrop.Mask((6, 4), p, noise_shape=(1, 4)), ValueError, "p must have", "(1, 4), not (6, 1)"
    )
