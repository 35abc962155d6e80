# SPDX-License-Identifier: BSD-3-Clause
"""What a mask is: equal, copied and pickled by its numbers, never changed; and where its key comes from."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdrop
from copies import copies
from fastdrop import reference
from processes import python

X = np.arange(1, 61, dtype=np.float32).reshape(6, 10)
# Two of each: what any number of a mask can be, and something else.
SHAPES, PROBABILITIES, SEEDS, STREAMS = [(6, 10), (10, 6)], [0.5, 0.25], [0, 1], [0, 2**63 - 1]


def every_mask(generators):
    for shape in SHAPES:
        for p in PROBABILITIES:
            for seed in SEEDS:
                for stream in STREAMS:
                    for generator in generators:
                        mask = fastdrop.Mask(shape, p, seed=seed, stream=stream, generator=generator)
                        yield from (mask, mask[1:], mask[:, ::2], mask[::-1], mask[2], mask[2, 3])


# --- Mask -----------------------------------------------------------------------------------------


def test_masks_are_equal_if_their_numbers_are():
    masks = list(every_mask(["ars4x32-7", "philox4x32-10"]))
    again = list(every_mask(["ars4x32-7", "philox4x32-10"]))
    assert masks == again
    assert [hash(mask) for mask in masks] == [hash(mask) for mask in again]
    assert all(one != other for one, other in itertools.combinations(masks, 2))
    assert len(set(masks + again)) == len(masks)
    assert all(mask != other for mask in masks for other in (None, reference.Mask(3), "mask"))


def test_masks_that_scale_in_another_way_differ_and_stay_so():
    """Their decisions are the same: only what is kept becomes another number."""
    scaled, plain = (fastdrop.Mask((3, 4), 0.3, seed=7, inverted=inverted) for inverted in (True, False))
    assert scaled != plain
    for other in copies(plain):
        assert other == plain
        assert (other.scale, scaled.scale) == (1.0, 1 / 0.7)


@pytest.mark.parametrize("thing", ["mask", "window"])
def test_copies_of_a_mask_are_equal_to_it(thing, generator):
    mask = fastdrop.Mask((6, 10), 0.3, seed=7, stream=2**40 + 1, generator=generator)
    mask = mask if thing == "mask" else mask[1:, ::-3]
    for other in copies(mask):
        assert (other, hash(other), repr(other)) == (mask, hash(mask), repr(mask))
        assert (other.to_numpy() == mask.to_numpy()).all()
    assert len(pickle.dumps(fastdrop.Mask((10**9, 10**9), seed=0))) < 500  # numbers, no array


def test_another_process_unpickles_the_same_bits(generator):
    mask = fastdrop.Mask((6, 1000), 0.3, seed=7, generator=generator)[::2]
    code = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1])).to_numpy().tobytes().hex())"
    output, _ = python("-c", code, pickle.dumps(mask).hex())
    assert bytes.fromhex(output) == mask.to_numpy().tobytes()


def test_a_mask_cannot_be_changed():
    mask = fastdrop.Mask((6, 10), 0.5, seed=0)
    before = pickle.dumps(mask)
    for name in ("shape", "ndim", "size", "p", "generator", "key", "stream", "anything"):
        with pytest.raises(AttributeError):
            setattr(mask, name, 1)
        with pytest.raises(AttributeError):
            delattr(mask, name)
    with pytest.raises(TypeError):
        mask[0] = True
    mask.to_numpy()[...] = False
    assert pickle.dumps(mask) == before
    assert (mask.to_numpy() == reference.Mask((6, 10), 0.5, seed=0).to_numpy()).all()


def test_a_mask_shows_what_it_was_made_of(generator):
    mask = fastdrop.Mask((6, 10), 0.25, seed=3, stream=9, generator=generator)
    assert (mask.shape, mask.ndim, mask.size, mask.p) == ((6, 10), 2, 60, 0.25)
    assert (mask.generator, mask.stream, mask.key) == (generator, 9, reference.key_from(3))
    for text in ("shape=(6, 10)", "p=0.25", f"key=0x{mask.key[0]:08x}...", "stream=9"):
        assert text in repr(mask)
    assert (repr(generator) in repr(mask)) == (generator != "ars4x32-7")
    for window in (mask[3:], mask[3:, ::2], mask[::-1], mask[0, 1]):
        assert ", window, key=" in repr(window)
    assert "window" not in repr(mask) + repr(mask[:3])  # the first rows are a mask of their own


# --- Keys -----------------------------------------------------------------------------------------

SEED = st.none() | st.integers(0, 2**200) | st.lists(st.integers(0, 2**70), max_size=5)


def key_of_all(seed):
    """The key that every function makes of a seed; it must be the same."""
    keys = {
        fastdrop.Mask(3, seed=seed()).key,
        fastdrop.MaskGenerator(seed()).key,
        fastdrop.dropout(X, rng=seed())[1].key,
        fastdrop.Dropout(rng=seed()).rng.key,
    }
    (key,) = keys
    assert [type(word) for word in key] == [int] * 4
    return key


@given(SEED.filter(lambda seed: seed is not None))
def test_the_key_of_a_number_is_that_of_its_seed_sequence(seed):
    assert key_of_all(lambda: seed) == reference.key_from(seed)
    sequence = np.random.SeedSequence(seed, spawn_key=(3,))
    assert key_of_all(lambda: sequence) == reference.key_from(sequence)
    if isinstance(seed, list):
        assert key_of_all(lambda: tuple(seed)) == reference.key_from(seed)


@pytest.mark.parametrize("seed", [0, np.uint8(7), np.int64(2**40), np.array([1, 2]), [], range(3)])
def test_the_key_of_an_odd_number_is_that_of_its_seed_sequence(seed):
    assert key_of_all(lambda: seed) == reference.key_from(seed)


BIT_GENERATORS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]


@pytest.mark.parametrize("make", BIT_GENERATORS)
def test_the_key_of_a_numpy_generator_is_four_raw_draws(make):
    expected = tuple(int(word) % 2**32 for word in make(5).random_raw(4))
    assert key_of_all(lambda: make(5)) == expected == reference.key_from(make(5))
    assert key_of_all(lambda: np.random.Generator(make(5))) == expected
    used, twin = make(5), make(5)
    for draw in (
        lambda: fastdrop.dropout(X, rng=np.random.Generator(used)),
        lambda: fastdrop.dropout(X, rng=used),
        lambda: fastdrop.Mask(3, seed=used),
        lambda: fastdrop.MaskGenerator(used),
    ):
        draw()
        twin.random_raw(4)
        assert str(used.state) == str(twin.state)
    fastdrop.dropout(X, rng=used, training=False)
    assert str(used.state) == str(twin.state)


def test_entropy_is_fresh():
    makers = [lambda: fastdrop.Mask(3), lambda: fastdrop.MaskGenerator(), lambda: fastdrop.dropout(X)[1]]
    makers += [lambda: fastdrop.Dropout().rng]
    keys = {make().key for make in makers for _ in range(10)}
    assert len(keys) == 40
