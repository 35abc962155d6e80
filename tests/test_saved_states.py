# SPDX-License-Identifier: BSD-3-Clause
"""States that come back from JSON, NumPy's archives, pickle and HDF5 are the states that were saved."""

import h5py
import numpy as np
import pytest

import fastdrop
from arrays import same_bytes
from kind_definitions import LAYERS, P
from refusal import refuse
from saved_stores import STORES, leaves, through_json


@pytest.fixture(params=STORES)
def loaded(request):
    """A function from a state to what the store gives back."""
    opened = []

    def load(state):
        opened.append(STORES[request.param](state))
        return next(opened[-1])

    yield load
    for each in opened:
        each.close()


# --- Round trips ------------------------------------------------------------------------------------

CASES = {
    **{name: (lambda rng, kind=kind: kind.make(P, rng), kind.shape) for name, kind in LAYERS.items()},
    "Dropout, all options": (
        lambda rng: fastdrop.Dropout(
            keep_prob=np.array([[0.25], [0.1]]), noise_shape=(None, 1), inverted=False, rng=rng
        ),
        (2, 5),
    ),
    "Dropout, all channels alike": (lambda rng: fastdrop.Dropout(noise_shape=[1, 1], rng=rng), (2, 5)),
    "Dropout without axes": (lambda rng: fastdrop.Dropout(noise_shape=(), rng=rng), ()),
    "DropConnect by rows": (lambda rng: fastdrop.DropConnect(keep_prob=0.1, row_axis=-1, rng=rng), (3, 40)),
    "Dropout2d, named axis": (
        lambda rng: fastdrop.Dropout2d(0.3, channel_axis=2, batched=False, rng=rng), (3, 4, 50),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_layer_goes_on_from_what_a_store_gives_back(loaded, name):
    make, shape = CASES[name]
    x = np.ones(shape)
    layer, other = make(2**64 + 5), make(1)
    for _ in range(3):
        layer.backward(layer(x))
    layer.eval()
    state = layer.state_dict()
    other.load_state_dict(loaded(state))
    assert other.state_dict() == state
    assert not other.training
    layer.train(), other.train()
    for _ in range(2):
        y = layer(x)
        assert same_bytes(other(x), y)
        assert same_bytes(other.backward(x), layer.backward(x))
    assert repr(other).partition("rng")[0] == repr(layer).partition("rng")[0]


@pytest.mark.parametrize("name", CASES)
def test_loading_sets_every_option(name):
    """Also those that are None: what decides the result is in the state."""
    make, shape = CASES[name]
    layer = make(0)
    for other_name, (make_other, _) in CASES.items():
        other = make_other(1).eval()
        if type(other) is type(layer):
            other.load_state_dict(layer.state_dict())
            assert other.state_dict() == layer.state_dict(), other_name
            assert same_bytes(other(np.ones(shape)), make(0)(np.ones(shape)))


def test_a_generator_goes_on_from_what_a_store_gives_back(loaded):
    """Also at the ends of its numbers."""
    for name, stream, children in [("ars4x32-7", 3, 2), ("philox4x32-10", 2**63, 2**63 - 1)]:
        masks = fastdrop.MaskGenerator(2**130 + 7, generator=name)
        masks.state = masks.state | {"stream": stream, "children": children}
        other = fastdrop.MaskGenerator(0)
        other.state = loaded(masks.state)
        assert other.state == masks.state


def test_a_scheduler_goes_on_from_what_a_store_gives_back(loaded):
    def make():
        return fastdrop.Scheduler([fastdrop.Dropout(rng=0)], fastdrop.LinearSchedule(0.0, 0.5, steps=10))

    scheduler, other = make(), make()
    for _ in range(7):
        scheduler.step()
    other.load_state_dict(loaded(scheduler.state_dict()))
    assert (other.step_number, other.layers[0].p) == (7, scheduler.layers[0].p)
    assert type(other.step_number) is int


@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_needs_no_pickle(name):
    """JSON gives back the very same; NumPy has a number or a string for every leaf."""
    state = CASES[name][0](0).state_dict()
    assert next(through_json(state)) == state
    for path, leaf in leaves(state):
        assert np.asarray(leaf).dtype.kind in "biufU", path


# --- Types ------------------------------------------------------------------------------------------


def in_other_types(value):
    """The value as stores give it back."""
    yield np.asarray(value)
    if isinstance(value, str):
        yield from [np.str_(value), value.encode(), np.bytes_(value), np.array(value, object)]
    elif isinstance(value, list):
        yield from [tuple(value), np.array(value, object), [np.array(entry) for entry in value]]
    else:
        yield from [np.asarray(value)[()], np.array(value, object)]


@pytest.mark.parametrize("name", CASES)
def test_every_value_may_come_back_in_another_type(name):
    layer, other = CASES[name][0](0), CASES[name][0](1)
    state = layer.state_dict()
    for place in (state, state["rng"]):
        for key in [key for key in place if key != "rng"]:
            for value in in_other_types(place[key]):
                changed = {**place, key: value}
                other.load_state_dict(changed if place is state else {**state, "rng": changed})
                assert other.state_dict() == state, (key, value)
    other.load_state_dict({key.encode(): np.array(value, object) for key, value in state.items()})
    assert other.state_dict() == state


def test_a_p_of_any_precision_comes_back():
    for p in (
        np.float16(0.1),
        np.float32(0.1),
        np.longdouble("0.1"),
        [np.float32(0.1)] * 2,
        np.zeros((1, 3)),
    ):
        state = fastdrop.Dropout(rng=0).state_dict() | {"p": p}
        drop = fastdrop.Dropout(rng=1)
        drop.load_state_dict(state)
        assert np.array_equal(drop.p, np.asarray(p, np.float64))


def test_a_masked_p_is_refused():
    state = fastdrop.Dropout(np.array([0.1, 0.2]), rng=0).state_dict()
    drop = fastdrop.Dropout(rng=1)
    for p in (np.ma.array([0.1, 0.2], mask=[0, 1]), np.ma.array([0.1, 0.2])):
        refuse(
            lambda p=p: drop.load_state_dict(state | {"p": p}), TypeError, "p must be", "mask would be lost"
        )
    assert drop.p == 0.5


# --- Older and wrong states --------------------------------------------------------------------------


def test_a_state_with_none_for_what_is_left_out_now_loads():
    """As an older version wrote it."""
    for layer, older in [
        (fastdrop.Dropout(0.3, noise_shape=(None, 1), rng=3), {"noise_shape": [None, 1]}),
        (fastdrop.Dropout(0.3, rng=3), {"noise_shape": None}),
        (fastdrop.DropConnect(0.3, rng=3), {"row_axis": None}),
        (fastdrop.Dropout1d(0.3, rng=3), {"channel_axis": None}),
    ]:
        state = layer.state_dict()
        other = type(layer)(keep_prob=0.9, rng=9)
        other.load_state_dict(state | older)
        assert other.state_dict() == state


WRONG = {
    "a file without a layer": ({}, ValueError, "state must be a dict with the keys"),
    "another layer": ({"layer": "DropPath"}, ValueError, "state must be that of the layer 'Dropout'"),
    "p": ({"p": 1.5}, ValueError, "p must be from 0 to 1"),
    "p that keep_prob is not": (
        {"p": 0.5, "keep_prob": 0.25}, ValueError, "state['p'] must be 1 - state['keep_prob'], not 0.5",
    ),
    "keep_prob": ({"keep_prob": "0.5"}, TypeError, "keep_prob must be a real number"),
    "noise_shape": ({"noise_shape": [-2, 1]}, ValueError, "noise_shape must have no negative length"),
    "inverted": ({"inverted": "no"}, TypeError, "inverted must be"),
    "training": ({"training": "no"}, TypeError, "state['training'] must be"),
    "an option of another layer": ({"row_axis": 0}, ValueError, "state must be a dict with the keys"),
    "rng": ({"rng": {"key": [1, 2, 3, 4]}}, ValueError, "state must be a dict with the keys"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_state_is_refused_alike_and_nothing_changes(loaded, name):
    change, kind, wanted = WRONG[name]
    drop = fastdrop.Dropout(keep_prob=0.1, noise_shape=(None, 1), rng=0)
    drop(np.ones((2, 3)))
    before, mask, text = drop.state_dict(), drop.mask, repr(drop)
    good = fastdrop.Dropout(0.75, inverted=False, rng=5).eval().state_dict()
    wrong = loaded(good | change) if change else loaded({"weights": [1.0, 2.0]})
    refuse(lambda: drop.load_state_dict(wrong), kind, wanted)
    assert (drop.state_dict(), drop.mask, repr(drop)) == (before, mask, text)


@pytest.mark.parametrize("state", [None, 3, "state", b"state", [1], np.zeros(3), np.ndarray, h5py], ids=str)
def test_what_is_no_state_is_refused(state):
    wanted = "state must be a dict with the keys"
    drop, masks = fastdrop.Dropout(rng=0), fastdrop.MaskGenerator(0)
    scheduler = fastdrop.Scheduler([drop], lambda step: 0.5)
    refuse(lambda: drop.load_state_dict(state), TypeError, wanted)
    refuse(lambda: scheduler.load_state_dict(state), TypeError, wanted)
    refuse(lambda: setattr(masks, "state", state), TypeError, wanted)


def test_every_class_of_layer_is_saved_here():
    kinds = {type(make(0)) for make, _ in CASES.values()}
    public = [getattr(fastdrop, name) for name in fastdrop.__all__]
    layers = {thing for thing in public if isinstance(thing, type) and issubclass(thing, fastdrop.Layer)}
    fused = {layer for layer in layers if layer.__name__ in fastdrop.fused.__all__}  # test_fused_layers.py
    assert kinds == layers - fused - {fastdrop.Layer}


@pytest.mark.parametrize("name", STORES)
def test_all_layers_go_on_from_what_a_store_gives_back(name):
    def make(seed):
        masks = fastdrop.MaskGenerator(seed)
        return fastdrop.LayerList(make(masks) for make, _ in CASES.values())

    layers, others = make(0), make(1)
    for layer, (_, shape) in zip(layers, CASES.values(), strict=True):
        layer(np.ones(shape))
    for loaded in STORES[name](layers.eval().state_dict()):
        others.load_state_dict(loaded)
    assert others.state_dict() == layers.state_dict()
