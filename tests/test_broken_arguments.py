# SPDX-License-Identifier: BSD-3-Clause
"""Objects of others whose methods raise or lie, and numbers that no memory is enough for.

A refusal names the argument, and the exception that a method raised is its cause.
"""

import copy
import fractions
import itertools
import json
import math
import numbers

import numpy as np
import pytest

import fastdrop
from kind_definitions import LAYERS, P
from refusal import refuse

X = np.ones((3, 4), np.float32)
MASK = fastdrop.Mask((3, 4), 0.5, seed=0)


class BrokenError(Exception):
    pass


def broken(*methods, error=BrokenError, base=object):
    """An object of which these methods raise."""

    def fail(self, *arguments, **keywords):
        raise error("it is broken")

    return type("Broken", (base,), dict.fromkeys(methods, fail) | {"__slots__": ()})


# --- Methods that raise -----------------------------------------------------------------------------

INTEGERS = {
    "shape": [fastdrop.Mask, lambda n: fastdrop.Mask((3, n)), lambda n: fastdrop.GaussianNoise(n)],
    "noise_shape": [lambda n: fastdrop.Mask((3, 4), noise_shape=(n, 1))],
    "stream": [lambda n: fastdrop.Mask(3, stream=n), lambda n: fastdrop.GaussianNoise(3, stream=n)],
    "a word of key": [lambda n: fastdrop.Mask(3, key=[1, n, 2, 3]), lambda n: fastdrop.Mask(3, key=4 * [n])],
    "an index": [lambda n: MASK[n], lambda n: MASK[:, n]],
    "n_children": [lambda n: fastdrop.MaskGenerator(0).spawn(n)],
    "samples": [lambda n: fastdrop.mc_dropout(lambda x, rng: x, X, n)],
    "class_axis": [lambda n: fastdrop.mc_dropout(lambda x, rng: x, X, 2, class_axis=n)],
    "block_size": [lambda n: fastdrop.drop_block(np.ones((1, 1, 9, 9)), block_size=n)],
    "channel_axis": [lambda n: fastdrop.channel_dropout(X, channel_axis=n)],
    "time_axis": [lambda n: fastdrop.locked_dropout(X, time_axis=n)],
    "steps": [lambda n: fastdrop.LinearSchedule(0.0, 0.5, n)],
    "step": [fastdrop.LinearSchedule(0.0, 0.5, 3), fastdrop.CurriculumSchedule(0.5, 0.1)],
    "features": [fastdrop.BiasDropoutAdd, fastdrop.LayerNorm],
}  # fmt: skip
every_integer = pytest.mark.parametrize(
    ("name", "call"), [(name, call) for name, calls in INTEGERS.items() for call in calls]
)


@every_integer
@pytest.mark.parametrize("error", [BrokenError, TypeError, ValueError, OverflowError])
def test_an_index_method_that_raises(name, call, error):
    with pytest.raises(TypeError) as caught:
        call(broken("__index__", error=error)())
    assert str(caught.value).startswith(f"{name} must be ")
    assert type(caught.value.__cause__) is error
    assert "it is broken" in str(caught.value.__cause__)


@every_integer
def test_what_has_no_index_method_has_no_cause(name, call):
    with pytest.raises(TypeError) as caught:
        call(1.5)
    assert str(caught.value).startswith(f"{name} must be ")
    assert caught.value.__cause__ is None


class Number(numbers.Real):
    """A number of others: as Python's own, but for what a subclass breaks."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


for _name in numbers.Real.__abstractmethods__ | {"__lt__", "__le__"}:
    setattr(Number, _name, lambda self, *others, _name=_name: getattr(self.value, _name)(*others))
Number.__abstractmethods__ = frozenset()

REALS = {
    "p": [
        lambda p: fastdrop.Mask(3, p),
        lambda p: fastdrop.dropout(X, p, rng=fastdrop.MaskGenerator(0)),
        lambda p: fastdrop.gaussian_dropout(X, p),
        lambda p: fastdrop.alpha_dropout(X, p),
        lambda p: fastdrop.Dropout(p),
        lambda p: fastdrop.bias_dropout_add(X, p=p, rng=0),
        lambda p: fastdrop.CurriculumSchedule(p, 0.1),
        lambda p: fastdrop.Mask.from_array(X > 0, p),
        lambda p: setattr(fastdrop.Dropout(), "p", p),
    ],
    "keep_prob": [lambda q: fastdrop.Mask(3, keep_prob=q), lambda q: fastdrop.Dropout(keep_prob=q)],
    "start": [lambda p: fastdrop.LinearSchedule(p, 0.5, 3)],
    "rate": [lambda rate: fastdrop.CurriculumSchedule(0.5, rate)],
    "eps": [lambda eps: fastdrop.layer_norm(X, eps=eps), lambda eps: fastdrop.RMSNorm(4, eps=eps)],
    "scale": [lambda scale: fastdrop.softmax_dropout(X, scale=scale)],
}
every_real = pytest.mark.parametrize(
    ("name", "call"), [(name, call) for name, calls in REALS.items() for call in calls]
)


@every_real
@pytest.mark.parametrize("methods", [["__float__"], ["__float__", "__lt__", "__le__", "__gt__", "__ge__"]])
def test_a_number_whose_methods_raise(name, call, methods):
    call(Number(fractions.Fraction(1, 4)))
    with pytest.raises(TypeError) as caught:
        call(broken(*methods, base=Number)(fractions.Fraction(1, 4)))
    assert str(caught.value).startswith(f"{name} must be a real number")
    assert type(caught.value.__cause__) is BrokenError


ARRAYS = {
    "x": [
        lambda x: fastdrop.dropout(x),
        lambda x: fastdrop.dropout(x, rng=fastdrop.MaskGenerator(0)),
        lambda x: fastdrop.dropout(x, training=False),
        lambda x: fastdrop.Dropout()(x),
        lambda x: MASK.apply(x),
        lambda x: fastdrop.gaussian_dropout(x),
        lambda x: fastdrop.bias_dropout_add(x),
        lambda x: fastdrop.layer_norm(x),
    ],
    "dy": [lambda dy: fastdrop.dropout_backward(dy, MASK)],
    "keep": [lambda keep: fastdrop.Mask.from_array(keep, 0.5)],
    "bias": [lambda bias: fastdrop.bias_dropout_add(X, bias)],
    "fn(x, rng)": [lambda answer: fastdrop.mc_dropout(lambda x, rng: answer, X, 2)],
    "state": [
        lambda state: fastdrop.Dropout().load_state_dict(state),
        lambda p: fastdrop.Dropout().load_state_dict(fastdrop.Dropout().state_dict() | {"p": p}),
        lambda key: setattr(fastdrop.MaskGenerator(), "state", fastdrop.MaskGenerator().state | {"key": key}),
    ],
}


@pytest.mark.parametrize(("name", "call"), [(name, call) for name, calls in ARRAYS.items() for call in calls])
@pytest.mark.parametrize("error", [BrokenError, TypeError, ValueError])
def test_an_array_method_that_raises(name, call, error):
    with pytest.raises(TypeError) as caught:
        call(broken("__array__", error=error)())
    assert str(caught.value).startswith(f"{name} must be ")
    assert type(caught.value.__cause__) is error


# --- Numbers that lie -------------------------------------------------------------------------------


def liar(base, says):
    """Numbers of a subclass that compare, and convert, as that number."""
    told = ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__float__", "__int__", "__index__")
    told += ("__neg__", "__abs__", "__bool__", "__add__", "__radd__", "__mul__", "__rsub__", "__hash__")
    told = [name for name in told if hasattr(says, name)]
    methods = {name: lambda self, *others, _name=name: getattr(says, _name)(*others) for name in told}
    return type("Liar", (base,), methods)


@every_real
@pytest.mark.parametrize("value", [7.0, -1.0, math.nan, math.inf])
def test_a_float_that_says_0_5_is_what_it_holds(name, call, value):
    said = []
    for number in (liar(float, 0.5)(value), liar(np.float64, 0.5)(value), value):
        try:
            call(number)
        except ValueError as error:
            said.append(str(error))
        else:
            said.append(None)
    assert said[0] == said[1] == said[2]
    assert said[0] is None or said[0].startswith(f"{name} must ")
    if name in ("p", "keep_prob", "start"):
        assert said[0] is not None


@every_real
def test_a_float_that_says_7_is_what_it_holds(name, call):
    call(liar(float, 7.0)(0.25))


def test_what_a_liar_holds_is_what_counts():
    for kind in (liar(float, 0.75), liar(np.float64, 0.75)):
        p = kind(0.25)
        assert fastdrop.Mask(3, p, seed=0) == fastdrop.Mask(3, 0.25, seed=0)
        assert fastdrop.Mask(3, keep_prob=p, seed=0) == fastdrop.Mask(3, keep_prob=0.25, seed=0)
        for rng in (0, fastdrop.MaskGenerator(0)):
            mask = fastdrop.dropout(X, p, rng=rng)[1]
            assert (mask.p, mask.scale, type(mask._state.p)) == (0.25, 1 / 0.75, float)
        assert type(fastdrop.Dropout(p).p) is float
        assert fastdrop.LinearSchedule(p, p, 3) == fastdrop.LinearSchedule(0.25, 0.25, 3)
    for kind in (liar(int, 0), liar(int, 2**70)):
        assert fastdrop.Mask(kind(3), seed=kind(5), stream=kind(7)) == fastdrop.Mask(3, seed=5, stream=7)
        assert fastdrop.MaskGenerator(0).spawn(kind(2))[1].key == fastdrop.MaskGenerator(0).spawn(2)[1].key
        assert fastdrop.Mask(3, kind(1), seed=0).p == 1
        refuse(lambda kind=kind: fastdrop.Mask(3, kind(7)), ValueError, "p must be from 0 to 1")
        refuse(lambda kind=kind: fastdrop.Mask(3, stream=kind(-1)), ValueError, "stream must be at least 0")
        refuse(lambda kind=kind: fastdrop.dropout(X, training=kind(2)), TypeError, "training must be True")
        assert fastdrop.dropout(X, training=kind(0))[0] is X


def test_a_number_of_others_that_lies_gives_a_probability_or_none():
    class Odd(Number):
        def __float__(self):
            return 7.0

    refuse(lambda: fastdrop.Mask(3, Odd(0.5)), ValueError, "p must be from 0 to 1")
    for value in (fractions.Fraction(2**80 + 1, 2**80), fractions.Fraction(-1, 10**400), 10**400, -(10**400)):
        refuse(lambda value=value: fastdrop.Mask(3, value), ValueError, "p must be from 0 to 1")


def test_a_name_that_lies_is_what_it_holds():
    kind = type("Liar", (str,), {"__eq__": lambda self, other: True, "__hash__": str.__hash__})
    wanted = "generator must be one of 'ars4x32-7', 'philox4x32-10', not 'x'"
    refuse(lambda: fastdrop.Mask(3, generator=kind("x")), ValueError, wanted)
    assert fastdrop.MaskGenerator(0, generator=kind("philox4x32-10")).generator == "philox4x32-10"


# --- More than there is memory for ------------------------------------------------------------------


def test_numbers_beyond_every_float_are_refused():
    for rate in (10**400, fractions.Fraction(10**400)):
        wanted = "rate must be above 0 and finite"
        refuse(lambda rate=rate: fastdrop.CurriculumSchedule(0.5, rate), ValueError, wanted)
    refuse(lambda: fastdrop.CurriculumSchedule(10**400, 0.5), ValueError, "p must be from 0 to 1")
    refuse(lambda: fastdrop.LinearSchedule(0.0, -(10**400), 3), ValueError, "end must be from 0 to 1")
    refuse(lambda: fastdrop.layer_norm(X, eps=10**400), ValueError, "eps must be above 0 and finite")
    refuse(lambda: fastdrop.softmax_dropout(X, scale=10**400), ValueError, "scale must be finite")
    assert fastdrop.CurriculumSchedule(0.5, 1.7e308)(2**63 - 1) == 0.5


@pytest.mark.parametrize("count", [2**20 + 1, 10**12, 2**62, 2**63 - 1, 2**63, 10**400])
def test_more_children_than_a_list_can_hold_are_refused(count):
    masks = fastdrop.MaskGenerator(0)
    refuse(lambda: masks.spawn(count), ValueError, "n_children must be at least 0 and less than 1048577, not")
    assert masks.state["children"] == 0


@pytest.mark.parametrize("samples", [2**32, 10**12, 2**62, 10**400])
def test_more_samples_than_anybody_can_wait_for_are_refused(samples):
    def never(x, rng):
        raise AssertionError("not to be called")

    wanted = "samples must be at least 1 and less than 4294967296, not"
    refuse(lambda: fastdrop.mc_dropout(never, X, samples), ValueError, wanted)


@pytest.mark.parametrize("many", [range(10**12), range(10**30)], ids=str)
def test_a_range_is_not_walked_to_its_end(many):
    refuse(lambda: fastdrop.Mask(many), ValueError, "shape must have at most 64 axes, not range(0, 10")
    for call in (lambda: fastdrop.Mask(3, noise_shape=many), lambda: fastdrop.Dropout(noise_shape=many)):
        refuse(call, ValueError, "noise_shape must have at most 64 axes, not range(0, 10")
    wanted = "seed must be None, a non-negative integer or a sequence of them"
    refuse(lambda: fastdrop.Mask(3, seed=many), ValueError, wanted)
    refuse(lambda: fastdrop.MaskGenerator([1, many]), TypeError, wanted)
    refuse(lambda: fastdrop.dropout(X, rng=many), ValueError, "rng must be")
    with pytest.raises(ValueError, match="key must be four 32-bit words"):
        fastdrop.Mask(3, key=many)


def test_layers_that_never_end_are_refused_at_the_first_that_is_none():
    wanted = "layers must be an iterable of layers of fastdrop, not count("
    refuse(lambda: fastdrop.LayerList(itertools.count()), TypeError, wanted)


# --- Saved states -----------------------------------------------------------------------------------

# What no option and no number of a state is, whatever else may be one.
JUNK = ["x", "", b"x", math.nan, math.inf, -math.inf, -1.5, 2**70, 10**400, [[]], [math.nan], ["a"], object()]
JUNK += [
    np.zeros(0),
    np.array([math.nan]),
    bytearray(b"1234"),
    b"1234",
    memoryview(b"1234"),
    range(4),
    3 + 1j,
]
JUNK += [np.ma.array([0.5], mask=[False]), {"a": 1}, np.array(["0.5"]), "0.5", [[0.5], [0.5, 0.5]], []]


def places(state, path=()):
    for name, value in state.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from places(value, (*path, name))


def changed(state, path, value):
    result = inner = copy.deepcopy(state)
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return result


@pytest.mark.parametrize("name", LAYERS)
def test_what_no_value_of_a_state_can_be_is_refused_and_changes_nothing(name):
    layer = LAYERS[name].make(P, 0)
    state = layer.state_dict()
    for path in places(state):
        if path == ("noise_shape",):  # [] is one: that of an array without axes
            continue
        for junk in JUNK:
            if path[0].endswith("_axis") and isinstance(junk, int):  # the array that has it may come
                continue
            with pytest.raises((TypeError, ValueError)) as caught:
                layer.load_state_dict(changed(state, path, junk))
            assert " must " in str(caught.value), (path, junk)
            assert layer.state_dict() == state, (path, junk)


def test_nor_in_a_generator_a_scheduler_or_a_list_of_layers():
    masks, drop = fastdrop.MaskGenerator(3), fastdrop.Dropout(0.25, rng=0)
    scheduler, layers = fastdrop.Scheduler([drop], lambda step: 0.25), fastdrop.LayerList([drop])
    cases = [
        (masks.state, lambda state: setattr(masks, "state", state), lambda: masks.state),
        (scheduler.state_dict(), scheduler.load_state_dict, scheduler.state_dict),
        (layers.state_dict(), layers.load_state_dict, layers.state_dict),
    ]
    for state, load, now in cases:
        for path, junk in itertools.product(places(state), JUNK):
            with pytest.raises((TypeError, ValueError), match=" must "):
                load(changed(state, path, junk))
            assert now() == state
        load(json.loads(json.dumps(state)))
        assert now() == state
