# SPDX-License-Identifier: BSD-3-Clause
"""Attention as a layer: it is its function, and a layer like all others."""

import copy
import inspect

import numpy as np
import pytest

import fastdrop as fd
from arrays import same_bytes
from attention_cases import KEYS, QUERIES, check, exact, operands, triangle
from copies import copies
from refusal import refuse
from saved_stores import STORES

SEED = 2**64 + 5
*ARRAYS, DY = operands()
WEIGHTS = (2, 3, QUERIES, KEYS)
MAY_ATTEND = np.arange(KEYS) < 6

# The options of a layer.
LAYERS = {
    "Attention": {},
    "causal": {"is_causal": True},
    "scale": {"scale": 0.5},
    "p by key": {"p": np.linspace(0, 0.5, KEYS)},
    "p is 0": {"p": 0.0, "is_causal": True},
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def make(name="Attention", rng=SEED):
    return fd.Attention(**{"p": 0.25, "rng": rng, **LAYERS[name]})


def masks_of(layer, count):
    """The masks that a layer will draw next."""
    masks = copy.deepcopy(layer.rng)
    return [fd.attention(*ARRAYS, layer.p, rng=masks)[1].mask for _ in range(count)]


def check_step(layer, mask, attn_mask=None):
    """A step of a training is that of the function with that mask."""
    options = {"attn_mask": attn_mask, "is_causal": layer.is_causal, "scale": layer.scale}
    y, saved = fd.attention(*ARRAYS, mask=mask, **options)
    assert same_bytes(layer(*ARRAYS, attn_mask), y)
    assert not layer.training or layer.saved.mask == mask
    for gradient, wanted in zip(layer.backward(DY), fd.attention_backward(DY, saved), strict=True):
        assert same_bytes(gradient, wanted)


@every_layer
@pytest.mark.parametrize("attn_mask", [None, MAY_ATTEND], ids=["no mask", "a mask"])
def test_a_layer_is_its_function(name, attn_mask):
    layer = make(name)
    for mask in masks_of(layer, 3):  # masks follow each other
        check_step(layer, mask, attn_mask)


def test_its_masks_and_results_are_those_of_the_textbook():
    layer = fd.Attention(0.25, is_causal=True, rng=7)
    y = layer.forward(*ARRAYS)
    assert layer.saved.mask == fd.Mask(WEIGHTS, 0.25, seed=7)
    wanted = exact(*ARRAYS, DY, layer.saved.mask, seen=triangle(QUERIES, KEYS))
    check([y, *layer.backward(DY)], wanted, "float32")


def test_options_are_the_functions():
    """But what says which mask is drawn."""
    made, called, function = (
        inspect.signature(each).parameters for each in (fd.Attention, fd.Attention.forward, fd.attention)
    )
    assert (set(made) | set(called)) - {"self"} == set(function) - {"mask", "training"}
    assert all(made[name].default == function[name].default for name in made)


@every_layer
def test_in_evaluation_nothing_is_dropped(name):
    layer = make(name).eval()
    before = layer.rng.state
    check_step(layer, fd.Mask(WEIGHTS, 0.0, seed=0))
    assert layer.rng.state == before


def test_options_may_be_set_between_steps():
    layer = make()
    layer.p, layer.is_causal, layer.scale = 0.5, True, 0.25
    assert (layer.p, layer.is_causal, layer.scale) == (0.5, True, 0.25)
    for mask in masks_of(layer, 2):
        check_step(layer, mask)
    layer.scale = None
    for mask in masks_of(layer, 2):
        check_step(layer, mask)


def test_results_are_written_where_they_are_wanted():
    layer, out = make(), np.full(DY.shape, 7, np.float32)
    places = tuple(np.full_like(array, 7) for array in ARRAYS)
    y = layer(*ARRAYS, out=out)
    gradients = layer.backward(DY, out=places)
    assert np.may_share_memory(y, out)
    mask = masks_of(make(), 1)[0]
    check([out, *places], exact(*ARRAYS, DY, mask), "float32")
    assert all(map(np.may_share_memory, gradients, places))


def test_several_passes_need_saved():
    layer = make()
    refuse(lambda: layer.backward(DY), ValueError, "backward needs a forward pass before it")
    assert layer.saved is None
    masks, kept = masks_of(layer, 2), []
    for _ in masks:
        layer(*ARRAYS)
        kept.append(layer.saved)
    message = "backward needs saved=, because the layer was called 2 times"
    refuse(lambda: layer.backward(DY), ValueError, message)
    for mask, saved in reversed(list(zip(masks, kept, strict=True))):
        assert saved.mask == mask
        pair = layer.backward(DY, saved=saved), fd.attention_backward(DY, saved)
        assert all(map(same_bytes, *pair))
    refuse(lambda: layer.backward(DY, saved=7), TypeError, "saved must be the SavedAttention that attention")


def test_a_pass_that_is_refused_changes_nothing():
    layer = make()
    layer(*ARRAYS)
    saved, before = layer.saved, layer.rng.state
    query, key, value = ARRAYS
    refuse(lambda: layer(query, key[..., :4], value), ValueError, "key must have as many features as query")
    refuse(
        lambda: layer(query, key, value, np.ones(KEYS, int)), TypeError, "attn_mask must be an array of bool"
    )
    refuse(lambda: layer(query, key, value, out=query), ValueError, "out must")
    refuse(lambda: layer.backward(DY[:1]), ValueError, "dy must have the shape")
    assert layer.saved is saved
    assert layer.rng.state == before
    layer.backward(DY)


# --- As a layer ---------------------------------------------------------------------------------------------


def step(layer):
    return [layer(*ARRAYS), *layer.backward(DY)]


@every_layer
def test_every_copy_goes_on_alike(name):
    layer = make(name)
    step(layer)
    layer(*ARRAYS)
    shallow, *others = copies(layer)
    assert shallow.rng is layer.rng
    last, text = layer.backward(DY), repr(layer)
    for other in others:
        assert repr(other) == text
        assert all(map(same_bytes, other.backward(DY), last))  # what the last forward pass saved comes along
    wanted = step(layer)
    for other in others:
        assert all(map(same_bytes, step(other), wanted))


@pytest.mark.parametrize("store", STORES)
@every_layer
def test_a_layer_goes_on_from_what_a_store_gives_back(name, store):
    layer, other = make(name), fd.Attention(rng=1)
    step(layer)
    state = layer.state_dict()
    for loaded in STORES[store](state):
        other.load_state_dict(loaded)
    assert other.state_dict() == state
    assert (other.is_causal, other.scale) == (layer.is_causal, layer.scale)
    assert other.saved is None
    assert all(map(same_bytes, step(other), step(layer)))


WRONG = {
    "no state": (lambda state: None, TypeError, "state must be a dict with the keys"),
    "scale": (lambda state: state | {"scale": "large"}, TypeError, "scale must be a real number"),
    "infinite": (lambda state: state | {"scale": float("inf")}, ValueError, "scale must be finite"),
    "causal": (lambda state: state | {"is_causal": "yes"}, TypeError, "is_causal must be True or False"),
    "p": (lambda state: state | {"p": 2.0}, ValueError, "p must be"),
    "another option": (lambda state: state | {"eps": 1.0}, ValueError, "state must be a dict with"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_state_changes_nothing(wrong):
    change, kind, message = WRONG[wrong]
    layer = fd.Attention(rng=0)
    layer(*ARRAYS)
    before, saved = layer.state_dict(), layer.saved
    refuse(lambda: layer.load_state_dict(change(make("causal").state_dict())), kind, message)
    assert layer.state_dict() == before
    assert layer.saved is saved


def test_together_with_other_layers():
    masks = fd.MaskGenerator(0)
    layers = fd.LayerList([fd.Dropout(0.2, rng=masks), fd.Attention(0.1, rng=masks), fd.LayerNorm(6)])
    shared = fd.MaskGenerator(9)
    others = fd.LayerList([fd.Dropout(rng=shared), fd.Attention(rng=shared), fd.LayerNorm(6)])
    step(layers[1])
    others.load_state_dict(layers.state_dict())
    assert all(map(same_bytes, step(others[1]), step(layers[1])))
    with layers.evaluation():
        assert not layers[1].training
    fd.Scheduler([layers[1]], lambda step: 0.125)
    assert layers[1].p == 0.125


def test_monte_carlo_dropout():
    layer = make()
    result = fd.mc_dropout(lambda x, rng: layer(x, *ARRAYS[1:]), ARRAYS[0], samples=8, layers=[layer], rng=0)
    assert result.std.max() > 0


def test_a_repr_shows_what_was_chosen():
    assert repr(fd.Attention(rng=0)) == "Attention(p=0.0, rng=<seed=0, stream=0>)"
    layer = fd.Attention(0.1, is_causal=True, scale=0.5, rng=0).eval()
    assert (
        repr(layer) == "Attention(p=0.1, is_causal=True, scale=0.5, training=False, rng=<seed=0, stream=0>)"
    )


def test_a_layer_has_the_attributes_of_its_class_only():
    layer = make()
    for wrong in ("weights", "attn_mask", "parameters", "__dict__"):
        assert not hasattr(layer, wrong)
        with pytest.raises(AttributeError):
            setattr(layer, wrong, 0.5)
    with pytest.raises(AttributeError):
        layer.saved = None


def test_what_a_constructor_refuses():
    refuse(lambda: fd.Attention(1.5), ValueError, "p must be from 0 to 1")
    for scale in ("1", True, [1.0], 1j):
        refuse(lambda scale=scale: fd.Attention(scale=scale), TypeError, "scale must be a real number")
    for scale in (float("nan"), float("inf")):
        refuse(lambda scale=scale: fd.Attention(scale=scale), ValueError, "scale must be finite")
    for is_causal in ("yes", None, 2, np.ones(1)):
        refuse(
            lambda value=is_causal: fd.Attention(is_causal=value),
            TypeError,
            "is_causal must be True or False",
        )
    refuse(lambda: fd.Attention(dropout_p=0.1), TypeError, "Attention: there is no keyword 'dropout_p'")
    layer = make()
    refuse(lambda: setattr(layer, "scale", np.nan), ValueError, "scale must be finite")
    refuse(lambda: setattr(layer, "is_causal", 0.5), TypeError, "is_causal must be True or False")
    assert (layer.scale, layer.is_causal) == (None, False)
