# SPDX-License-Identifier: BSD-3-Clause
"""The fused layers are layers like all others: copies, saved states, lists of layers."""

import copy
import inspect

import numpy as np
import pytest

import fastdrop as fd
from arrays import HALVES, same_bytes
from copies import copies, through_json
from fused_layers import (
    DY,
    LAYERS,
    X,
    all_same,
    every_layer,
    make,
    results,
)
from refusal import refuse
from saved_stores import STORES

# --- As layers --------------------------------------------------------------------------------------------


def test_every_fused_layer_is_here():
    public = [getattr(fd, name) for name in fd.__all__ if name in fd.fused.__all__]
    layers = {thing for thing in public if inspect.isclass(thing) and issubclass(thing, fd.Layer)}
    # An attention has no parameters (test_attention_layer.py).
    assert layers == {type(build()) for build, _ in LAYERS.values()} | {fd.Attention}


@every_layer
def test_every_copy_goes_on_alike(name):
    layer = make(name)
    results(layer)
    layer(X)
    shallow, *others = copies(layer)
    assert shallow.parameters is layer.parameters
    assert shallow.rng is layer.rng
    last, text = layer.backward(DY), repr(layer)
    for other in others:
        assert repr(other) == text
        assert same_bytes(other.backward(DY), last)  # what the last forward pass saved comes along
        assert not any(map(np.may_share_memory, other.parameters.values(), layer.parameters.values()))
    wanted = results(layer)
    for other in others:
        assert all_same(results(other), wanted)
        for parameter in other.parameters.values():
            parameter += 1  # it may be written to


@pytest.mark.parametrize("store", STORES)
@every_layer
def test_a_layer_goes_on_from_what_a_store_gives_back(name, store):
    layer, other = make(name), LAYERS[name][0](rng=1)
    results(layer)
    kept = dict(other.parameters)
    state = layer.state_dict()
    for loaded in STORES[store](state):
        other.load_state_dict(loaded)
    assert other.state_dict() == state
    assert all(other.parameters[key] is own for key, own in kept.items())
    assert other.gradients == dict.fromkeys(kept)
    assert other.saved is None
    assert all_same(results(other), results(layer))


@pytest.mark.parametrize("dtype", [*HALVES, "float64"])
def test_a_state_holds_parameters_exactly(dtype):
    layer, other = (fd.LayerNorm(6, dtype=dtype) for _ in range(2))
    layer.weight = np.pi ** np.arange(6.0)
    other.load_state_dict(through_json(layer.state_dict()))
    assert same_bytes(other.weight, layer.weight)


OF_WEIGHT = "state['parameters']['weight'] must be real numbers of the shape (6,)"
WRONG = {
    "no state": (lambda state: None, TypeError, "state must be a dict with the keys"),
    "no parameters": (lambda state: without(state, "parameters"), ValueError, "state must be a dict with"),
    "one missing": (
        lambda state: state | {"parameters": {}}, ValueError, "state['parameters'] must be a dict with",
    ),
    "parameters are a list": (
        lambda state: state | {"parameters": [1.0]}, ValueError, "state['parameters'] must be a dict",
    ),
    "other features": (
        lambda state: with_parameter(state, [1.0] * 5), ValueError,
        f"{OF_WEIGHT}, not (5,)",
    ),
    "texts": (lambda state: with_parameter(state, ["1"] * 6), ValueError, OF_WEIGHT),
    "ragged": (lambda state: with_parameter(state, [[1], [1, 2]]), ValueError, OF_WEIGHT),
    "eps": (lambda state: state | {"eps": -1.0}, ValueError, "eps must be above 0"),
    "p": (lambda state: state | {"p": 2.0}, ValueError, "p must be"),
    "another option": (lambda state: state | {"activation": "relu"}, ValueError, "state must be a dict with"),
    "rng": (lambda state: state | {"rng": {}}, ValueError, "state must be a dict with the keys"),
}  # fmt: skip


def without(state, key):
    return {name: value for name, value in state.items() if name != key}


def with_parameter(state, value):
    return state | {"parameters": state["parameters"] | {"weight": value}}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_state_changes_nothing(wrong):
    change, kind, message = WRONG[wrong]
    layer, good = fd.DropoutAddLayerNorm(6, rng=0), make("DropoutAddLayerNorm").state_dict()
    layer(X)
    layer.backward(DY)
    before, gradients, saved = layer.state_dict(), layer.gradients, layer.saved
    refuse(lambda: layer.load_state_dict(change(good)), kind, message)
    assert layer.state_dict() == before
    assert layer.gradients is gradients
    assert layer.saved is saved


@every_layer
def test_a_state_of_another_layer_is_refused(name):
    layer = make(name)
    for other in [fd.Dropout(), *(build() for build, _ in LAYERS.values())]:
        if type(other) is not type(layer):
            message = f"state must be that of the layer {type(layer).__name__!r}, not of the layer"
            refuse(lambda: layer.load_state_dict(other.state_dict()), ValueError, message)  # noqa: B023


# --- Together with other layers ---------------------------------------------------------------------------


def model(seed):
    masks = fd.MaskGenerator(seed)
    return fd.LayerList([fd.Dropout(0.2, rng=masks), *(build(rng=masks) for build, _ in LAYERS.values())])


def test_a_list_saves_and_restores_them_all_or_none():
    layers, others = model(0), model(1)
    for layer in layers[1:]:
        for parameter in layer.parameters.values():
            parameter += 1
    state = layers.state_dict()
    others.load_state_dict(through_json(state))
    assert others.state_dict() == state
    fresh = model(2)
    before = fresh.state_dict()
    last = str(len(fresh) - 1)
    refuse(
        lambda: fresh.load_state_dict(state | {last: {}}), ValueError, "state must be a dict with the keys"
    )
    assert fresh.state_dict() == before
    with layers.evaluation():
        assert not any(layer.training for layer in layers)


def test_monte_carlo_dropout_uses_them_and_leaves_them_as_they_were():
    layers = fd.LayerList([make("BiasDropoutAdd"), make("DropoutAddLayerNorm"), make("LayerNorm")]).eval()
    kept = [dict(layer.parameters) for layer in layers]

    def predict(x, rng):
        for layer in layers:
            x = layer(x)
        return x

    result = fd.mc_dropout(predict, X, samples=8, layers=layers, rng=0)
    assert result.std.max() > 0
    for layer, parameters in zip(layers, kept, strict=True):
        assert not layer.training
        assert all(layer.parameters[key] is own for key, own in parameters.items())
        layer.parameters["bias"] += 1


def test_a_scheduler_sets_their_rate_but_not_that_of_a_norm_alone():
    layers = [make("BiasDropoutAdd"), make("DropoutAddRMSNorm")]
    fd.Scheduler(layers, lambda step: 0.125)
    assert [layer.p for layer in layers] == [0.125, 0.125]
    message = "p must be 0 in a norm alone, which drops nothing, not 0.5"
    refuse(lambda: fd.Scheduler([*layers, fd.LayerNorm(6)], lambda step: 0.5), ValueError, message)
    assert [layer.p for layer in layers] == [0.125, 0.125]


def test_a_copy_for_a_trial_has_parameters_of_its_own():
    """`LayerList` tries states on copies: they must not write into the layer that they were made of."""
    layer = make("LayerNorm")
    state = copy.deepcopy(layer).state_dict()
    state["parameters"]["weight"] = [7.0] * 6
    before = layer.weight.copy()
    bad = {"0": state, "1": {}, "generators": [0, 1]}
    refuse(lambda: fd.LayerList([layer, make("RMSNorm")]).load_state_dict(bad), ValueError, "state must be")
    assert same_bytes(layer.weight, before)
