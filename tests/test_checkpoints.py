# SPDX-License-Identifier: BSD-3-Clause
"""Mask generators and layers go on exactly where they were: streams, children, states, modes."""

import contextlib
import copy
import functools
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdrop
from copies import copies, through_json
from fastdrop import reference
from refusal import refuse

X = np.arange(1, 61, dtype=np.float32).reshape(6, 10)


# The ways to the next mask: in Python, in one call of the core, and of an array that the core does not take.
NEXT = [
    lambda masks: masks.mask(X.shape),
    lambda masks: fastdrop.dropout(X, rng=masks)[1],
    lambda masks: fastdrop.dropout(X.T, rng=masks)[1],
]


# --- MaskGenerator --------------------------------------------------------------------------------


def test_streams_are_handed_out_in_order(generator):
    masks = fastdrop.MaskGenerator(8, generator=generator)
    for stream in range(5):
        mask = masks.mask((stream, 3), 0.1)
        assert mask == fastdrop.Mask((stream, 3), 0.1, seed=8, stream=stream, generator=generator)
        assert f"stream={stream + 1}" in repr(masks)
    y, mask = fastdrop.dropout(X, 0.2, rng=masks)
    assert (mask.stream, mask.key, mask.generator) == (5, masks.key, generator)
    assert (y == mask.apply(X)).all()


def test_threads_share_a_generator():
    masks, count, drawn = fastdrop.MaskGenerator(0), 700, []
    start = threading.Barrier(8)

    def draw():
        start.wait()
        mine = [following(masks).stream for _ in range(count) for following in NEXT]
        assert mine == sorted(mine)
        drawn.extend(mine)

    workers = [threading.Thread(target=draw) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(drawn) == list(range(8 * count * len(NEXT)))


def test_children_are_those_of_a_seed_sequence():
    masks = fastdrop.MaskGenerator(3, generator="philox4x32-10")
    assert masks.spawn(0) == []
    children = masks.spawn(2) + masks.spawn(1)
    for number, child in enumerate(children):
        assert child.key == reference.key_from(np.random.SeedSequence(masks.key, spawn_key=(number,)))
        assert (child.generator, child.mask(3).stream) == ("philox4x32-10", 0)
    grandchildren = [grandchild for child in children for grandchild in child.spawn(3)]
    keys = [relative.key for relative in (masks, *children, *grandchildren)]
    assert len(set(keys)) == len(keys) == 13
    again = fastdrop.MaskGenerator(3).spawn(3)
    assert [child.key for child in again] == [child.key for child in children]
    assert masks.mask(3).stream == 0  # children take no stream


def test_after_the_last_stream_there_is_no_mask():
    masks = fastdrop.MaskGenerator(0)
    masks.state = {**masks.state, "stream": 2**63 - 1}
    assert masks.mask(3) == fastdrop.Mask(3, seed=0, stream=2**63 - 1)
    for restored in (masks, pickle.loads(pickle.dumps(masks))):
        for following in NEXT:
            refuse(functools.partial(following, restored), ValueError, "all 2**63 streams of this Mask")
        assert restored.state["stream"] == 2**63


def test_after_the_last_child_there_is_none():
    """What `spawn` leaves is a state that can be set again."""
    masks = fastdrop.MaskGenerator(3)
    masks.state = masks.state | {"children": 2**63 - 3}
    wanted = "n_children must be at most 2, the keys that are left, not 3"
    refuse(lambda: masks.spawn(3), ValueError, wanted)
    assert masks.state["children"] == 2**63 - 3
    last = masks.spawn(2)[1]
    assert last.key == reference.key_from(np.random.SeedSequence(masks.key, spawn_key=(2**63 - 2,)))
    refuse(lambda: masks.spawn(1), ValueError, "n_children must be at most 0")
    for other in restored_generators(masks):
        assert other.state == masks.state


def test_children_are_those_of_one_state():
    """Another thread that sets a state as soon as it may changes nothing about them."""
    masks, other = fastdrop.MaskGenerator(0), fastdrop.MaskGenerator(1, generator="philox4x32-10")
    wanted = [child.state for child in fastdrop.MaskGenerator(0).spawn(2)]

    class SetAfterwards(contextlib.ExitStack):
        def __exit__(self, *error):
            masks._source = other._source

    masks._lock = SetAfterwards()
    children = masks.spawn(2)
    assert masks.key == other.key
    assert [child.state for child in children] == wanted


def restored_generators(masks):
    """The generator by every way of saving it."""
    yield from copies(masks)
    other = fastdrop.MaskGenerator()
    other.state = through_json(masks.state)
    yield other


@given(st.integers(0, 2**64), st.integers(0, 2**63 - 10), st.integers(0, 2**63 - 10), st.booleans())
def test_a_saved_generator_goes_on_where_it_was(seed, stream, children, philox):
    masks = fastdrop.MaskGenerator(seed, generator="philox4x32-10" if philox else "ars4x32-7")
    masks.state = {**masks.state, "stream": stream, "children": children}
    assert (masks.state["stream"], masks.state["children"]) == (stream, children)
    others = list(restored_generators(masks))
    state, mask, child = masks.state, masks.mask(3), masks.spawn(1)[0]
    for other in others:
        assert other.state == state
        assert other.mask(3) == mask
        assert other.spawn(1)[0].state == child.state


GOOD = fastdrop.MaskGenerator(0).state
KEYS = "must be a dict with the keys ['children', 'generator', 'key', 'stream'], not "
BAD_STATES = [
    *[(state, TypeError, f"state {KEYS}") for state in (None, 1, "state", [], list(GOOD.items()))],
    *[(state, ValueError, f"state {KEYS}") for state in ({}, {**GOOD, "more": 1}, {1: 2})],
    *[({key: GOOD[key] for key in GOOD if key != missing}, ValueError, f"state {KEYS}") for missing in GOOD],
    *[({**GOOD, "generator": name}, TypeError, "state['generator'] must be a string") for name in (None, 0)],
    ({**GOOD, "generator": "ars"}, ValueError, "state['generator'] must be one of"),
    *[
        ({**GOOD, "key": key}, ValueError, "state['key'] must be")
        for key in ((), [1] * 3, [1] * 5, [-1, 0, 0, 0])
    ],
    *[
        ({**GOOD, "key": key}, ValueError, "state['key'] must be")
        for key in ([0, 0, 0, 2**32], None, 7, "1234")
    ],
    *[({**GOOD, "key": key}, TypeError, "state['key'] must be") for key in ([0.0] * 4, [True] * 4)],
    *[({**GOOD, "stream": number}, ValueError, "state['stream'] must be") for number in (-1, 2**63 + 1)],
    *[
        ({**GOOD, "stream": number}, TypeError, "state['stream'] must be")
        for number in (1.0, "1", None, True)
    ],
    *[({**GOOD, "children": number}, ValueError, "state['children'] must be") for number in (-1, 2**63)],
    *[
        ({**GOOD, "children": number}, TypeError, "state['children'] must be")
        for number in (1.0, "1", None, True)
    ],
]


@pytest.mark.parametrize(("state", "kind", "message"), BAD_STATES)
def test_a_bad_state_leaves_generator_and_layer_as_they_were(state, kind, message):
    masks = fastdrop.MaskGenerator(5)
    masks.mask(3)
    before = masks.state
    refuse(lambda: setattr(masks, "state", state), kind, message)
    assert masks.state == before
    drop = fastdrop.Dropout(0.1, rng=masks).eval()
    drop(X)
    whole, mask = drop.state_dict(), drop.mask
    assert whole["rng"] == before
    for bad in ({"p": 0.7, "training": True, "rng": state}, whole | {"p": 0.7, "rng": state}):
        refuse(lambda: drop.load_state_dict(bad), kind, message)  # noqa: B023
        assert (drop.state_dict(), drop.mask) == (whole, mask)


def test_state_is_a_copy_and_the_rest_is_read_only():
    masks = fastdrop.MaskGenerator(5)
    masks.state["key"][0] += 1
    masks.state["stream"] = 7
    assert masks.mask(3) == fastdrop.Mask(3, seed=5)
    for name in ("key", "generator", "anything"):
        with pytest.raises(AttributeError):
            setattr(masks, name, 1)


# --- Dropout --------------------------------------------------------------------------------------


def restored_layers(drop):
    """The layer by every way of saving it."""
    yield copy.deepcopy(drop)
    yield pickle.loads(pickle.dumps(drop))
    other = fastdrop.Dropout(0.9).eval()
    other(X)
    other.load_state_dict(through_json(drop.state_dict()))
    assert other.mask is None
    yield other


def test_training_goes_on_from_a_checkpoint_in_the_middle_of_an_epoch(generator):
    drop = fastdrop.Dropout(0.3, rng=fastdrop.MaskGenerator(1, generator=generator))
    for _ in range(3):
        drop.backward(drop(X))
    others = list(restored_layers(drop))
    for _ in range(3):
        y, dx = drop(X), drop.backward(X)
        for other in others:
            assert other(X).tobytes() == y.tobytes()
            assert other.backward(X).tobytes() == dx.tobytes()
            assert other.mask == drop.mask
    assert drop.mask.stream == 5


def test_a_copy_can_go_backward():
    """A pickled layer takes the mask of its last forward pass with it."""
    drop = fastdrop.Dropout(0.3, rng=1)
    drop(X)
    for other in (copy.deepcopy(drop), pickle.loads(pickle.dumps(drop))):
        assert other.backward(X).tobytes() == drop.backward(X).tobytes()


LAYER_KEYS = "state must be a dict with the keys ['inverted', 'layer', 'p', 'rng', 'training'], not "
LAYER = fastdrop.Dropout(0.4, rng=0).state_dict()
BAD_LAYER_STATES = [
    *[(state, TypeError, LAYER_KEYS) for state in (None, [], "p", 0.5)],
    *[(state, ValueError, LAYER_KEYS) for state in ({}, GOOD, {**LAYER, "mask": None})],
    *[({key: LAYER[key] for key in LAYER if key != missing}, ValueError, LAYER_KEYS) for missing in LAYER],
    *[({**LAYER, "p": p}, ValueError, "p must be from 0 to 1") for p in (-1, 2, float("nan"))],
    *[({**LAYER, "p": p}, TypeError, "p must be a real number") for p in (None, "0.5", True)],
    *[
        ({**LAYER, "training": mode}, TypeError, "state['training'] must be True or False")
        for mode in (None, 2, 1.0, "false")
    ],
    ({**LAYER, "training": np.ones(2)}, TypeError, "state['training'] must be True or False"),
]


@pytest.mark.parametrize(("state", "kind", "message"), BAD_LAYER_STATES)
def test_a_bad_state_leaves_the_layer_as_it_was(state, kind, message):
    drop = fastdrop.Dropout(0.2, rng=5)
    drop(X)
    before = drop.state_dict(), drop.mask
    refuse(lambda: drop.load_state_dict(state), kind, message)
    assert (drop.state_dict(), drop.mask) == before


def test_train_and_eval_switch_the_mode_and_use_no_mask():
    drop = fastdrop.Dropout(0.5, rng=0)
    assert drop.training
    assert drop.mask is None
    assert drop.eval() is drop
    assert not drop.training
    out = np.empty_like(X)
    assert drop(X) is X
    assert drop(X, out=out) is out
    assert out.tobytes() == X.tobytes()
    assert (drop.mask.p, drop.mask.shape) == (0, X.shape)
    assert drop.backward(X).tobytes() == X.tobytes()
    assert drop.train(False) is drop.eval() is drop
    assert drop.state_dict()["training"] is False
    assert drop.train() is drop.train(mode=True) is drop
    assert drop.training
    assert (
        drop(X).tobytes() == fastdrop.Mask(X.shape, 0.5, seed=0).apply(X).tobytes()
    )  # evaluation took no mask
    drop.backward(X)
    drop.p = 0.25
    assert drop(X).tobytes() == fastdrop.Mask(X.shape, 0.25, seed=0, stream=1).apply(X).tobytes()
    assert drop.eval().backward(X).tobytes() == drop.mask.apply(X).tobytes()  # of the last forward pass
    assert "p=0.25, training=False" in repr(drop)


def test_dropout_in_evaluation_returns_x_and_uses_no_mask():
    y, mask = fastdrop.dropout(X, 0.5, rng=1, training=False)
    assert y is X
    assert (mask.p, mask.shape, mask.to_numpy().all()) == (0, X.shape, True)
    out = np.empty_like(X)
    assert fastdrop.dropout(X, 0.5, training=False, out=out)[0] is out
    assert out.tobytes() == X.tobytes()
    assert fastdrop.dropout_backward(X, mask).tobytes() == X.tobytes()
    masks = fastdrop.MaskGenerator(0)
    fastdrop.dropout(X, 0.5, rng=masks, training=False)
    assert masks.state["stream"] == 0


def test_a_seed_repeats_its_mask_and_a_generator_does_not():
    """A number and a SeedSequence give the same mask at every call; everything else a new one."""
    for same in (0, [1, 2], np.random.SeedSequence(0)):
        assert fastdrop.dropout(X, rng=same)[1] == fastdrop.dropout(X, rng=same)[1]
    for new in (None, np.random.PCG64(0), np.random.default_rng(0), fastdrop.MaskGenerator(0)):
        assert fastdrop.dropout(X, rng=new)[1] != fastdrop.dropout(X, rng=new)[1]


def test_layers_share_a_generator_that_they_are_given():
    shared = fastdrop.MaskGenerator(0)
    first, second = fastdrop.Dropout(0.5, rng=shared), fastdrop.Dropout(0.5, rng=shared)
    assert first.rng is second.rng is shared
    streams = [(drop(X), drop.mask.stream)[1] for drop in (first, second, first)]
    assert streams == [0, 1, 2]
    own = [fastdrop.Dropout(0.5, rng=0) for _ in range(2)]
    assert own[0].rng is not own[1].rng


def test_what_a_layer_is_given_as_rng_becomes_a_generator_of_its_own():
    layer = fastdrop.Dropout(0.5, rng=0)
    layer.rng = 5
    assert layer.rng.key == fastdrop.MaskGenerator(5).key
    with pytest.raises(TypeError, match="rng must be"):
        layer.rng = "5"


def test_layers_that_share_a_generator_drop_different_elements():
    masks = fastdrop.MaskGenerator(0)
    first, second = (fastdrop.Dropout(0.5, rng=masks) for _ in range(2))
    x = np.ones(1000, np.float32)
    assert (first(x) != second(x)).any()


def test_a_call_of_a_layer_is_its_forward_pass():
    class Doubled(fastdrop.Dropout):
        def forward(self, x, *, out=None):
            return 2 * super().forward(x, out=out)

    x = np.ones(100, np.float32)
    assert (Doubled(0.5, rng=0)(x) == 2 * fastdrop.Dropout(0.5, rng=0)(x)).all()
