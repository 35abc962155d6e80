# SPDX-License-Identifier: BSD-3-Clause
"""Masks of one's own: stored as bits, and like every other mask in windows, forward, backward and copies."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import fastdrop
from arrays import same_bytes, special_values
from copies import copies
from refusal import refuse


def some_bools(*shape):
    return np.random.default_rng(shape).random(shape) < 0.5


@given(arrays(np.uint8, st.integers(0, 300)))
def test_every_bit_means_what_numpy_says(bits):
    """And what is behind the last element means nothing."""
    size = 8 * bits.size
    for short in range(min(size, 8)):
        keep = np.unpackbits(bits, count=size - short, bitorder="little").astype(bool)
        mask = fastdrop.Mask.from_bits(bits, size - short, p=0.1)
        assert same_bytes(mask.to_numpy(), keep)
        assert mask == fastdrop.Mask.from_array(keep, p=0.1)
        assert same_bytes(mask.to_bits(), np.packbits(keep, bitorder="little"))
    for spelling in (bits.tobytes(), bytearray(bits), memoryview(bits), np.repeat(bits, 2)[::2]):
        assert fastdrop.Mask.from_bits(spelling, size) == fastdrop.Mask.from_bits(bits, size)


def test_what_a_generator_draws_can_be_stored(isa, generator):
    mask = fastdrop.Mask((37, 53), 0.3, seed=1, generator=generator)
    x = special_values(mask.shape, np.float32)
    for stored in (
        fastdrop.Mask.from_array(mask.to_numpy(), 0.3),
        fastdrop.Mask.from_array(np.asfortranarray(mask), 0.3),
        fastdrop.Mask.from_bits(mask.to_bits(), mask.shape, 0.3),
    ):
        assert same_bytes(stored.apply(x), mask.apply(x))
        assert stored.scale == mask.scale
        assert stored != mask


def test_the_caller_keeps_its_memory():
    keep, bits = np.ones(100, bool), np.full(13, 255, np.uint8)
    masks = fastdrop.Mask.from_array(keep), fastdrop.Mask.from_bits(bits, 100)
    keep[:], bits[:] = False, 0
    assert all(mask.to_numpy().all() for mask in masks)


def test_stored_masks_are_equal_if_their_bits_and_scales_are():
    keep = some_bools(6, 10)
    mask, again = fastdrop.Mask.from_array(keep, 0.25), fastdrop.Mask.from_array(keep.copy(), 0.25)
    assert (mask, hash(mask)) == (again, hash(again))
    others = [
        fastdrop.Mask.from_array(keep),
        fastdrop.Mask.from_array(~keep, 0.25),
        fastdrop.Mask.from_array(keep.reshape(10, 6), 0.25),
        fastdrop.Mask(keep.shape, 0.25, seed=0),
    ]
    windows = [mask[1:], mask[:, ::2], mask[2]]
    assert all(one != other for one, other in itertools.combinations([mask, *others, *windows], 2))
    for thing in (mask, mask[1:, ::-3]):
        for other in copies(thing):
            assert (other, hash(other), repr(other)) == (thing, hash(thing), repr(thing))
            assert same_bytes(other.to_numpy(), thing.to_numpy())
    assert (mask.shape, mask.p, mask.scale, mask.generator) == ((6, 10), 0.25, 1 / 0.75, "stored")
    assert repr(mask) == "<Mask shape=(6, 10), p=0.25, stored as 16 bytes>"
    assert len(pickle.dumps(fastdrop.Mask.from_array(np.ones(80_000, bool)))) < 10_500


KEEP = "keep must be an array of bool, True where kept, not "
BITS = "bits must be an array of uint8 with one axis, or bytes, not "


@pytest.mark.parametrize(
    ("keep", "came"),
    [
        ([1, 0], "of int64; write keep != 0"),
        ([0.5], "of float64"),
        (["a"], "['a'] of type list"),
        (None, "None of type NoneType"),
    ],
)
def test_a_keep_that_is_no_array_of_bool_is_refused(keep, came):
    refuse(lambda: fastdrop.Mask.from_array(keep), TypeError, KEEP + came)


@pytest.mark.parametrize(
    "bits", [None, [1], 3, "a", np.zeros(2, bool), np.zeros((2, 1), np.uint8), np.int8([1, 2])]
)
def test_bits_of_the_wrong_kind_are_refused(bits):
    refuse(lambda: fastdrop.Mask.from_bits(bits, 16), TypeError, BITS, f"of type {type(bits).__name__}")


@pytest.mark.parametrize(("size", "wanted"), [(0, 0), (8, 1), (17, 3), (2**62, 2**59)])
def test_bits_that_do_not_fit_the_shape_are_refused(size, wanted):
    message = f"bits must have {wanted} bytes for {size} elements, not 2"
    refuse(lambda: fastdrop.Mask.from_bits(b"ab", size), ValueError, message)


@pytest.mark.parametrize("p", [1, -0.1, 2.0, float("nan"), "0.5", None])
def test_a_p_of_one_or_out_of_range_is_refused(p):
    for call in (lambda: fastdrop.Mask.from_array([True], p), lambda: fastdrop.Mask.from_bits(b"a", 8, p)):
        refuse(call, TypeError if p in ("0.5", None) else ValueError, "p must be ")


def test_a_generator_of_masks_stores_none():
    for call in (
        lambda: fastdrop.Mask(3, generator="stored"),
        lambda: fastdrop.MaskGenerator(0, generator="stored"),
    ):
        refuse(call, ValueError, "generator must be one of 'ars4x32-7', 'philox4x32-10'")
