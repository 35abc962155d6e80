# SPDX-License-Identifier: BSD-3-Clause
"""What fastdrop.jax refuses: what other libraries' habits would bring, and what JAX would only say later."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastdrop
from fastdrop.jax import dropout, key_words
from refusal import refuse

KEY = jax.random.key(0)
X = jnp.ones((2, 3))
FLOATS = "an array of float16, bfloat16, float32 or float64"
ORDER = "the order is dropout(x, p, key)"


@pytest.mark.parametrize("key", [KEY, jax.random.PRNGKey(0)], ids=["typed", "raw"])
def test_the_order_of_other_libraries(key):
    refuse(lambda: dropout(key, 0.5, X), TypeError, f"x must be {FLOATS}, not of", ORDER)  # haiku's
    refuse(lambda: dropout(X, key, 0.5), TypeError, "p must be", *([ORDER] if key is KEY else []))
    refuse(
        lambda: jax.jit(dropout, static_argnums=1)(key, 0.5, X),
        TypeError,
        f"x must be {FLOATS}, not of",
        ORDER,
    )


@pytest.mark.parametrize(
    ("x", "given"),
    [
        (1.0, "1.0 of type float"),
        ([1.0], "[1.0] of type list"),
        (None, "None of type NoneType"),
        (jnp.arange(3), "of int32; convert it with x.astype('float32')"),
        (np.arange(3), "of int64"),
        (jnp.ones(3, bool), "of bool"),
        (jnp.ones(3, jnp.complex64), "of complex64"),
        (jnp.ones(3, jnp.float8_e5m2), "of float8_e5m2"),
        ({"x": X}, "of type dict"),
    ],
    ids=str,
)
def test_x(x, given):
    refuse(lambda: dropout(x, 0.5, KEY), TypeError, f"x must be {FLOATS}, not ", given)


def test_a_masked_array():
    refuse(lambda: dropout(np.ma.ones(3), 0.5, KEY), TypeError, "x must be", "whose mask would be lost")


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan"), 10])
def test_p_out_of_range(p):
    refuse(lambda: dropout(X, p, KEY), ValueError, "p must be from 0 to 1, the probability of dropping, not ")
    wanted = "p must be from 0 to 1, the probability of dropping, not "
    # JAX's error, when the program runs: one of the two, as it waits for the result or does not.
    with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match=wanted):
        jax.jit(dropout)(X, p, KEY).block_until_ready()


@pytest.mark.parametrize("p", [-5e-324, -1e-310, -1e-300, 1 + 2.0**-52])
def test_p_just_out_of_range(p):
    """XLA's threads take subnormal numbers for 0, and the core a negative p for a probability of keeping."""
    with jax.enable_x64(True), pytest.raises((ValueError, jax.errors.JaxRuntimeError)) as caught:
        jax.jit(dropout)(X, jnp.asarray(p, jnp.float64), KEY).block_until_ready()
    assert f"the probability of dropping, not {p:.17g}" in str(caught.value)


@pytest.mark.parametrize(
    "p", [None, True, "0.5", 0.5j, jnp.ones(2) / 2, np.ones(3) / 2, jnp.array(True), jnp.array(0.5j)], ids=str
)
def test_p_of_another_kind(p):
    refuse(lambda: dropout(X, p, KEY), TypeError, "p must be ")


def test_p_cannot_be_differentiated():
    remedy = "write jax.lax.stop_gradient(p)"
    for f in (dropout, jax.jit(dropout)):
        refuse(lambda f=f: jax.grad(lambda p: f(X, p, KEY).sum())(0.5), TypeError, "p must not be", remedy)
        refuse(
            lambda f=f: jax.jvp(lambda p: f(X, p, KEY), (0.5,), (1.0,)), TypeError, "p must not be", remedy
        )
    # By x alone it can, where p is an operand too.
    dx = jax.jit(jax.grad(lambda x, p: dropout(x, p, KEY).sum()))(X, 0.5)
    assert np.array_equal(dx, dropout(jnp.ones_like(X), 0.5, KEY))
    stopped = jax.grad(lambda p: dropout(X, jax.lax.stop_gradient(p), KEY).sum() + p)(0.5)
    assert stopped == 1


@pytest.mark.parametrize(
    ("key", "kind", "fragments"),
    [
        (0, TypeError, ["not 0 of type int; write jax.random.key(seed)"]),
        (None, TypeError, ["not None of type NoneType"]),
        (np.random.default_rng(0), TypeError, ["of type Generator"]),
        (fastdrop.MaskGenerator(0), TypeError, ["of type MaskGenerator"]),
        (fastdrop.Mask(3, seed=0), TypeError, ["of type Mask; write key=mask.key, stream=mask.stream"]),
        (jnp.ones(4), TypeError, ["not an array of float32 of the shape (4,)", ORDER]),
        (jnp.ones(3, jnp.uint32), TypeError, ["not an array of uint32 of the shape (3,)"]),
        (np.ones(4, np.int64), TypeError, ["not an array of int64 of the shape (4,)"]),
        ((1, 2, 3), ValueError, ["key must be four 32-bit words, not 3 of them"]),
        ((1, 2, 3, 2**32), ValueError, ["a word of key must be at least 0 and less than 4294967296"]),
        ((1, 2, 3, 0.5), TypeError, ["a word of key must be an integer, not 0.5"]),
        (
            jax.random.split(KEY, 3),
            ValueError,
            ["key must be one key, not (3,) of them: use jax.vmap over keys"],
        ),
        (jax.random.split(jax.random.PRNGKey(0), 3), ValueError, ["key must be one key, not (3,) of them"]),
    ],
    ids=str,
)
def test_key(key, kind, fragments):
    with pytest.raises(kind) as caught:
        dropout(X, 0.5, key)
    assert all(fragment in str(caught.value) for fragment in fragments), caught.value


def test_keys_of_jax_where_numpys_masks_want_words():
    for key in (KEY, key_words(KEY)):
        remedy = "write numpy.asarray(fastdrop.jax.key_words(key))"
        refuse(lambda key=key: fastdrop.Mask(3, key=key), TypeError, "key must be four 32-bit words", remedy)
        assert fastdrop.Mask(3, key=np.asarray(key_words(key))).key == tuple(key_words(KEY).tolist())


def test_a_tuple_of_words_that_is_traced():
    f = jax.jit(lambda x, key: dropout(x, 0.5, key))
    remedy = "; give a compiled function the words as an array: np.array(key, np.uint32)"
    refuse(lambda: f(X, (1, 2, 3, 4)), TypeError, "key must be a key of jax.random or four", remedy)
    assert np.array_equal(f(X, np.array((1, 2, 3, 4), np.uint32)), dropout(X, 0.5, (1, 2, 3, 4)))


def test_a_generator_of_jax_with_other_words():
    def not_used(*arguments):
        raise AssertionError

    of_three = jax.extend.random.define_prng_impl(
        key_shape=(3,),
        seed=lambda seed: jnp.zeros(3, jnp.uint32),
        split=not_used,
        random_bits=not_used,
        fold_in=not_used,
        name="of_three",
    )
    key = jax.random.key(0, impl=of_three)
    refuse(lambda: key_words(key), TypeError, "key must have two or four words, not 3 as key<")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"stream": -1}, ValueError, "stream must be at least 0"),
        ({"stream": 2**63}, ValueError, "stream must be at least 0"),
        ({"stream": 0.5}, TypeError, "stream must be an integer, not 0.5"),
        (
            {"stream": jnp.ones(2, int)},
            TypeError,
            "stream must be one integer, not an array of int32 of the shape (2,)",
        ),
        ({"stream": jnp.float32(1)}, TypeError, "stream must be one integer, not an array of float32"),
        (
            {"noise_shape": (2,)},
            ValueError,
            "noise_shape must have for every axis of (2, 3) its length, 1 or None",
        ),
        ({"noise_shape": (2, 2)}, ValueError, "noise_shape must have"),
        ({"noise_shape": 1}, TypeError, "noise_shape must be a sequence"),
        ({"generator": "threefry"}, ValueError, "generator must be one of 'ars4x32-7', 'philox4x32-10'"),
        ({"training": "train"}, TypeError, "training must be True or False, not 'train' of type str"),
        ({"training": jnp.array(2)}, TypeError, "training must be True or False"),
        ({"spec": ("a",)}, TypeError, "spec must be a jax.sharding.PartitionSpec, not ('a',) of type tuple"),
    ],
    ids=str,
)
def test_options(options, kind, message):
    refuse(lambda: dropout(X, 0.5, KEY, **options), kind, message)


def test_a_mode_that_is_traced():
    f = jax.jit(lambda x, training: dropout(x, 0.5, KEY, training=training))
    refuse(lambda: f(X, True), TypeError, "training must be True or False")


@pytest.mark.parametrize("platform", ["cuda", "tpu", "rocm"])
def test_another_platform(platform):
    f = jax.jit(lambda x: dropout(x, 0.5, KEY)).trace(X)
    refuse(
        lambda: f.lower(lowering_platforms=(platform,)),
        NotImplementedError,
        "fastdrop.jax.dropout runs on the CPU only",
    )
    assert "fastdrop_dropout" in f.lower(lowering_platforms=("cpu",)).as_text()
