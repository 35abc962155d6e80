# SPDX-License-Identifier: BSD-3-Clause
"""Masks of one's own: stored as bits, and like every other mask in windows, forward, backward and copies."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import fastdrop
from arrays import DTYPES, same_bytes, special_values
from copies import copies
from fastdrop import reference
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
        assert fastdrop.Mask.from_bits(spelling, size, 0) == fastdrop.Mask.from_bits(bits, size, 0)


def test_what_a_generator_draws_can_be_stored(isa, generator):
    mask = fastdrop.Mask((37, 53), 0.3, seed=1, generator=generator)
    x = special_values(mask.shape, np.float32)
    for stored in (
        fastdrop.Mask.from_array(mask.to_numpy(), 0.3),
        fastdrop.Mask.from_array(np.asfortranarray(mask.to_numpy()), 0.3),
        fastdrop.Mask.from_bits(mask.to_bits(), mask.shape, 0.3),
    ):
        assert same_bytes(stored.apply(x), mask.apply(x))
        assert stored.scale == mask.scale
        assert stored != mask


def test_the_caller_keeps_its_memory():
    keep, bits = np.ones(100, bool), np.full(13, 255, np.uint8)
    masks = fastdrop.Mask.from_array(keep, 0), fastdrop.Mask.from_bits(bits, 100, 0)
    keep[:], bits[:] = False, 0
    assert all(mask.to_numpy().all() for mask in masks)


def test_stored_masks_are_equal_if_their_bits_and_scales_are():
    keep = some_bools(6, 10)
    mask, again = fastdrop.Mask.from_array(keep, 0.25), fastdrop.Mask.from_array(keep.copy(), 0.25)
    assert (mask, hash(mask)) == (again, hash(again))
    others = [
        fastdrop.Mask.from_array(keep, 0),
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
    assert len(pickle.dumps(fastdrop.Mask.from_array(np.ones(80_000, bool), 0))) < 10_500


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


MAKES = {
    "from_array": lambda *p, **options: fastdrop.Mask.from_array(np.array([True, False]), *p, **options),
    "from_bits": lambda *p, **options: fastdrop.Mask.from_bits(b"\x01", 2, *p, **options),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_the_scale_is_never_left_to_a_default(make):
    wanted = "p must be given, or keep_prob, for the scale of what is kept: p=0 leaves what is kept unscaled"
    refuse(make, TypeError, wanted)
    refuse(lambda: make(0.5, keep_prob=0.5), ValueError, "keep_prob must not be given together with p")
    refuse(lambda: make(keep_prob=0), ValueError, "keep_prob must be more than 0 where elements are kept")
    refuse(lambda: make(keep_prob=np.array([0, 0.5])), ValueError, "keep_prob must be more than 0")
    for keep_prob, kind in ((1.5, ValueError), (-0.1, ValueError), ("1", TypeError), (True, TypeError)):
        refuse(lambda keep_prob=keep_prob: make(keep_prob=keep_prob), kind, "keep_prob must be ")
    assert (make(0).scale, make(0.75).scale, make(keep_prob=0.25).scale) == (1.0, 4.0, 4.0)
    assert (make(keep_prob=0.1).scale, make(keep_prob=1e-10).scale, make(keep_prob=1).p) == (10.0, 1e10, 0.0)
    assert make(keep_prob=np.array([0.1, 0.5])).scale.tolist() == [10.0, 2.0]
    assert make(keep_prob=0.25) == make(0.75)


# --- Broadcasting ---------------------------------------------------------------------------------

BROADCAST = [((6, 1), (6, 5)), ((5,), (6, 5)), ((1,), (6, 5)), ((), (6, 5)), ((1, 1), (1, 0)), ((1,), (0, 1))]
BROADCAST += [((1, 4, 1), (3, 4, 5)), ((4, 1), (3, 4, 5)), ((2, 1, 3), (2, 2, 3))]


@pytest.mark.parametrize(("own", "shape"), BROADCAST)
def test_a_stored_mask_is_broadcast_as_numpy_broadcasts(isa, own, shape):
    keep, rng = np.asarray(some_bools(*own, 1)[..., 0]), np.random.default_rng(0)
    for rates in ({"p": 0.25}, {"keep_prob": 0.1}, {"p": rng.random(own)}, {"keep_prob": rng.random(own)}):
        mask, slow = (module.Mask.from_array(keep, **rates) for module in (fastdrop, reference))
        for dtype in DTYPES:
            x = special_values(shape, dtype)
            wanted = np.where(keep, slow.apply(x), np.zeros((), dtype))
            assert same_bytes(mask.apply(x), wanted)
            assert same_bytes(fastdrop.dropout_backward(x, mask), wanted)
            turned = np.asfortranarray(x)
            assert same_bytes(np.ascontiguousarray(mask.apply(turned)), wanted)
            assert same_bytes(mask.apply(x, out=np.ones_like(x)), wanted)
            assert mask.apply(x, out=x) is x
            assert same_bytes(x, wanted)
    window = mask[::-1] if own else mask
    x = special_values(shape, np.float32)
    assert same_bytes(window.apply(x), slow[::-1].apply(x) if own else slow.apply(x))
    if x.size:
        assert same_bytes(mask.apply(np.ones(shape).tolist()), mask.apply(np.ones(shape)))


@pytest.mark.parametrize("shape", [(6,), (6, 2), (1, 5), (5, 6), (6, 5, 1), ()])
def test_an_array_that_the_mask_is_not_broadcast_to_is_refused(shape):
    mask = fastdrop.Mask.from_array(some_bools(6, 5), 0.5)
    refuse(lambda: mask.apply(np.ones(shape)), ValueError, f"x must have the shape (6, 5), not {shape}")
    refuse(lambda: fastdrop.dropout_backward(np.ones(shape), mask), ValueError, "dy must have the shape")


def test_a_mask_that_is_drawn_is_not_broadcast():
    """Its decisions would depend on the shape of the array."""
    x, out = np.ones((6, 5)), np.full((6, 5), 7.0)
    for mask, own in ((fastdrop.Mask((6, 1), seed=0), (6, 1)), (fastdrop.Mask(5, seed=0), (1, 5))):
        wanted = "only a mask of your own is broadcast (from_array); to share decisions, make a mask of the"
        wanted = f"{wanted} shape (6, 5) with noise_shape={own}"
        refuse(lambda mask=mask: mask.apply(x, out=out), ValueError, "x must have the shape", wanted)
        refuse(lambda mask=mask: fastdrop.dropout_backward(x, mask), ValueError, "dy must have", wanted)
    assert (out == 7).all()


def test_what_drop_block_stores_is_not_broadcast_either():
    """Nor in a layer, whose backward pass may come with another batch."""
    x, out = np.ones((3, 2, 8)), np.full((3, 2, 8), 7.0)
    drop = fastdrop.DropBlock1d(0.5, block_size=2, rng=0)
    wanted = "(1, 2, 8), not (3, 2, 8): only a mask of your own is broadcast"
    y = drop(x[:1])
    refuse(lambda: drop.backward(x, out=out), ValueError, "dy must have the shape", wanted)
    assert same_bytes(drop.backward(x[:1]), y)
    for mask in (drop.mask, *copies(drop.mask), fastdrop.drop_block(x, block_size=2, rng=1)[1][:1]):
        refuse(lambda mask=mask: mask.apply(x, out=out), ValueError, "x must have the shape", wanted)
        refuse(lambda mask=mask: fastdrop.dropout_backward(x, mask), ValueError, "dy must have", wanted)
        refuse(lambda mask=mask: drop.backward(x, mask=mask), ValueError, "dy must have", wanted)
        own = fastdrop.Mask.from_bits(mask.to_bits(), mask.shape, mask.p)
        assert same_bytes(drop.backward(x, mask=own), np.concatenate([mask.apply(x[:1])] * 3))
    assert (out == 7).all()


def test_a_mask_of_drop_block_has_the_key_and_stream_that_drew_it():
    masks = fastdrop.MaskGenerator(5)
    first, second = (fastdrop.drop_block(np.ones((1, 1, 9)), block_size=2, rng=masks)[1] for _ in range(2))
    drawn = fastdrop.Mask(1, seed=5)
    assert (first.key, first.stream) == (second.key, 0) == (drawn.key, 0)
    assert (second[0, 0, ::2].key, second[0].stream) == (drawn.key, 1)
    assert (first.generator, repr(first)) == (
        "stored",
        repr(fastdrop.Mask.from_bits(first.to_bits(), first.shape, first.p)),
    )
    again = fastdrop.drop_block(np.ones((1, 1, 9)), block_size=2, rng=5)[1]
    assert (again, hash(again)) == (first, hash(first))


def test_the_definition_of_a_stored_mask_needs_a_rate_too():
    keep = np.array([True, False])
    bits, definition = np.packbits(keep, bitorder="little"), reference.Mask
    for make in (
        lambda *p, **options: definition.from_array(keep, *p, **options),
        lambda *p, **options: definition.from_bits(bits, 2, *p, **options),
    ):
        refuse(make, TypeError, "p or keep_prob must be given")
        assert (make(0).scale == 1).all()
        assert (make(keep_prob=0.5).scale == 2).all()


# --- Bits -----------------------------------------------------------------------------------------

RATES = np.array([0.0, 0.3, 0.5, 1.0, 0.9])
ANY_MASK = {
    "whole": fastdrop.Mask((3, 5), 0.5, seed=1),
    "no axes": fastdrop.Mask((), 0.5, seed=1),
    "no elements": fastdrop.Mask((3, 0, 2), 0.5, seed=1),
    "large": fastdrop.Mask((2**18 + 77,), 0.5, seed=1),
    "rows": fastdrop.Mask((2**17 + 1, 5), RATES, seed=1),
    "window": fastdrop.Mask((2**9, 3, 2**10), 0.3, seed=1)[::-3, 1:, 5:-7:2],
    "long rows": fastdrop.Mask((3, 2**18 + 3), 0.3, seed=1)[:, 1:],
    "shared": fastdrop.Mask((2**10, 2**9), 0.3, noise_shape=(None, 1), seed=1),
    "all shared": fastdrop.Mask((2**10, 2**9), 0.3, noise_shape=(1, 1), seed=1)[:, :-1],
    "small keep_prob": fastdrop.Mask(2**18 + 1, keep_prob=0.01, seed=1),
    "stored": fastdrop.Mask.from_array(some_bools(7, 2**16 + 1), 0.5),
    "window of stored": fastdrop.Mask.from_array(some_bools(7, 2**16 + 1), 0.5)[1::2, 3:],
}


@pytest.mark.parametrize("name", ANY_MASK)
def test_the_bits_of_any_mask_are_those_that_numpy_packs(name):
    mask = ANY_MASK[name]
    bits = mask.to_bits()
    assert same_bytes(bits, np.packbits(mask.to_numpy(), bitorder="little"))
    assert bits.flags.writeable
    assert same_bytes(fastdrop.Mask.from_bits(bits, mask.shape, 0.5).to_numpy(), mask.to_numpy())


@pytest.mark.parametrize("rows", [None, 2, 2**12])
def test_making_bits_takes_the_memory_of_the_bits(rows):
    size = 2**25  # 4 MiB of bits, and 32 MiB of bools
    mask = fastdrop.Mask(size if rows is None else (rows, size // rows), 0.5, seed=1)
    mask[..., :8].to_bits()
    tracemalloc.start()
    try:
        bits = mask.to_bits()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size // 8 <= peak <= size // 8 + 2**20
    assert bits.size == size // 8


def test_a_generator_of_masks_stores_none():
    for call in (
        lambda: fastdrop.Mask(3, generator="stored"),
        lambda: fastdrop.MaskGenerator(0, generator="stored"),
    ):
        refuse(call, ValueError, "generator must be one of 'ars4x32-7', 'philox4x32-10'")
