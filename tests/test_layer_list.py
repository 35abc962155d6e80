# SPDX-License-Identifier: BSD-3-Clause
"""Layers of a model at once: modes that come back, and states of all layers or of none."""

import json
import pickle

import numpy as np
import pytest

import fastdrop
from arrays import same_bytes
from copies import copies
from kind_definitions import LAYERS, P
from refusal import refuse

X = np.ones((6, 10), np.float32)


def model(seed=0, shared=True):
    """Every kind of layer, with one generator or one each."""
    masks = fastdrop.MaskGenerator(seed)
    generators = [masks] * len(LAYERS) if shared else masks.spawn(len(LAYERS))
    return fastdrop.LayerList(
        kind.make(P, rng) for kind, rng in zip(LAYERS.values(), generators, strict=True)
    )


def results(layers):
    return [layer(np.ones(kind.shape)) for layer, kind in zip(layers, LAYERS.values(), strict=True)]


def last_drawn(layers):
    return [kind.drawn(layer) for layer, kind in zip(layers, LAYERS.values(), strict=True)]


def modes(layers):
    return [layer.training for layer in layers]


def test_it_is_a_sequence_of_layers():
    drop, path = fastdrop.Dropout(rng=0), fastdrop.DropPath(rng=1)
    layers = fastdrop.LayerList(iter([drop, path]))
    assert (len(layers), list(layers), layers[0], layers[-1]) == (2, [drop, path], drop, path)
    assert [*layers[1:]] == [path]
    assert isinstance(layers[1:], fastdrop.LayerList)
    assert path in layers
    assert repr(layers) == (
        "LayerList([Dropout(p=0.5, rng=<seed=0, stream=0>), DropPath(p=0.5, rng=<seed=1, stream=0>)])"
    )
    assert len(repr(model())) <= 110
    with pytest.raises(IndexError):
        layers[2]
    assert not fastdrop.LayerList([]).state_dict()["generators"]
    for other in copies(layers):
        assert repr(other) == repr(layers)


@pytest.mark.parametrize("layers", [[3], None, fastdrop.Dropout(rng=0), [fastdrop.Dropout]], ids=repr)
def test_what_is_no_layer_is_refused(layers):
    refuse(lambda: fastdrop.LayerList(layers), TypeError, "layers must be an iterable of layers")


def test_train_and_eval_set_all_layers():
    layers = model()
    assert layers.eval() is layers
    assert not any(modes(layers))
    assert layers.train() is layers
    assert all(modes(layers))
    assert not any(modes(layers.train(np.bool_(False))))
    layers[0].train()
    before = modes(layers)
    for mode in ("test", 2, None):
        refuse(lambda: layers.train(mode), TypeError, "training must be True or False")  # noqa: B023
    assert modes(layers) == before


def test_after_an_evaluation_every_layer_has_its_own_mode():
    layers = model()
    layers[3].eval()
    before, drawn = modes(layers), layers[0].rng.state
    with layers.evaluation() as same:
        assert same is layers
        assert not any(modes(layers))
        results(layers)
        with layers[:2].evaluation():
            assert not any(modes(layers))
        assert not any(modes(layers))
    assert (modes(layers), layers[0].rng.state) == (before, drawn)
    with pytest.raises(ZeroDivisionError), layers.evaluation():
        raise ZeroDivisionError
    assert modes(layers) == before
    twice = fastdrop.LayerList([layers[0], layers[0]])
    with twice.evaluation():
        assert not layers[0].training
    assert layers[0].training


@pytest.mark.parametrize("shared", [True, False])
def test_a_model_goes_on_from_a_checkpoint(shared):
    layers, others = model(0, shared), model(1, shared).eval()
    results(layers)
    layers[2].eval()
    state = layers.state_dict()
    following = [results(layers) for _ in range(2)]
    for stored in (json.loads(json.dumps(state)), pickle.loads(pickle.dumps(state)), npz(state)):
        others.load_state_dict(stored)
        assert modes(others) == modes(layers)
        assert others.state_dict() == state
        for wanted in following:
            assert all(same_bytes(y, w) for y, w in zip(results(others), wanted, strict=True))


def npz(state):
    return {name: np.array(value, object) for name, value in state.items()}


def test_a_bad_state_changes_no_layer():
    layers = model()
    results(layers)
    before, drawn = layers.state_dict(), last_drawn(layers)
    text = [repr(layer) for layer in layers]
    good = model(5).eval().state_dict()
    last = str(len(layers) - 1)
    for bad, kind, wanted in [
        (None, TypeError, "state must be a dict with the keys"),
        ({}, ValueError, "state must be a dict with the keys"),
        ({name: good[name] for name in good if name != last}, ValueError, "state must be a dict"),
        (good | {"99": good["0"]}, ValueError, "state must be a dict with the keys"),
        (good | {last: good["0"]}, ValueError, "state must be that of the layer 'GaussianDropout', not of"),
        (good | {last: good[last] | {"p": 1.0}}, ValueError, "p must be less than 1"),
        (good | {last: good[last] | {"rng": 3}}, TypeError, "state must be a dict with the keys"),
        (good | {last: 3}, TypeError, "state must be a dict with the keys"),
    ]:
        refuse(lambda: layers.load_state_dict(bad), kind, wanted)  # noqa: B023
        assert layers.state_dict() == before
        assert last_drawn(layers) == drawn
        assert [repr(layer) for layer in layers] == text


def test_layers_that_share_generators_otherwise_are_refused():
    """They would draw other masks, or the same ones twice."""
    for first, second in [(True, False), (False, True)]:
        state = model(0, first).state_dict()
        wanted = "state['generators'] must be [0, "
        refuse(lambda: model(0, second).load_state_dict(state), ValueError, wanted)  # noqa: B023


def test_scheduler_and_mc_dropout_take_it():
    layers = fastdrop.LayerList([fastdrop.Dropout(rng=0), fastdrop.DropConnect(rng=1)]).eval()
    scheduler = fastdrop.Scheduler(layers, fastdrop.LinearSchedule(0.1, 0.5, steps=2))
    scheduler.step()
    assert [layer.p for layer in layers] == [0.3, 0.3]
    result = fastdrop.mc_dropout(lambda x, rng: layers[1](layers[0](x)), X, 20, rng=0, layers=layers)
    assert result.std.all()
    assert not any(modes(layers))
