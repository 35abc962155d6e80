# SPDX-License-Identifier: BSD-3-Clause
"""What is unpickled is checked as a constructor checks its arguments: a pickle may be damaged, or forged."""

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdrop
from copies import copies
from fastdrop import _core
from kind_definitions import LAYERS, P
from refusal import refuse

FIELDS = ("generator", "key", "stream", "p", "start", "shape", "strides", "bits")
INDICES = "start, shape and strides must stay among the indices from 0 to 2**63 - 1"
BITS = "bits must be bytes that hold whole tiles, as far as the window reaches"
BROADCAST = "a Broadcast must have the values that its window reaches"
P_TEXT = "p must be from 0 to 1, or minus a probability of keeping"


class Forged:
    """Pickles as a call of that function with those arguments."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def forged(mask, **fields):
    """What a pickle of the mask gives in which some fields of its state are others."""
    function, arguments = mask._state.__reduce__()
    state = Forged(function, *(dict(zip(FIELDS, arguments, strict=True)) | fields).values())
    make, (_, *rest) = mask.__reduce__()
    return pickle.loads(pickle.dumps(Forged(make, state, *rest)))


KEEP = np.random.default_rng(0).random((6, 70)) < 0.5
MASKS = {
    "drawn": fastdrop.Mask((6, 70), 0.3, seed=1),
    "shared": fastdrop.Mask((6, 70), 0.3, noise_shape=(6, 1), seed=1),
    "varying": fastdrop.Mask((6, 70), np.linspace(0, 0.9, 70), seed=1),
    "keep_prob": fastdrop.Mask((6, 70), keep_prob=0.1, seed=1),
    "stored": fastdrop.Mask.from_array(KEEP, 0.3),
    "stored, varying": fastdrop.Mask.from_array(KEEP, np.linspace(0, 0.9, 70)),
    "noise": fastdrop.GaussianNoise((6, 70), 0.3, seed=1),
}
every_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


@every_mask
def test_nothing_is_refused_that_was_saved(mask):
    for part in (mask, mask[::-1, ::-1], mask[::-2, 3:], mask[2:, ::-7], mask[5], mask[:0], mask[3, 4]):
        assert forged(part) == part
        for other in copies(part):
            assert (other, hash(other), repr(other)) == (part, hash(part), repr(part))


@every_mask
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"generator": 3}, "no such generator"),
        ({"generator": -1}, "no such generator"),
        ({"stream": 2**63}, "stream must be less than 2**63"),
        ({"p": math.nan}, P_TEXT),
        ({"p": 7.0}, P_TEXT),
        ({"p": -1.0}, P_TEXT),
        ({"p": "0.5"}, "a value must be a float or a Broadcast"),
        ({"p": (np.array([0.5, 7.0]).tobytes(), 1, (0, 0))}, P_TEXT),
        ({"p": (bytes(8), 0, (0, 1))}, BROADCAST),
        ({"p": (bytes(8 * 69), 68, (0, -1))}, BROADCAST),
        ({"start": 2**63}, INDICES),
        ({"start": 2**63 - 1}, INDICES),
        ({"shape": (6, -70)}, "shape must have no negative length"),
        ({"strides": (70,)}, "strides must be None or an integer for every axis"),
        ({"strides": (70, -1)}, INDICES),
        ({"strides": (-70, 1), "start": 349}, INDICES),
        ({"strides": (-(2**63), -(2**63))}, INDICES),
        ({"strides": (2**62, 2**62)}, INDICES),
    ],
    ids=str,
)
def test_wrong_fields_are_refused(mask, fields, message):
    refuse(lambda: forged(mask, **fields), ValueError, message)


@every_mask
def test_a_shape_of_more_elements_than_there_are_indices_is_refused(mask):
    for shape in ((2**32, 2**32), (2**63 - 1, 2), (3, 2**62)):
        with pytest.raises(ValueError, match=r"must stay among|a Broadcast must|bits must"):
            forged(mask, shape=shape)


def test_a_value_that_the_window_does_not_reach_is_not_looked_at():
    part = forged(MASKS["drawn"], p=(np.array([0.5, np.nan]).tobytes(), 0, (0, 0)))
    assert (part.p == 0.5).all()
    assert (part.to_numpy() == fastdrop.Mask((6, 70), 0.5, seed=1).to_numpy()).all()


def test_stored_bits_must_be_there_up_to_the_last_tile():
    mask = MASKS["stored"]
    bits = mask._state.bits
    for wrong in (None, bits[:-1], bits[:-16], b"", "1" * len(bits), bytearray(bits), 420):
        refuse(lambda wrong=wrong: forged(mask, bits=wrong), ValueError, BITS)
    refuse(lambda: forged(mask, start=128), ValueError, BITS)
    refuse(lambda: forged(MASKS["drawn"], bits=bits), ValueError, "bits must be None, since a generator")
    refuse(lambda: forged(MASKS["drawn"], generator=2), ValueError, BITS)


@pytest.mark.parametrize("scale", [math.nan, -1.0, "2", None, 2, (b"", 0, (0, 0)), (bytes(8), 0, (0, -1))])
def test_a_wrong_scale_is_refused(scale):
    make, (state, _) = MASKS["drawn"].__reduce__()
    data = pickle.dumps(Forged(make, state, scale))
    with pytest.raises(ValueError, match=r"a scale must|a Broadcast must"):
        pickle.loads(data)
    with pytest.raises(ValueError, match="a mask must be a MaskState"):
        pickle.loads(pickle.dumps(Forged(make, state.p, 2.0)))


@pytest.mark.parametrize("p", [1.0, -0.25, (np.full(70, 0.5).tobytes(), 0, (0, 1))], ids=str)
def test_noise_of_a_p_that_it_cannot_have_is_refused(p):
    with pytest.raises((TypeError, ValueError), match="p must be"):
        forged(MASKS["noise"], p=p)


def test_noise_is_not_drawn_from_stored_bits():
    bits = MASKS["stored"]._state.bits
    wanted = "state must be a MaskState of a generator"
    refuse(lambda: forged(MASKS["noise"], generator=2, bits=bits), TypeError, wanted)


# --- Windows: what the core reads is what Python's integers say -------------------------------------

lengths = st.lists(st.integers(0, 5), max_size=3)
far = st.integers(-(2**63), 2**63 - 1)


@st.composite
def windows(draw):
    shape = tuple(draw(lengths))
    stride = st.integers(-40, 40) | far
    strides = tuple(draw(st.lists(stride, min_size=len(shape), max_size=len(shape))))
    return draw(st.integers(0, 300) | st.integers(0, 2**64 - 1)), shape, strides


def indices(start, shape, strides):
    """Of the elements, in C order."""
    for place in itertools.product(*map(range, shape)):
        yield start + sum(position * stride for position, stride in zip(place, strides, strict=True))


def made(generator, p, window, bits=None):
    """The state, or what the refusal says."""
    start, shape, strides = window
    try:
        return _core.MaskState(generator, (3, 4), 5, p, start, shape, strides, bits)
    except ValueError as error:
        return str(error)


@given(windows(), st.integers(0, 3))
def test_stored_bits_are_read_where_they_are_and_nowhere_else(window, tiles):
    bits = np.random.default_rng(tiles).bytes(16 * tiles)
    wanted = list(indices(*window))
    state = made(2, 0.5, window, bits)
    if wanted and not 0 <= min(wanted) <= max(wanted) < 128 * tiles:
        assert state in (BITS, INDICES)
        return
    bit = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    assert _core.run("keep_mask", state, None).reshape(-1).tolist() == [bool(bit[index]) for index in wanted]


@given(windows())
def test_generators_draw_at_the_indices_that_there_are(window):
    wanted = list(indices(*window))
    state = made(0, 0.5, window)
    is_inside = not wanted or 0 <= min(wanted) <= max(wanted) < 2**63
    assert is_inside == (state != INDICES)
    assert is_inside == isinstance(state, _core.MaskState)


VALUES = np.array([0.5, math.nan, 0.25, 1.0, 7.0, 0.0, -0.5, -1.0, 0.75])


@given(windows(), st.sampled_from([0, 1, 4, 9]))
def test_every_p_that_is_read_is_one(window, count):
    """Of the values from the lowest place to the highest that the window reaches."""
    start, shape, strides = window
    p = VALUES[:count].tobytes(), start % 2**63, strides
    state = made(0, p, (0, shape, (0,) * len(shape)))
    wanted = list(indices(start % 2**63, shape, strides))
    if wanted and not 0 <= min(wanted) <= max(wanted) < count:
        assert state == BROADCAST
    elif wanted and not all(-1 < p <= 1 for p in VALUES[min(wanted) : max(wanted) + 1]):
        assert state == P_TEXT
    else:
        assert isinstance(state, _core.MaskState)


@pytest.mark.parametrize("p", [(0.5, math.nan), (0.25, 7.0), (0.5, 0.5, 0.5, -1.0)])
def test_a_wrong_p_after_right_ones_is_refused(p):
    assert made(0, (np.array(p).tobytes(), 0, (1,)), (0, (len(p),), (1,))) == P_TEXT


# --- Generators, layers, schedules ------------------------------------------------------------------


def restored(thing, state):
    """What a pickle of the thing gives that holds this state."""
    function, arguments, *_ = thing.__reduce_ex__(2)
    made = function(*arguments)
    made.__setstate__(state)
    return made


def test_a_generator_is_checked():
    masks = fastdrop.MaskGenerator(3)
    state, seed = masks.__getstate__()
    assert restored(masks, (state, seed)).state == masks.state
    for change in ({"stream": -1}, {"key": [0] * 3}, {"key": b"1234"}, {"generator": "x"}, {"children": "0"}):
        with pytest.raises((TypeError, ValueError), match="must be"):
            restored(masks, (state | change, seed))
    for wrong in (None, state, (state,), (state, 3, 4), [state, 3]):
        refuse(lambda wrong=wrong: restored(masks, wrong), TypeError, "state must be a tuple of a dict and")
    assert "key=" in repr(restored(masks, (state, "; anything")))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_checked(name):
    layer = LAYERS[name].make(P, 0)
    layer(np.ones(LAYERS[name].shape, np.float32))
    attributes, slots = layer.__getstate__()
    assert restored(layer, (attributes, slots)).state_dict() == layer.state_dict()
    wrong = [{"_p": p} for p in (math.nan, 7.0, -1, "0.5", None, [0.5])]
    wrong += [{"_training": "no"}, {"_rng": 3}, {"_rng": None}, {"_drawn": np.ones(3)}, {"_passes": -1}]
    wrong += [{"_unanswered": 2}]
    wrong += [{f"_{option}": object()} for option in layer.state_dict() if f"_{option}" in slots]
    for change in wrong:
        with pytest.raises((TypeError, ValueError), match=" must be "):
            restored(layer, (attributes, slots | change))


def test_a_layer_with_parameters_is_checked():
    layer = fastdrop.DropoutAddLayerNorm(6, 0.3, rng=0)
    attributes, slots = layer.__getstate__()
    assert restored(layer, (attributes, slots)).state_dict() == layer.state_dict()
    weight = layer.parameters["weight"]
    bad = [None, {}, {"weight": [1.0] * 6}, {"weight": np.ones(6, int)}, {"weight": np.ones((2, 3))}]
    bad += [{"weight": weight, "bias": weight[1:]}, {"weight": weight, "bias": weight.astype(np.float64)}]
    for parameters in bad:
        with pytest.raises(TypeError, match="parameters must be"):
            restored(layer, (attributes, slots | {"_parameters": parameters}))
    for gradients in (None, {}, {"weight": None}):
        with pytest.raises(TypeError, match="gradients must be"):
            restored(layer, (attributes, slots | {"_gradients": gradients}))
    for change in ({"_eps": -1.0}, {"_eps": math.nan}, {"_p": 2.0}):
        with pytest.raises(ValueError, match="must be"):
            restored(layer, (attributes, slots | change))


def test_schedules_are_checked():
    for schedule, change, message in [
        (fastdrop.LinearSchedule(0.0, 0.5, 10), {"start": math.nan}, "start must be from 0 to 1"),
        (fastdrop.LinearSchedule(0.0, 0.5, 10), {"steps": 0}, "steps must be at least 1"),
        (fastdrop.CurriculumSchedule(0.5, 0.1), {"p": 7.0}, "p must be from 0 to 1"),
        (fastdrop.CurriculumSchedule(0.5, 0.1), {"rate": math.inf}, "rate must be above 0"),
    ]:
        state = dict(vars(schedule))
        assert restored(schedule, state) == schedule
        refuse(lambda of=schedule, to=state | change: restored(of, to), ValueError, message)
        refuse(lambda of=schedule: restored(of, {"p": 0.5}), ValueError, "state must be a dict with the keys")
        assert list(copies(schedule)) == [schedule] * len(list(copies(schedule)))


def test_schedulers_and_lists_of_layers_are_checked():
    layers = [fastdrop.Dropout(0.5, rng=0)]
    scheduler = fastdrop.Scheduler(layers, fastdrop.LinearSchedule(0.0, 0.5, 10))
    scheduler.step()
    state = dict(vars(scheduler))
    assert restored(scheduler, state).step_number == 1
    for other in copies(scheduler):
        assert (other.step_number, other.schedule, other.layers[0].p) == (1, scheduler.schedule, 0.05)
    for change, kind, message in [
        ({"step_number": -1}, ValueError, "state['step_number'] must be at least 0"),
        ({"layers": [3]}, TypeError, "layers must be an iterable of layers"),
        ({"schedule": 0.5}, TypeError, "schedule must be a function"),
    ]:
        refuse(lambda to=state | change: restored(scheduler, to), kind, message)
    many = fastdrop.LayerList(layers)
    assert [len(other) for other in copies(many)] == [1] * len(list(copies(many)))
    refuse(lambda: restored(many, {"_layers": [3]}), TypeError, "layers must be an iterable of layers")
    refuse(lambda: restored(many, {}), ValueError, "state must be a dict with the keys ['_layers']")
