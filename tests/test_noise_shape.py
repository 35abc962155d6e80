# SPDX-License-Identifier: BSD-3-Clause
"""Decisions shared along axes, and the other spellings of p and of the scale: all equal to the reference."""

import functools
import itertools
import pickle

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, same_bytes, special_values
from fastdrop import reference
from operations import OPERATIONS, PROBABILITIES, WITH_DECISIONS, every_dtype, twins
from refusal import refuse, without_address

SHAPES = [(5,), (3, 50), (4, 3, 7, 7), (2, 3, 14, 14), (3, 2, 5, 40), (2, 300, 3), (2, 0, 3), (1, 3, 1, 2)]


def every_sharing(shape):
    """All noise shapes of that shape."""
    return itertools.product(*({length, 1} for length in shape))


@functools.cache
def expected(name, dtype, generator, p, shape, noise_shape):
    """Inputs, and the reference's result, once for all ISAs."""
    operation = OPERATIONS[name]
    inputs, (_, slow) = (
        operation.inputs(shape, dtype),
        twins(shape, p, noise_shape=noise_shape, generator=generator),
    )
    return inputs, operation.reference(slow, inputs)


EVERY_SHARING = [(shape, noise_shape) for shape in SHAPES for noise_shape in every_sharing(shape)]


@pytest.mark.parametrize(("name", "dtype"), every_dtype(WITH_DECISIONS))
def test_every_noise_shape_equals_the_reference(isa, generator, name, dtype):
    probabilities = (0.0, 0.3, 1.0) if dtype in ("float32", "bool") else (0.3,)
    for (shape, noise_shape), p in itertools.product(EVERY_SHARING, probabilities):
        inputs, y = expected(name, dtype, generator, p, shape, noise_shape)
        mask, _ = twins(shape, p, noise_shape=noise_shape, generator=generator)
        for result in OPERATIONS[name].results(mask, inputs):
            assert same_bytes(result, y), (shape, noise_shape, p)


def test_the_mask_is_drawn_at_the_noise_shape():
    """Not only shared somehow: numbered in C order over the noise shape, as a mask of that shape is."""
    shape = (4, 6, 5, 5)
    for noise in every_sharing(shape):
        drawn = fastdrop.Mask(noise, 0.5, seed=1)
        mask = fastdrop.Mask(shape, 0.5, noise_shape=noise, seed=1)
        assert (mask.to_numpy() == np.broadcast_to(drawn.to_numpy(), shape)).all()
        assert mask.noise_shape == noise
        entries = [None if entry != 1 else 1 for entry in noise]
        assert fastdrop.Mask(shape, 0.5, noise_shape=entries, seed=1) == mask
        assert (mask == fastdrop.Mask(shape, 0.5, seed=1)) == (noise == shape)
        assert pickle.loads(pickle.dumps(mask)) == mask


# --- Functions and layers -------------------------------------------------------------------------


@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_give_what_the_references_functions_give(isa, dtype, p, training, inverted):
    x = special_values((6, 4, 25), dtype)
    dy = x[::-1].copy()
    for noise in (None, (None, None, 1), (6, 1, 25)):
        options = {"noise_shape": noise, "inverted": inverted, "training": training}
        y, mask = fastdrop.dropout(x, p, rng=5, **options)
        wanted, slow = reference.dropout(x, p, rng=5, **options)
        assert same_bytes(y, wanted)
        assert same_bytes(fastdrop.dropout_backward(dy, mask), reference.dropout_backward(dy, slow))
        out = np.full_like(x, 7)
        assert fastdrop.dropout(x, p, rng=5, out=out, **options)[0] is out
        assert same_bytes(out, wanted)
        if training:
            assert mask.scale == (1 / (1 - p) if inverted and p < 1 else 1.0 - inverted)
            masks = fastdrop.MaskGenerator(5)
            again = fastdrop.dropout(x, p, rng=masks, **options)[1]
            assert again == mask == fastdrop.Mask(x.shape, p, noise_shape=noise, inverted=inverted, seed=5)
            other = fastdrop.MaskGenerator(5).mask(x.shape, p, noise_shape=noise, inverted=inverted)
            assert other == mask
            assert masks.mask(3).stream == 1


def test_evaluation_that_is_not_inverted_rounds_once():
    x = special_values(1000, np.float32)
    y, mask = fastdrop.dropout(x, 0.1, inverted=False, training=False)
    with np.errstate(all="ignore"):
        assert same_bytes(y, x * np.float32(0.9))
    assert mask.to_numpy().all()
    assert same_bytes(fastdrop.dropout_backward(x, mask), y)
    y, mask = fastdrop.dropout(x, 0.0, inverted=False, training=False)
    assert same_bytes(y, x)
    assert not np.shares_memory(x, y)  # not x itself, whatever p is


def test_a_layer_takes_a_noise_shape_and_gives_what_the_reference_gives(isa):
    x = special_values((6, 4, 25), np.float32)
    drop = fastdrop.Dropout(0.25, noise_shape=[None, 4, 1], inverted=False, rng=7)
    assert (drop.p, drop.noise_shape, drop.inverted) == (0.25, (None, 4, 1), False)
    assert "noise_shape=(None, 4, 1), inverted=False" in repr(drop)
    y, slow = reference.dropout(x, 0.25, noise_shape=(None, 4, 1), inverted=False, rng=7)
    assert same_bytes(drop(x), y)
    assert same_bytes(drop.backward(x), reference.dropout_backward(x, slow))
    assert drop.mask.noise_shape == (6, 4, 1)
    drop.eval()
    wanted = reference.dropout(x, 0.25, inverted=False, training=False)[0]
    assert same_bytes(drop(x), wanted)
    assert same_bytes(drop.backward(x), wanted)
    drop.noise_shape, drop.inverted = None, True
    assert drop(x) is x


def test_repr_shows_strides_and_an_unusual_scale():
    mask = fastdrop.Mask((6, 10), 0.75, noise_shape=(None, 1), seed=0)
    assert (mask.scale, mask[2:].noise_shape, mask[2].noise_shape) == (4.0, (4, 1), (1,))
    assert "scale" not in repr(mask)
    assert "noise_shape=(6, 1), key" in repr(mask)
    assert "noise_shape=(5, 1), window, key" in repr(mask[1:])
    plain = fastdrop.Mask((6, 10), 0.75, inverted=False, seed=0)
    assert plain.scale == 1.0
    assert "scale=1.0" in repr(plain)
    assert plain != fastdrop.Mask((6, 10), 0.75, seed=0)
    assert (fastdrop.Mask(3, 1.0).scale, fastdrop.Mask(3, 1.0, inverted=False).scale) == (0.0, 1.0)


# --- Refusals -------------------------------------------------------------------------------------

X = np.ones((4, 6), np.float32)
TAKES_ALL = {
    "Mask": lambda *p, **options: fastdrop.Mask((4, 6), *p, **options),
    "MaskGenerator.mask": lambda *p, **options: fastdrop.MaskGenerator(0).mask((4, 6), *p, **options),
    "dropout": lambda *p, **options: fastdrop.dropout(X, *p, **options),
    "dropout in evaluation": lambda *p, **options: fastdrop.dropout(X, *p, training=False, **options),
    "Dropout": lambda *p, **options: fastdrop.Dropout(*p, **options).forward(X),
}


@pytest.fixture(params=TAKES_ALL)
def entrance(request):
    return TAKES_ALL[request.param]


@pytest.mark.parametrize("noise", [3, "41", b"ab", 4.0, (4, 1.0), (True, 6), [[4], [6]], {4: 6}, (4, "1")])
def test_a_noise_shape_of_the_wrong_kind_is_refused(entrance, noise):
    wanted = "noise_shape must be a sequence of an integer or None for every axis"
    refuse(lambda: entrance(noise_shape=noise), TypeError, wanted, f"of type {type(noise).__name__}")


@pytest.mark.parametrize("noise", [(), (4,), (1, 1, 1), (4, 5), (0, 6), (1, 2**70), (6, 4)])
def test_a_noise_shape_that_does_not_fit_is_refused(entrance, noise):
    wanted = "noise_shape must have for every axis of (4, 6) its length, 1 or None, not be "
    refuse(lambda: entrance(noise_shape=noise), ValueError, wanted + repr(noise)[:50])


def test_a_noise_shape_with_a_negative_length_is_refused(entrance):
    """By a layer too, before it has an input."""
    wanted = "noise_shape must have no negative length, not (-1, None)"
    refuse(lambda: entrance(noise_shape=(-1, None)), ValueError, wanted)
    refuse(lambda: fastdrop.Dropout(noise_shape=[-1, None]), ValueError, wanted)


@pytest.mark.parametrize(
    ("noise", "kind"),
    [
        *[(noise, ValueError) for noise in ((-1,), (1, -2), [-(2**70)], np.array([-1, 1]), (None, -1))],
        *[
            (noise, TypeError)
            for noise in ("", "1", 1, (1.0,), (True,), ([1],), {1: 1}, np.ones(2), np.array(3))
        ],
        *[(noise, TypeError) for noise in (((),), (np.nan,), {1}, iter([1]), np.array([[1, 1]]))],
    ],
    ids=without_address,
)
def test_a_layer_refuses_an_odd_noise_shape_before_it_has_an_input(noise, kind):
    drop = fastdrop.Dropout(noise_shape=(None, 1))
    refuse(lambda: fastdrop.Dropout(noise_shape=noise), kind, "noise_shape must ")
    refuse(lambda: setattr(drop, "noise_shape", noise), kind, "noise_shape must ")
    assert drop.noise_shape == (None, 1)


@pytest.mark.parametrize("p", [0.5, 0.1, 0, 1.0])
def test_p_and_keep_prob_together_are_refused(entrance, p):
    wanted = "keep_prob must not be given together with p, which is "
    refuse(lambda: entrance(p, keep_prob=0.5), ValueError, wanted + repr(p))


@pytest.mark.parametrize(
    ("keep_prob", "kind", "wanted"),
    [
        (1.5, ValueError, "keep_prob must be from 0 to 1, the probability of keeping, not 1.5"),
        (float("nan"), ValueError, "keep_prob must be from 0 to 1, the probability of keeping, not nan"),
        (
            "0.5",
            TypeError,
            "keep_prob must be a real number or an array of them, the probability of keeping, not '0.5'",
        ),
        (
            True,
            TypeError,
            "keep_prob must be a real number or an array of them, the probability of keeping, not True",
        ),
    ],
)
def test_a_keep_prob_out_of_range_or_of_the_wrong_kind_is_refused(entrance, keep_prob, kind, wanted):
    refuse(lambda: entrance(keep_prob=keep_prob), kind, wanted)


def test_a_refusal_takes_no_mask():
    masks = fastdrop.MaskGenerator(0)
    for options in ({"noise_shape": (1,)}, {"p": 0.5, "keep_prob": 0.5}):
        refuse(lambda options=options: masks.mask((4, 6), **options), ValueError, next(reversed(options)))
        refuse(lambda options=options: fastdrop.dropout(X, rng=masks, **options), ValueError, "")
    no_flag = {"inverted": np.array([True, False])}
    refuse(lambda: masks.mask((4, 6), **no_flag), TypeError, "inverted must be True or False")
    refuse(lambda: fastdrop.dropout(X, rng=masks, **no_flag), TypeError, "inverted must be True or False")
    assert masks.mask(3).stream == 0


def test_comparing_masks_gives_a_bool():
    """Also where p came as an array without axes."""
    for p in (0.5, np.array(0.5)):
        mask = fastdrop.Mask(3, p, seed=1)
        assert [type(mask == mask[:]), type(mask.p), type(mask.scale)] == [bool, float, float]


@pytest.mark.parametrize("shape", [(0, 600), (600, 0), (3, 0, 600), (0, 3, 600)])
def test_an_array_without_elements(shape):
    for noise_shape in [(1,) * (len(shape) - 1) + (None,), (None,) + (1,) * (len(shape) - 1)]:
        y, mask = fastdrop.dropout(np.empty(shape, np.float32), 0.5, rng=1, noise_shape=noise_shape)
        assert y.shape == mask.to_numpy().shape == shape
