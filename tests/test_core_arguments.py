# SPDX-License-Identifier: BSD-3-Clause
"""What the core refuses by itself, because it would be read as memory or as a mask that is none.

Only a fault of the Python layer could bring it there.
"""

import numpy as np
import pytest

import fastdrop
from fastdrop import _core
from operations import OPERATIONS, twins
from refusal import refuse

X = np.ones(4, np.float32)
MASK = {
    "generator": 0, "key": (1, 2), "stream": 3, "p": 0.5,
    "start": 0, "shape": (4,), "strides": None, "bits": None,
}  # fmt: skip
STATE = _core.MaskState(**MASK)
SOURCE = _core.MaskSource(0, (1, 2), 0)


@pytest.fixture(autouse=True)
def untouched():
    """Nothing is written by what is refused."""
    yield
    assert (X == 1).all()


def test_a_mask_state_holds_what_it_was_made_of():
    assert {name: getattr(STATE, name) for name in MASK} == MASK
    assert _core.MaskState(**MASK) == STATE


TOO_FEW_BITS = "bits must be bytes that hold whole tiles"
WRONG_STATES = {
    "generator": ({"generator": 9}, "no such generator"),
    "negative generator": ({"generator": -1}, "no such generator"),
    "shape": ({"shape": [4]}, "shape must be a tuple of at most 64 lengths"),
    "too many axes": ({"shape": (1,) * 65}, "shape must be a tuple of at most 64 lengths"),
    "a length that is none": ({"shape": ("4",)}, "shape must be a tuple of integers"),
    "negative length": ({"shape": (-1,)}, "shape must have no negative length"),
    "too few strides": ({"strides": ()}, "strides must be None or an integer for every axis"),
    "too many strides": ({"strides": (1, 1)}, "strides must be None or an integer for every axis"),
    "p above 1": ({"p": 1.5}, "p must be from 0 to 1"),
    "p that is NaN": ({"p": float("nan")}, "p must be from 0 to 1"),
    "p of another kind": ({"p": "0.5"}, "a value must be a float or a Broadcast"),
    "half a Broadcast": ({"p": (b"",)}, "a Broadcast must be values, a start and strides"),
    "a Broadcast that is too short": ({"p": (bytes(24), 0, (1,))}, "a Broadcast must have the values"),
    "a Broadcast that starts too late": ({"p": (bytes(32), 1, (1,))}, "a Broadcast must have the values"),
    "a Broadcast that starts before": ({"p": (bytes(32), -1, (1,))}, "a Broadcast must have the values"),
    "a Broadcast that goes back": ({"p": (bytes(32), 0, (-1,))}, "a Broadcast must have the values"),
    "a Broadcast of other axes": ({"p": (bytes(32), 0, ())}, "a Broadcast must have a stride for every axis"),
    "bits of a drawn mask": ({"bits": bytes(16)}, "bits must be None"),
    "no bits": ({"generator": _core.rules.index("stored")}, TOO_FEW_BITS),
    "too few bits": ({"generator": _core.rules.index("stored"), "bits": bytes(15)}, TOO_FEW_BITS),
    "bits before the window": (
        {"generator": _core.rules.index("stored"), "bits": bytes(16), "start": 125}, TOO_FEW_BITS,
    ),
    "bits below the first": (
        {"generator": _core.rules.index("stored"), "bits": bytes(16), "strides": (-1,)}, TOO_FEW_BITS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_STATES)
def test_a_mask_state_that_is_none_is_refused(name):
    change, wanted = WRONG_STATES[name]
    refuse(lambda: _core.MaskState(**MASK | change), ValueError, wanted)


@pytest.mark.parametrize("mask", [None, (), (0, 1, 2), 0.5, fastdrop.Mask(4, seed=0), SOURCE], ids=repr)
def test_what_is_no_mask_state_is_refused(mask):
    refuse(lambda: _core.run("dropout", mask, X, X, 2.0), ValueError, "a mask must be a MaskState")


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_core_counts_the_arguments_of_every_operation(name):
    operation = OPERATIONS[name]
    mask, _ = twins(4)
    arguments = [name, mask._state, *operation.inputs((4,), operation.dtypes[-1]), None, *operation.constants]
    assert _core.run(*arguments) is not None
    for wrong in ([], arguments[:1], arguments[:-1], [*arguments, 1.0]):
        refuse(lambda wrong=wrong: _core.run(*wrong), TypeError, "wrong number of arguments")


def test_an_operation_that_is_none_is_refused():
    for name in ("dropout ", "", None, 0):
        refuse(lambda name=name: _core.run(name, STATE, X, X, 2.0), ValueError, "no such operation")


@pytest.mark.parametrize(
    "options", [{"checked": False}, {"checked": 1}, {"checked": True, "more": True}], ids=str
)
def test_a_keyword_that_is_none_is_refused(options):
    wanted = "the only keyword is checked=True"
    refuse(lambda: _core.run("dropout", STATE, X, X, 2.0, **options), TypeError, wanted)


@pytest.mark.parametrize("scale", [None, "2", (bytes(24), 0, (1,)), (bytes(32), 0)], ids=repr)
def test_a_constant_that_cannot_be_read_is_refused(scale):
    refuse(lambda: _core.run("dropout", STATE, X, X, scale), ValueError, "a ")


NOT_READABLE = {
    "list": [1.0] * 4,
    "shape": np.ones(3, np.float32),
    "axes": np.ones((2, 2), np.float32),
    "integers": np.ones(4, np.int32),
    "objects": np.ones(4, object),
}


@pytest.mark.parametrize("x", NOT_READABLE.values(), ids=NOT_READABLE)
def test_arrays_that_would_be_read_wrongly_are_refused_even_if_they_are_said_to_be_checked(x):
    """Without that, the core returns None, and Python looks again."""
    out = np.zeros(4, np.float32)
    wanted = "must be an array of the operation's dtype and shape"
    assert _core.run("dropout", STATE, x, out, 2.0) is None
    with pytest.raises(ValueError, match=wanted):
        _core.run("dropout", STATE, x, out, 2.0, checked=True)
    assert _core.run("dropout", STATE, out, x, 2.0) is None
    with pytest.raises(ValueError, match=wanted):
        _core.run("dropout", STATE, out, x, 2.0, checked=True)
    assert (out == 0).all()


def test_dropout_in_one_call_counts_its_arguments_and_wants_a_source_and_a_class():
    masks = fastdrop.MaskGenerator(0)
    for wrong in ((), (X, X, masks, 0.5), (X, X, masks, 0.5, fastdrop.Mask, 1)):
        refuse(lambda wrong=wrong: _core.dropout(*wrong), TypeError, "wrong number of arguments")
    refuse(lambda: _core.dropout(X, X, STATE, 0.5, fastdrop.Mask), AttributeError, "")
    for no_class in (None, int, STATE):  # a built-in class has no place for a mask's state
        refuse(
            lambda no_class=no_class: _core.dropout(X, X, masks, 0.5, no_class),
            TypeError,
            "a class is needed",
        )
    assert masks.mask(3).stream == 0


def test_a_source_that_is_none_is_refused():
    refuse(lambda: _core.MaskSource(9, (1, 2), 0), ValueError, "no such generator")
    refuse(lambda: _core.MaskSource(0, (1, 2), 2**63).draw(0.5, (4,), None), ValueError, "all 2**63 streams")
    refuse(lambda: SOURCE.draw(0.5, (4,)), TypeError, "draw takes p, shape and strides")
    refuse(lambda: SOURCE.draw(1.5, (4,), None), ValueError, "p must be from 0 to 1")
