# SPDX-License-Identifier: BSD-3-Clause
"""The joint between the languages: the core's list of operations, its types, and what it refuses.

Only a fault of the Python layer could bring it what is refused here. It must not be read as memory.
"""

import pickle

import numpy as np
import pytest

import fastdrop
from fastdrop import _core, reference
from refusal import refuse

FIELDS = {
    "generator": 0,
    "key": (2**64 - 1, 7),
    "stream": 2**63 - 1,
    "p": 0.25,
    "start": 5,
    "shape": (2, 3),
    "strides": (3, -1),
    "bits": None,
}


INDICES = "start, shape and strides must stay among the indices from 0 to 2**63 - 1"


def state(**fields):
    return _core.MaskState(**{**FIELDS, **fields})


def test_every_operation_has_a_reference_and_the_reference_no_other():
    by_element = {name for name, row in _core.operations.items() if not row.whole_rows}
    assert by_element == set(reference.OPERATIONS)


@pytest.mark.parametrize("row", _core.operations.values(), ids=list(_core.operations))
def test_a_row_names_its_operands_and_constants(row):
    names = [*(operand.name for operand in (*row.inputs, *row.outputs)), *row.constants]
    assert len(set(names)) == len(names)
    assert {operand.access for operand in (*row.inputs, *row.outputs)} <= {"full", "per column", "per row"}
    assert {operand.type for operand in (*row.inputs, *row.outputs)} <= {"element", "compute"}
    assert row.draw in {"from bytes", "inline", "normals"}


# --- MaskState ------------------------------------------------------------------------------------


def test_a_state_is_its_fields():
    first, same = state(), state()
    assert {name: getattr(first, name) for name in FIELDS} == FIELDS
    assert (first == same, hash(first) == hash(same), first != same) == (True, True, False)
    assert pickle.loads(pickle.dumps(first)) == first
    assert repr(first) == f"MaskState{tuple(FIELDS.values())}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("generator", 1),
        ("key", (7, 7)),
        ("stream", 0),
        ("p", 0.5),
        ("start", 6),
        ("shape", (3, 3)),
        ("strides", None),
    ],
)
def test_states_differ_in_every_field(name, value):
    assert state(**{name: value}) != state()


def test_a_state_cannot_be_changed_or_subclassed():
    with pytest.raises(AttributeError):
        state().p = 0.5
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Own", (_core.MaskState,), {})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"generator": 3}, "no such generator"),
        ({"generator": -1}, "no such generator"),
        ({"p": 1.5}, "p must be from 0 to 1"),
        ({"p": -1.0}, "p must be from 0 to 1, or minus a probability of keeping"),
        ({"p": float("nan")}, "p must be from 0 to 1"),
        ({"p": "0.5"}, "a value must be a float or a Broadcast"),
        ({"p": (b"", 0)}, "a Broadcast must be values, a start and strides"),
        ({"p": (bytes(8), 0, (1, 0))}, "a Broadcast must have the values that its window reaches"),
        ({"p": (bytes(8), 0, (0, -1))}, "a Broadcast must have the values that its window reaches"),
        ({"p": (bytes(8), -1, (0, 0))}, "a Broadcast must have the values that its window reaches"),
        ({"p": (bytes(8), 0, (0,))}, "a Broadcast must have a stride for every axis"),
        ({"shape": [2, 3]}, "shape must be a tuple"),
        ({"shape": (2, "3")}, "shape must be a tuple of integers"),
        ({"shape": (2, -3)}, "shape must have no negative length"),
        ({"shape": (1,) * 65}, "shape must be a tuple of at most 64 lengths"),
        ({"strides": (1,)}, "strides must be None or an integer for every axis"),
        ({"strides": (2**70, 1)}, "strides must be None or an integer for every axis"),
        ({"bits": bytes(16)}, "bits must be None"),
        ({"generator": 2}, "bits must be bytes"),
        ({"generator": 2, "bits": bytes(15)}, "bits must be bytes"),
        ({"generator": 2, "bits": bytes(16), "strides": (3, -3)}, INDICES),  # below bit 0
        ({"generator": 2, "bits": bytes(16), "start": 128}, "bits must be bytes"),
        ({"generator": 2, "bits": b"", "shape": (2**32, 2**32), "strides": None}, INDICES),
        ({"strides": (3, -3)}, INDICES),
        ({"strides": (2**62, 2**62)}, INDICES),
        ({"start": 2**63}, INDICES),
        ({"stream": 2**63}, "stream must be less than 2**63"),
        ({"p": (np.array([0.5, np.nan]).tobytes(), 0, (1, 0))}, "p must be from 0 to 1"),
    ],
)
def test_a_state_refuses_what_would_be_read_as_memory(fields, message):
    refuse(lambda: state(**fields), ValueError, message)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [("key", (1,), TypeError), ("key", (-1, 0), OverflowError), ("stream", 2**64, OverflowError)],
)
def test_a_state_takes_unsigned_numbers(name, value, kind):
    with pytest.raises(kind):
        state(**{name: value})


# --- MaskSource -----------------------------------------------------------------------------------


def test_a_source_hands_out_states_in_order():
    source = _core.MaskSource(generator=1, key=(3, 4), handed_out=7)
    first, second = source.draw(0.5, (2, 3), None), source.draw(0.25, (4,), (0,))
    assert first == _core.MaskState(1, (3, 4), 7, 0.5, 0, (2, 3), None, None)
    assert second == _core.MaskState(1, (3, 4), 8, 0.25, 0, (4,), (0,), None)
    assert (source.generator, source.key, source.handed_out) == (1, (3, 4), 9)


def test_a_source_refuses_stored_masks_and_more_streams_than_there_are():
    refuse(lambda: _core.MaskSource(2, (0, 0), 0), ValueError, "no such generator")
    source = _core.MaskSource(0, (0, 0), 2**63)
    refuse(lambda: source.draw(0.5, (2,), None), ValueError, "all 2**63 streams")
    assert source.handed_out == 2**63


def test_what_a_source_refuses_takes_no_stream():
    source = _core.MaskSource(0, (0, 0), 0)
    refuse(lambda: source.draw(5.0, (2,), None), ValueError, "p must be from 0 to 1")
    assert source.handed_out == 0


# --- run and dropout ------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("dropout",), ("dropout", None), ("dropout", None, 1, 2)])
def test_run_counts_its_arguments(arguments):
    with pytest.raises(TypeError, match="wrong number of arguments"):
        _core.run(*arguments)


@pytest.mark.parametrize("name", ["scale_kept", "", 3, None])
def test_run_refuses_what_is_no_operation(name):
    refuse(lambda: _core.run(name, state(), None), ValueError, "no such operation")


@pytest.mark.parametrize("mask", [None, (), (0,) * 8, fastdrop.Mask(4, seed=0)])
def test_run_refuses_what_is_no_state(mask):
    x = np.ones(4, np.float32)
    refuse(lambda: _core.run("dropout", mask, x, x, 2.0), ValueError, "a mask must be a MaskState")
    assert (x == 1).all()


def test_run_takes_no_keyword_and_one_argument_more():
    x = np.ones((2, 3), np.float32)
    for call in (
        lambda: _core.run("dropout", state(), x, x, 2.0, 1),
        lambda: _core.run("dropout", state(), x, x, 2.0, True, True),
        lambda: _core.run("dropout", state(), x, x, scale=2.0),
    ):
        with pytest.raises(TypeError, match="wrong number of arguments"):
            call()
    assert (x == 1).all()


def test_normal_numbers_are_not_drawn_from_stored_bits():
    stored, x = state(generator=2, bits=bytes(16), strides=None), np.ones((2, 3), np.float32)
    refuse(lambda: _core.run("gaussian_dropout", stored, x, x, 2.0), ValueError, "normal numbers come from")
    assert (x == 1).all()


@pytest.mark.parametrize("limit", [0, -3, 2**31, 2**40])
def test_a_limit_of_threads_is_a_positive_int(limit):
    before = fastdrop.get_num_threads()
    refuse(lambda: _core.set_thread_limit(limit), ValueError, "a limit is at least 1")
    assert fastdrop.get_num_threads() == before


@pytest.mark.parametrize("constant", [None, "2", (b"", 0, ())])
def test_run_refuses_what_is_no_constant(constant):
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"a value must be|a Broadcast must"):
        _core.run("dropout", state(), x, x, constant)
    assert (x == 1).all()


GOOD = np.ones((2, 3), np.float32)
LARGE = np.ones((2, 6), np.float32)


@pytest.mark.parametrize(
    "given",
    [
        [[1.0] * 3] * 2,
        np.ones((2, 3), np.int32),
        np.ones((2, 3), bool),
        np.ones((3, 2), np.float32),
        GOOD.astype(">f4"),
        LARGE[:, ::2],
        GOOD.view(np.ma.MaskedArray),
        np.frombuffer(bytes(25), np.uint8)[1:].view(np.float32).reshape(2, 3),
    ],
    ids=["list", "int", "bool", "shape", "order", "strides", "subclass", "alignment"],
)
def test_run_returns_none_where_an_array_needs_attention(given):
    assert _core.run("dropout", state(), given, None, 2.0) is None
    assert _core.run("dropout", state(), GOOD, given, 2.0) is None


def test_run_returns_none_for_arrays_that_overlap_in_part_or_are_read_only():
    memory = np.ones(9, np.float32)
    assert _core.run("dropout", state(), memory[:6].reshape(2, 3), memory[3:].reshape(2, 3), 2.0) is None
    memory.flags.writeable = False
    assert _core.run("dropout", state(), GOOD, memory[:6].reshape(2, 3), 2.0) is None
    assert (memory == 1).all()


@pytest.mark.parametrize(
    "bad", [None, [[1.0] * 3] * 2, np.ones((2, 3), np.float64), np.ones((2, 2), np.float32)]
)
def test_run_refuses_checked_arrays_that_would_be_read_past_their_end(bad):
    for arrays in ((bad, GOOD), (GOOD, bad)):
        with pytest.raises(ValueError, match="must be an array of the operation's dtype and shape"):
            _core.run("dropout", state(), *arrays, 2.0, True)
    assert (GOOD == 1).all()


def test_dropout_refuses_what_has_no_source_or_is_no_class():
    x, masks = np.ones(4, np.float32), fastdrop.MaskGenerator(0)
    with pytest.raises(TypeError, match="wrong number of arguments"):
        _core.dropout(x, x, masks, 0.5, None)
    with pytest.raises(AttributeError, match="_source"):
        _core.dropout(x, x, None, 0.5, None, fastdrop.Mask)
    with pytest.raises(TypeError, match="a class is needed"):
        _core.dropout(x, x, masks, 0.5, None, None)
    for p in (0.0, 1.5, float("nan"), 1, None):
        assert _core.dropout(x, x, masks, p, None, fastdrop.Mask) is None
    assert (masks._source.handed_out, x.sum()) == (0, 4)
    with pytest.raises(AttributeError, match="_state"):
        _core.dropout(x, x, masks, 0.5, None, type(masks._source))
    for strides in ((1, 1), (), [1], (1.5,), "1"):
        with pytest.raises(ValueError, match="strides must be None or an integer for every axis"):
            _core.dropout(x, x, masks, 0.5, strides, fastdrop.Mask)
    assert x.sum() == 4
