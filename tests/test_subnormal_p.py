# SPDX-License-Identifier: BSD-3-Clause
"""A subnormal p keeps its value where the caller flushes subnormal numbers to zero.

What is compared is made, or told, once with the default environment and once while flushing. Comparisons of
floats are made outside, where they are true.
"""

import math
import pickle
import struct

import numpy as np
import pytest

import fastdrop
from copies import copies
from fastdrop import _core
from flushing import DAZ, FTZ, flushing, needs_x86
from kind_definitions import LAYERS

pytestmark = needs_x86

TINY = [5e-324, 2.0**-1060, 2.0**-1030, 2.0**-1023, 2.0**-1022 - 5e-324]
MODES = {"FTZ and DAZ": FTZ | DAZ, "FTZ": FTZ, "DAZ": DAZ}


@pytest.fixture(params=MODES.values(), ids=MODES)
def mode(request):
    return request.param


def bits(value):
    """A value's, so that no comparison of floats is needed."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return struct.pack("<d", value) if isinstance(value, float) else value


def same_while_flushing(mode, function):
    """What it gives with the default environment; it must give the same bits while flushing."""
    wanted = function()
    with flushing(mode):
        result = function()
    assert list(map(bits, result)) == list(map(bits, wanted))
    return wanted


def test_the_test_flushes():
    one = 1.0
    with flushing():
        assert one * TINY[-1] == 0
        assert TINY[-1] == 0
    assert one * TINY[-1] > 0


RATES = [
    *TINY,
    *(np.float64(value) for value in TINY[:1]),
    np.longdouble(TINY[2]),
    np.array(TINY[0]),
    np.array([*TINY, 0.5, 0.25, 0.75]),
    np.array(TINY, np.longdouble).reshape(5, 1),
    np.array([1e-40], np.float32),
]
TOLD = ("p", "scale", "shape", "key")


def masks(p):
    for name in ("p", "keep_prob"):
        shape = (5, 8) if isinstance(p, np.ndarray) and p.shape == (5, 1) else (2, 8)
        for options in ({}, {"inverted": False}, {"noise_shape": (None, None)}):
            mask = fastdrop.Mask(shape, **{name: p}, seed=3, **options)
            yield from (mask, mask[1:, ::-1], mask[1], mask[0, 0])
            yield fastdrop.MaskGenerator(3).mask(shape, **{name: p}, **options)
        for training in (True, False):
            x = np.ones(shape, np.float32)
            yield fastdrop.dropout(x, **{name: p}, rng=3, training=training)[1]
            yield fastdrop.dropout(x, **{name: p}, rng=3, training=training, inverted=False)[1]
        if name == "p":
            yield fastdrop.dropout(x, p, rng=fastdrop.MaskGenerator(3))[1]
        yield fastdrop.Mask.from_array(np.ones(shape, bool), **{name: p})


@pytest.mark.parametrize("p", RATES, ids=repr)
def test_masks_are_the_same(mode, p):
    wanted = list(masks(p))
    with flushing(mode):
        made = list(masks(p))
        assert all(one == other for one, other in zip(made, wanted, strict=True))
        hashes, reprs = list(map(hash, made)), list(map(repr, made))
        told = [[getattr(mask, name) for name in TOLD] for mask in made]
        keeps = [mask.to_numpy().tobytes() for mask in made]
        applied = [mask.apply(np.ones(mask.shape)).tobytes() for mask in made]
        saved = [pickle.dumps(mask) for mask in made]
        copied = [list(copies(mask))[:2] for mask in made]
        loaded = [pickle.loads(each) for each in saved]
    assert (made, loaded) == (wanted, wanted)
    assert copied == [[mask, mask] for mask in wanted]
    assert (hashes, reprs) == (list(map(hash, wanted)), list(map(repr, wanted)))
    assert saved == list(map(pickle.dumps, wanted))
    assert keeps == [mask.to_numpy().tobytes() for mask in wanted]
    assert applied == [mask.apply(np.ones(mask.shape)).tobytes() for mask in wanted]
    for mask, values in zip(wanted, told, strict=True):
        assert list(map(bits, values)) == [bits(getattr(mask, name)) for name in TOLD]


def test_masks_of_other_probabilities_are_unequal(mode):
    for name in ("p", "keep_prob"):
        different = [fastdrop.Mask(3, **{name: p}, seed=0) for p in (0.0, *TINY)]
        with flushing(mode):
            equal = [one == other for one in different for other in different]
            count = len({*different})
        assert (sum(equal), count) == (len(different), len(different))
    evaluated = [fastdrop.dropout(np.ones(3), keep_prob=p, inverted=False, training=False)[1] for p in TINY]
    with flushing(mode):
        assert sum(one == other for one in evaluated for other in evaluated) == len(TINY)


def test_negative_numbers_are_refused(mode):
    with flushing(mode):
        for p in (-5e-324, -TINY[-1], np.array([0.5, -5e-324]), np.array(-5e-324), np.longdouble("-1e-4000")):
            with pytest.raises(ValueError, match="p must be from 0 to 1"):
                fastdrop.Mask(3, p, seed=0)
            with pytest.raises(ValueError, match="p must be from 0 to 1"):
                fastdrop.dropout(np.ones(3), p, rng=fastdrop.MaskGenerator(0))
        assert math.copysign(1, fastdrop.Mask(3, -0.0, seed=0).p) == 1


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("p", TINY[::2])
def test_layers_keep_p(mode, name, p):
    kind = LAYERS[name]

    def results():
        layer = kind.make(0.5, 3)
        layer.p = p
        y = layer(np.ones(kind.shape, np.float32))
        other = kind.make(0.5, 9)
        other.load_state_dict(layer.state_dict())
        again = pickle.loads(pickle.dumps(layer))
        return layer.p, y, layer.backward(y), repr(layer), other.p, repr(other), again.p

    assert same_while_flushing(mode, results)[0] == p


@pytest.mark.parametrize("p", TINY[::2])
def test_layers_keep_keep_prob(mode, p):
    def results():
        layer = fastdrop.Dropout(keep_prob=p, rng=0)
        other, again = fastdrop.Dropout(rng=0), pickle.loads(pickle.dumps(layer))
        other.load_state_dict(layer.state_dict())
        for each in (layer, other, again):
            yield from (each.keep_prob, each.p, repr(each), each(np.ones(70)))

    assert same_while_flushing(mode, lambda: list(results()))[0] == p


def test_a_state_of_another_p_is_refused(mode):
    """5e-324 is not what 1 - keep_prob is, 0.0."""
    drop = fastdrop.Dropout(keep_prob=1.0, rng=0)
    state = drop.state_dict() | {"p": 5e-324}
    with flushing(mode), pytest.raises(ValueError, match=r"state\['p'\] must be 1 - state\['keep_prob'\]"):
        drop.load_state_dict(state)


@pytest.mark.parametrize("p", TINY)
def test_noise_and_schedules_keep_p(mode, p):
    def results():
        noise = fastdrop.GaussianNoise((2, 8), p, seed=1)
        yield from (noise.p, noise.standard_deviation, noise.to_numpy(), repr(noise), noise[1].p)
        yield pickle.loads(pickle.dumps(noise)).standard_deviation
        yield from (fastdrop.LinearSchedule(p, 0.0, 8)(step) for step in range(9))
        yield from (fastdrop.LinearSchedule(0.0, p, 8)(step) for step in range(9))
        yield from (fastdrop.CurriculumSchedule(p, 0.5)(step) for step in range(9))
        yield from (fastdrop.CurriculumSchedule(0.5, p)(step) for step in (0, 1, 2**62))
        yield fastdrop.drop_block(np.ones((2, 3, 9, 9), np.float32), p, block_size=3, rng=0)[0]
        yield fastdrop.alpha_dropout(np.ones(70), p, rng=0)[1].scale

    wanted = same_while_flushing(mode, lambda: list(results()))
    assert wanted[0] == p


def test_rows_are_the_same(mode):
    x = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    rates = [*TINY[:2], np.array(TINY).reshape(5, 1)]

    def results():
        for p in rates:
            for mask in (fastdrop.Mask((5, 8), keep_prob=p, seed=1), fastdrop.Mask((5, 8), p, seed=1)):
                yield fastdrop.bias_dropout_add(x, mask=mask)[0]
                yield fastdrop.dropout_add_layer_norm(x, mask=mask, residual=x)[0]
                yield fastdrop.softmax_dropout(x, mask=mask)[0]
            yield fastdrop.bias_dropout_add(x, p=p, rng=fastdrop.MaskGenerator(1))[0]
            yield fastdrop.softmax_dropout(x, p=p, rng=fastdrop.MaskGenerator(1))[0]

    same_while_flushing(mode, lambda: list(results()))


def test_the_environment_comes_back(mode):
    """Also after an exception, and to a caller who has set nothing."""
    for bits_set in (0, mode):
        with flushing(bits_set):  # which looks itself
            fastdrop.Mask(3, 5e-324, seed=0)
        with flushing(bits_set), pytest.raises(ZeroDivisionError):
            _core.with_subnormals(lambda: 1 / 0)
    with flushing(mode), pytest.raises(TypeError, match="takes a function"):
        _core.with_subnormals()
