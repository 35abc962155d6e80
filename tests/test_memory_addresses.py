# SPDX-License-Identifier: BSD-3-Clause
"""`_core.run_memory` and `_core.key_state`: operations on the memory of other libraries, by its address.

Here it is the memory of NumPy arrays, so that no other library is needed.
"""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop
from arrays import filled, memory, misaligned, same_bytes, sliced, special_values, window
from fastdrop import _core
from fastdrop._windows import c_strides
from operations import OPERATIONS, WITH_INPUTS, every_dtype, stored_twins, twins, twins_of_a_form
from windows import windows

SHAPE = (3, 17, 43)
DTYPES = {name: np.dtype(getattr(ml_dtypes, name, name)) for name in _core.elements}
ELEMENTS = {dtype: number for number, dtype in enumerate(DTYPES.values())}


def strides_of(array):
    return tuple(stride // array.itemsize for stride in array.strides)


def place(array, strides="own"):
    """The two arguments that an operand is."""
    return array.ctypes.data, strides_of(array) if strides == "own" else strides


def run(name, mask, x, out, constants, strides="own"):
    operands = *place(x, strides), *place(out, strides)
    assert _core.run_memory(name, mask._state, ELEMENTS[x.dtype], *operands, *constants) is None
    return out


def test_elements_are_named_in_the_order_of_their_numbers():
    assert list(ELEMENTS) == [np.dtype(name) for name in ("f4", "f8", "f2", ml_dtypes.bfloat16)]


# --- Layouts: the reference's bits, and nothing beside them ----------------------------------------

LAYOUTS = {
    "C order": np.copy,
    "Fortran order": lambda x: x.copy(order="F"),
    "transposed": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0),
    "reversed": lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "sliced": sliced,
    "window": window,
    "misaligned": misaligned,
    "misaligned, transposed": lambda x: misaligned(x.T).T,
}


@pytest.mark.parametrize("strides", ["own", None], ids=["strides", "contiguous"])
@pytest.mark.parametrize(("name", "dtype"), every_dtype(WITH_INPUTS))
def test_contiguous_memory_gets_the_bits_of_the_reference(isa, generator, name, dtype, strides):
    operation = OPERATIONS[name]
    (x,) = operation.inputs(SHAPE, dtype)
    for p in operation.probabilities:
        mask, slow = twins(SHAPE, p, generator=generator)
        y = operation.reference(slow, [x])
        for layout in (np.copy, misaligned):
            given, out = layout(x), layout(np.full_like(x, 7))
            assert same_bytes(np.array(run(name, mask, given, out, operation.constants, strides)), y)
            assert same_bytes(np.array(given), x)
            run(name, mask, given, given, operation.constants, strides)
            assert same_bytes(np.array(given), y)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "dtype"), every_dtype(WITH_INPUTS))
def test_every_layout_gets_the_bits_of_the_reference(isa, name, dtype, layout):
    operation = OPERATIONS[name]
    (x,) = operation.inputs(SHAPE, dtype)
    for form in operation.forms:
        mask, slow = twins_of_a_form(form, SHAPE, 0.3, axes={1})
        y = operation.reference(slow, [x])
        for from_, to in ((layout, layout), (layout, "C order"), ("C order", layout)):
            given, out = LAYOUTS[from_](x), LAYOUTS[to](np.full_like(x, 7))
            before, wanted = memory(given), LAYOUTS[to](np.full_like(x, 7))
            run(name, mask, given, out, operation.constants)
            assert memory(out) == memory(filled(wanted, y)), (form, from_, to)
            assert memory(given) == before
        run(name, mask, given := LAYOUTS[layout](x), given, operation.constants)
        assert memory(given) == memory(filled(LAYOUTS[layout](x), y)), form


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_one_operand_may_have_strides_and_the_other_none(name):
    operation, (mask, slow) = OPERATIONS[name], twins(SHAPE, 0.3)
    (x,) = operation.inputs(SHAPE, np.float32)
    y = operation.reference(slow, [x])
    turned, outs = x.copy("F"), [np.full(SHAPE, 7, np.float32, order) for order in "CF"]
    for places in ((*place(turned), *place(outs[0], None)), (*place(x, None), *place(outs[1]))):
        _core.run_memory(name, mask._state, 0, *places, *operation.constants)
    assert same_bytes(outs[0], y)
    assert same_bytes(outs[1].copy("C"), y)


@pytest.mark.parametrize("shared", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("name", WITH_INPUTS)
def test_an_input_may_have_strides_of_zero(name, shared):
    operation = OPERATIONS[name]
    few = [1 if axis in shared else length for axis, length in enumerate(SHAPE)]
    x = np.broadcast_to(special_values(few, np.float32), SHAPE)
    mask, slow = twins(SHAPE, 0.3)
    y = operation.reference(slow, [x])
    assert same_bytes(run(name, mask, x, np.full(SHAPE, 7, np.float32), operation.constants), y)


@settings(max_examples=200)
@given(st.data())
def test_windows_of_masks_in_windows_of_memory(data):
    shape = data.draw(st.lists(st.integers(0, 20), max_size=4).map(tuple))
    whole, index = data.draw(windows(shape))
    form = data.draw(st.sampled_from(["drawn", "shared", "varying", "stored"]))
    mask = twins_of_a_form(form, whole, 0.3, axes={0})[0][(*index, ...)]
    operation = OPERATIONS[data.draw(st.sampled_from(["dropout", "alpha_dropout"]))]
    dtype, order = data.draw(st.sampled_from(list(ELEMENTS))), data.draw(st.sampled_from("CF"))
    (x_whole, x_index), (y_whole, y_index) = data.draw(windows(shape)), data.draw(windows(shape))
    x, out, wanted = (np.full(some, 7, dtype, order) for some in (x_whole, y_whole, y_whole))
    part = x[(*x_index, ...)]
    if part.size:
        part[...] = special_values(shape, dtype)
    before = x.tobytes()
    wanted[(*y_index, ...)] = operation.call(mask, [part.copy("C")])
    run(operation.name, mask, part, out[(*y_index, ...)], operation.constants)
    assert out.tobytes() == wanted.tobytes()
    assert x.tobytes() == before


# --- Masks and constants ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ELEMENTS, ids=str)
def test_a_mask_is_applied_with_its_own_scale(isa, dtype):
    """The scale of a p that varies varies too."""
    x = special_values(SHAPE, dtype)
    p = np.random.default_rng(0).choice([0, 0.1, 0.5, 0.9, 1], (3, 1, 43))
    masks = [fastdrop.Mask(SHAPE, 0.1, seed=1), fastdrop.Mask(SHAPE, p, seed=1), stored_twins(SHAPE)[0]]
    masks += [
        fastdrop.Mask(SHAPE, keep_prob=p, seed=1),
        fastdrop.Mask(SHAPE, 0.1, seed=1, noise_shape=(3, 1, 43)),
    ]
    for mask in masks:
        part = mask[::-1, 2:, ::2]
        assert same_bytes(run("dropout", mask, x, np.full_like(x, 7), [mask._scale]), mask.apply(x))
        assert same_bytes(run("dropout", mask, x, np.full_like(x, 7), [mask._scale], None), mask.apply(x))
        y = run("dropout", part, x[:, 2:, ::2], np.full(part.shape, 7, dtype, order="F"), [part._scale])
        assert same_bytes(np.ascontiguousarray(y), part.apply(np.ascontiguousarray(x[:, 2:, ::2])))


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_constants_that_vary(name):
    operation = OPERATIONS[name]
    mask, x = twins(SHAPE, 0.3)[0], special_values(SHAPE, np.float32)
    for constant in range(len(operation.constants)):
        values = np.linspace(-2, 2, 1 + 43)
        constants = list(operation.constants)
        constants[constant] = (values.tobytes(), 1, (0, 0, 1))
        y = _core.run(name, mask._state, x, None, *constants)
        for column in (0, 20, 42):
            constants[constant] = values[1 + column]
            alone = _core.run(name, mask._state, x, None, *constants)
            assert same_bytes(y[..., column].copy(), alone[..., column].copy())
        constants[constant] = (values.tobytes(), 1, (0, 0, 1))
        for strides in ("own", None):
            assert same_bytes(run(name, mask, x, np.full_like(x, 7), constants, strides), y)


@pytest.mark.parametrize("shape", [(), (1, 1), (0,), (3, 0, 5), (1,) * 62 + (3, 500)], ids=len)
@pytest.mark.parametrize("name", WITH_INPUTS)
def test_any_number_of_axes(name, shape):
    """Also more of them than older versions of NumPy have."""
    operation, size = OPERATIONS[name], math.prod(shape)
    state = _core.MaskState(1, (3, 4), 5, 0.3, 0, shape, None, None)
    flat = _core.MaskState(1, (3, 4), 5, 0.3, 0, (size,), None, None)
    x = special_values(size, np.float64) if size else np.empty(0)
    y = _core.run(name, flat, x, None, *operation.constants)
    for strides in (None, c_strides(shape)):
        out = np.full(size, 7.0)
        _core.run_memory(name, state, 1, *place(x, strides), *place(out, strides), *operation.constants)
        assert same_bytes(out, y)


def test_strides_along_axes_of_length_one_say_nothing():
    """Other libraries leave any number there."""
    x, out = np.arange(1, 7, dtype=np.float32), np.zeros(12, np.float32)
    mask = fastdrop.Mask((1, 3, 1, 2), 0.5, seed=3)
    for odd in (0, 1, -1, 2**61, 2**63 - 1, -(2**63)):
        strides = (odd, 2, odd, 1)
        places = (x.ctypes.data, strides), (out.ctypes.data, (odd, 4, odd, 2))
        _core.run_memory("dropout", mask._state, 0, *places[0], *places[1], 2.0)
        assert same_bytes(out[::2].copy(), mask.apply(x.reshape(mask.shape)).reshape(-1))
        assert not out[1::2].any()
        out[:] = 0


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2**62, 4), (2**62, 2**62, 0)], ids=str)
def test_without_elements_no_memory_is_needed(shape):
    state = _core.MaskState(0, (1, 2), 0, 0.5, 0, shape, None, None)
    for strides in (None, (2**63 - 1,) * len(shape), (-(2**63),) * len(shape)):
        for address in (0, 1, 2**64 - 1):
            assert _core.run_memory("dropout", state, 1, address, strides, address, strides, 2.0) is None


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_threads_do_not_matter(isa, threads, name):
    """So many elements are worked on without the GIL."""
    shape, operation = (1024, 1300), OPERATIONS[name]
    x, mask = special_values(shape, np.float32), fastdrop.Mask((1025, 1301), 0.3, seed=1)[1:, 1:]
    y = operation.call(mask, [x])
    wide = np.full((1024, 1310), 7, np.float32)
    with threads(3):
        assert same_bytes(run(name, mask, x, np.empty_like(x), operation.constants, None), y)
        assert same_bytes(run(name, mask, x, np.empty_like(x, order="F"), operation.constants).copy("C"), y)
        assert same_bytes(run(name, mask, x, wide[:, 5:-5], operation.constants).copy(), y)
        assert (wide[:, :5] == 7).all()
        assert (wide[:, -5:] == 7).all()
        assert same_bytes(run(name, mask, x, x, operation.constants), y)


# --- Wrong calls ------------------------------------------------------------------------------------

X = np.ones((2, 3), np.float32)
AT = X.ctypes.data
STATE = fastdrop.Mask((2, 3), 0.5, seed=0)._state
STORED = stored_twins((2, 3))[0]._state
WRONG_CALLS = {
    "no arguments": ((), TypeError, "wrong number of arguments"),
    "two arguments": (("dropout", STATE), TypeError, "wrong number of arguments"),
    "no constant": (("dropout", STATE, 0, AT, None, AT, None), TypeError, "wrong number of arguments"),
    "one constant more": (("dropout", STATE, 0, AT, None, AT, None, 2.0, 2.0), TypeError, "wrong number of"),
    "no such operation": (("drop", STATE, 0, AT, None, AT, None, 2.0), ValueError, "no such operation"),
    "operation": ((None, STATE, 0, AT, None, AT, None, 2.0), ValueError, "no such operation"),
    "no inputs": (("keep_mask", STATE, 0, AT, None), ValueError, "an operation without inputs makes bytes"),
    "no mask": (("dropout", None, 0, AT, None, AT, None, 2.0), ValueError, "a mask must be a MaskState"),
    "stored normals": (
        ("gaussian_dropout", STORED, 0, AT, None, AT, None, 2.0),
        ValueError,
        "normal numbers come from a generator",
    ),
    "constant": (("dropout", STATE, 0, AT, None, AT, None, "2"), ValueError, "a value must be"),
    "short Broadcast": (
        ("dropout", STATE, 0, AT, None, AT, None, (bytes(16), 0, (0, 1))),
        ValueError,
        "a Broadcast must have the values that its window reaches",
    ),
    **{
        f"element {element}": (("dropout", STATE, element, AT, None, AT, None, 2.0), ValueError, "no such")
        for element in (-1, 4, 5, 2**32, -(2**32), 2**64, 1.0, "float32", None)
    },
    **{
        f"{end} strides {strides}": (
            ("dropout", STATE, 0, AT, *((strides, AT, None) if end == "x" else (None, AT, strides)), 2.0),
            ValueError,
            "strides must be None or an integer for every axis",
        )
        for end in "xy"
        for strides in ((), (3,), (3, 1, 1), [3, 1], (3, 1.0), (3, None), (3, 2**63), (-(2**63) - 1, 1), 3)
    },
    **{
        f"{end} at {'a float' if isinstance(address, float) else address}": (
            ("dropout", STATE, 0, *((address, None, AT) if end == "x" else (AT, None, address)), None, 2.0),
            kind,
            message,
        )
        for end in "xy"
        for address, kind, message in (
            (0, ValueError, "no memory is there"),
            (None, TypeError, "integer"),
            (float(AT), TypeError, "integer"),
            (2**64, OverflowError, "int too"),
            (-(2**63) - 1, OverflowError, "int too"),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_a_wrong_call_is_refused_and_writes_nothing(case):
    arguments, kind, message = WRONG_CALLS[case]
    with pytest.raises(kind, match=message) as caught:
        _core.run_memory(*arguments)
    assert caught.type is kind
    assert caught.value.__cause__ is None
    assert (X == 1).all()


def test_no_keywords_are_taken():
    with pytest.raises(TypeError, match="wrong number of arguments"):
        _core.run_memory("dropout", STATE, 0, AT, None, AT, None, scale=2.0)
    with pytest.raises(TypeError, match="wrong number of arguments"):
        _core.key_state(0, AT, 0.5, (2,), strides=None)
    assert (X == 1).all()


# --- Keys in memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize("strides", [None, (3, 1), (0, 1), (1, 2**61)], ids=str)
def test_a_key_is_read_from_its_address_at_the_call(generator, strides):
    rule = _core.generators.index(generator)
    places = np.zeros(4 * 4 + 1, np.uint8)
    for words in ((1, 2, 3, 4), (2**32 - 1, 0, 2**31, 5)):
        for at in (0, 1):  # aligned or not
            places[at : at + 16] = np.frombuffer(np.array(words, np.uint32).tobytes(), np.uint8)
            state = _core.key_state(rule, places.ctypes.data + at, 0.25, (2, 3), strides)
            places[:] = 0
            key = (words[0] | words[1] << 32, words[2] | words[3] << 32)
            assert state == _core.MaskState(rule, key, 0, 0.25, 0, (2, 3), strides, None)


@pytest.mark.parametrize("p", [0.0, -0.25, 1.0, (np.array([0.25, 0.75]).tobytes(), 0, (0, 1))], ids=str)
def test_the_state_of_a_key_takes_every_p(p):
    key = np.array([1, 2], np.uint64)
    assert _core.key_state(1, key.ctypes.data, p, (3, 2), None) == _core.MaskState(
        1, (1, 2), 0, p, 0, (3, 2), None, None
    )


def test_the_mask_of_a_key_in_memory_is_the_mask_of_its_words():
    words = np.array([1, 2, 3, 4], np.uint32)
    state = _core.key_state(0, words.ctypes.data, 0.5, (2, 3), None)
    assert (
        _core.run("dropout", state, X, None, 2.0).tobytes()
        == fastdrop.Mask((2, 3), 0.5, key=(1, 2, 3, 4)).apply(X).tobytes()
    )


KEY = np.arange(2, dtype=np.uint64)
WRONG_KEYS = {
    "no arguments": ((), TypeError, "wrong number of arguments"),
    "one more": ((0, KEY.ctypes.data, 0.5, (2,), None, None), TypeError, "wrong number of arguments"),
    **{
        f"generator {rule}": ((rule, KEY.ctypes.data, 0.5, (2,), None), ValueError, "no such generator")
        for rule in (-1, 2, 3, 2**32, 2**64, 0.0, "ars4x32-7", None)
    },
    "null": ((0, 0, 0.5, (2,), None), ValueError, "no memory is there"),
    "no address": ((0, None, 0.5, (2,), None), TypeError, "integer"),
    "long address": ((0, 2**64, 0.5, (2,), None), OverflowError, "int too"),
    "p": ((0, KEY.ctypes.data, 1.5, (2,), None), ValueError, "p must be from 0 to 1"),
    "p, a word": ((0, KEY.ctypes.data, "0.5", (2,), None), ValueError, "a value must be"),
    "shape": ((0, KEY.ctypes.data, 0.5, 2, None), ValueError, "shape must be a tuple"),
    "shape, negative": ((0, KEY.ctypes.data, 0.5, (-2,), None), ValueError, "shape must have no negative"),
    "strides": ((0, KEY.ctypes.data, 0.5, (2,), (1, 1)), ValueError, "strides must be None or"),
}


@pytest.mark.parametrize("case", WRONG_KEYS)
def test_a_wrong_key_is_refused(case):
    arguments, kind, message = WRONG_KEYS[case]
    with pytest.raises(kind, match=message) as caught:
        _core.key_state(*arguments)
    assert caught.type is kind
    assert caught.value.__cause__ is None
