# SPDX-License-Identifier: BSD-3-Clause
"""What is a source of keys, as `seed` or as `rng`, and what is refused and with what advice."""

import functools
import random

import numpy as np
import pytest

import fastdrop
from refusal import refuse, without_address

pytestmark = pytest.mark.usefixtures("silence")

X = np.ones((4, 6), np.float32)
HUGE = 10**5000  # more digits than Python prints
SEED = "None, a non-negative integer or a sequence of them, or a numpy.random SeedSequence"
DEEP = functools.reduce(lambda inner, _: [inner], range(100_000), 1)
BAD_SEEDS = [
    (-1, ValueError, "-1 of type int"),
    (np.int64(-1), ValueError, "-1"),
    ([1, -1], ValueError, "[1, -1] of type list"),
    (-HUGE, ValueError, "int object"),
    (1.5, TypeError, "1.5 of type float"),
    (float("nan"), TypeError, "nan of type float"),
    (np.float32(1), TypeError, "of type float32"),
    ([0.5], TypeError, "[0.5] of type list"),
    (True, TypeError, "True of type bool"),
    (np.bool_(True), TypeError, "of type bool"),
    ("a", TypeError, "'a' of type str"),
    (b"ab", TypeError, "b'ab' of type bytes"),
    (object(), TypeError, "of type object"),
    ([None], TypeError, "[None] of type list"),
    (np.array(5), TypeError, "array(5) of type ndarray"),
    (np.random, TypeError, "of type module"),
    (np.random.RandomState(0), TypeError, "of type RandomState"),
    (fastdrop.Mask(3), TypeError, "of type Mask"),
    ([True], TypeError, "[True] of type list"),
    (np.array([True]), TypeError, "of type ndarray"),
    (np.array([0.5]), TypeError, "array([0.5]) of type ndarray"),
    (np.array([True], object), TypeError, "of type ndarray"),
    (["0x1f"], TypeError, "['0x1f'] of type list"),
    ([1, ["12"]], TypeError, "[1, ['12']] of type list"),
    ([[1, 2], [3]], TypeError, "[[1, 2], [3]] of type list"),
    ((1, range(3)), TypeError, "(1, range(0, 3)) of type tuple"),
    ([1, np.arange(2)], TypeError, "of type list"),
    ([b"ab"], TypeError, "[b'ab'] of type list"),
    ((1, {2}), TypeError, "(1, {2}) of type tuple"),
    ([np.float32(1)], TypeError, "of type list"),
    (np.ma.array([1, 2], mask=[True, False]), TypeError, "of type MaskedArray"),
    (DEEP, TypeError, "of type list"),
    ({1, 2}, TypeError, "{1, 2} of type set"),
]
TAKES_SEED = {
    "Mask": ("seed", lambda seed: fastdrop.Mask(3, seed=seed)),
    "MaskGenerator": ("seed", lambda seed: fastdrop.MaskGenerator(seed)),
    "dropout": ("rng", lambda seed: fastdrop.dropout(X, rng=seed)),
    "Dropout": ("rng", lambda seed: fastdrop.Dropout(rng=seed)),
}


@pytest.mark.parametrize("entrance", TAKES_SEED)
@pytest.mark.parametrize(("seed", "kind", "came"), BAD_SEEDS, ids=range(len(BAD_SEEDS)))
def test_a_seed_of_the_wrong_kind_is_refused(entrance, seed, kind, came):
    name, call = TAKES_SEED[entrance]
    masks = "a fastdrop.MaskGenerator, " if name == "rng" else ""
    refuse(lambda: call(seed), kind, f"{name} must be {masks}{SEED}", came)


SOURCES = [
    0,
    np.int64(3),
    np.uint8(3),
    2**200,
    [],
    [1, 2],
    (1, 2**70),
    range(3),
    np.array([1, 2]),
]
SOURCES += [
    np.array([1, 2], np.uint32),
    np.array([1, 2], object),
    [np.int8(1), 2],
]


@pytest.mark.parametrize("seed", SOURCES, ids=str)
def test_every_sequence_of_integers_is_a_seed(seed):
    """And means what NumPy takes it for."""
    words = np.random.SeedSequence(seed).generate_state(4)
    assert fastdrop.MaskGenerator(seed).key == fastdrop.Dropout(rng=seed).rng.key == tuple(words.tolist())


def foreign(name, module):
    """An object of a class of that name, from another package."""
    return type(name, (), {"__module__": module})()


LEGACY = np.random.RandomState(0)
NEW = np.lib.NumpyVersion(np.__version__) >= "2.2.0"  # from there on default_rng takes a RandomState
SEED_ADVICE = [
    (np.random, "0"),
    (LEGACY, "numpy.random.default_rng({name})" if NEW else "numpy.random.Generator({name}._bit_generator)"),
    (random, "{name}.getrandbits(128)"),
    (random.Random(0), "{name}.getrandbits(128)"),
    (foreign("Generator", "torch._C"), "{name}.initial_seed()"),
    (foreign("ArrayImpl", "jaxlib._jax"), "numpy.asarray(jax.random.key_data({name}))"),
    (foreign("PRNGKeyArray", "jax._src.prng"), "numpy.asarray(jax.random.key_data({name}))"),
    ("12", "int({name})"),
    ("a", "list({name}.encode())"),
    (b"ab", "list({name})"),
    (np.array(5), "int({name})"),
    (np.array([[1, 2]]), "{name}.ravel()"),
]


@pytest.mark.parametrize("entrance", TAKES_SEED)
@pytest.mark.parametrize(("seed", "source"), SEED_ADVICE, ids=without_address)
def test_a_seed_that_can_be_made_into_one_comes_with_advice(entrance, seed, source):
    name, call = TAKES_SEED[entrance]
    source = source.format(name=name)
    advice = f"; write fastdrop.MaskGenerator({source}), once" if name == "rng" else f"; write {source}"
    with pytest.raises(TypeError) as caught:
        call(seed)
    assert str(caught.value).endswith(advice)
    if not type(seed).__module__.startswith(("torch", "jax")):
        fastdrop.MaskGenerator(eval(source, {"numpy": np, name: seed}))  # the advice works


@pytest.mark.parametrize("make", [lambda **key: fastdrop.Mask(3, **key), fastdrop.MaskGenerator])
@pytest.mark.parametrize(
    ("key", "kind", "message"),
    [
        ((1, 2, 3), ValueError, "key must be four 32-bit words, not 3 of them"),
        (np.zeros(5, np.uint32), ValueError, "key must be four 32-bit words, not 5 of them"),
        (np.zeros((2, 2), np.uint32), TypeError, "key must be four 32-bit words, not array("),
        (np.array(1), TypeError, "key must be four 32-bit words, not array(1)"),
        (
            1,
            TypeError,
            "key must be four 32-bit words, not 1 of type int; an integer is a seed: write seed=...",
        ),
        (memoryview(b"1234"), TypeError, "key must be four 32-bit words, not <memory"),
        ("1234", TypeError, "key must be four 32-bit words, not '1234' of type str"),
        (b"1234", TypeError, "key must be four 32-bit words, not b'1234' of type bytes"),
        ((1, 2, 3, 2**32), ValueError, "a word of key must be at least 0 and less than 4294967296"),
        ((1, 2, 3, -1), ValueError, "a word of key must be at least 0"),
        ((1, 2, 3, 4.0), TypeError, "a word of key must be an integer, not 4.0 of type float"),
        ((1, 2, 3, True), TypeError, "a word of key must be an integer, not True of type bool"),
    ],
    ids=without_address,
)
def test_a_key_that_is_not_four_words_is_refused(make, key, kind, message):
    refuse(lambda: make(key=key), kind, message)


@pytest.mark.parametrize("make", [lambda **key: fastdrop.Mask(3, **key), fastdrop.MaskGenerator])
def test_what_has_a_key_comes_with_advice(make):
    for source in (fastdrop.Mask(3, seed=1), fastdrop.MaskGenerator(seed=1)):
        with pytest.raises(TypeError, match=r"key must be four 32-bit words, not .*; write key\.key$"):
            make(key=source)
        assert make(key=source.key).key == source.key
    for name, module in (("ArrayImpl", "jaxlib._jax"), ("PRNGKeyArray", "jax._src.prng")):
        with pytest.raises(TypeError, match=r"; write numpy\.asarray\(fastdrop\.jax\.key_words\(key\)\)$"):
            make(key=foreign(name, module))


@pytest.mark.parametrize("make", [lambda **key: fastdrop.Mask(3, **key), fastdrop.MaskGenerator])
def test_a_key_is_taken_as_it_is(make):
    words = (0, 1, 2**31, 2**32 - 1)
    for key in (words, list(words), np.array(words), np.array(words, np.uint32)):
        assert make(key=key).key == words
    refuse(lambda: make(key=words, seed=0), ValueError, "seed and key exclude each other")


def test_the_mask_of_a_key_is_that_of_the_reference():
    key, stream = (11, 22, 33, 44), 5
    mask = fastdrop.Mask(1000, 0.3, key=key, stream=stream)
    assert np.array_equal(
        mask.to_numpy(), fastdrop.reference.keep(np.arange(1000), 0.3, key=key, stream=stream)
    )
    own = fastdrop.reference.Mask(1000, 0.3, key=key, stream=stream)
    assert np.array_equal(mask.to_numpy(), own.to_numpy())
    masks = fastdrop.MaskGenerator(key=key)
    assert masks.mask(1000, 0.3) == fastdrop.Mask(1000, 0.3, key=key)


def test_a_generator_of_masks_is_no_seed():
    masks = fastdrop.MaskGenerator(0)
    advice = "; write seed.key, or take the mask from seed.mask"
    refuse(
        lambda: fastdrop.Mask(3, seed=masks), TypeError, "seed must be None", "of type MaskGenerator", advice
    )


def test_a_legacy_generator_of_an_older_numpy_comes_with_other_advice(monkeypatch):
    monkeypatch.setattr(np.random, "default_rng", np.random.SeedSequence)  # which refuses it likewise
    source = "numpy.random.Generator(rng._bit_generator)"
    refuse(
        lambda: fastdrop.dropout(X, rng=LEGACY), TypeError, "rng must be", f"MaskGenerator({source}), once"
    )
    fastdrop.MaskGenerator(eval(source, {"numpy": np, "rng": LEGACY}))


def test_the_core_makes_the_keys_of_integers_that_numpy_makes():
    chance = random.Random(9)
    seeds = [0, 1, 2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**96, 2**128 - 1, 2**128, 2**200 + 5]
    seeds += [chance.getrandbits(chance.randint(1, 130)) for _ in range(2000)]
    for seed in seeds:
        key = np.random.SeedSequence(seed).generate_state(4, np.uint32)
        assert fastdrop.MaskGenerator(seed).key == tuple(key.tolist())


def test_every_key_without_a_seed_is_another_one():
    words = np.array([fastdrop.MaskGenerator().key for _ in range(2000)], np.uint64)
    assert len({tuple(key) for key in words.tolist()}) == len(words)
    ones = sum(int(word).bit_count() for word in words.reshape(-1))
    # Each of the 256,000 bits is 1 with probability 1/2: six standard deviations, of 253 bits.
    assert abs(ones - 128_000) < 6 * 253
