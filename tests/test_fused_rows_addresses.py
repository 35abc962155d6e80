# SPDX-License-Identifier: BSD-3-Clause
"""Operations on rows by the core's own calls: memory of other libraries by its address, and wrong calls."""

import itertools

import ml_dtypes
import numpy as np
import pytest

import fastdrop
from arrays import filled, memory, window
from fastdrop import _core
from operations import stored_twins, twins, twins_of_a_form
from row_operations import NONE, RELU, ROW_OPERATIONS, Choice, check, every_dtype, every_row_operation

ELEMENTS = {np.dtype(getattr(ml_dtypes, name, name)): number for number, name in enumerate(_core.elements)}


def strides_of(array, access, rank):
    """Along the axes of the window, in elements; any number along those that are not the operand's."""
    own = iter([stride // array.itemsize for stride in array.strides])
    has_axis = {
        "full": lambda axis: True,
        "per column": lambda axis: axis == rank - 1,
        "per row": lambda axis: axis < rank - 1,
    }[access]
    return tuple(next(own) if has_axis(axis) else 10**6 for axis in range(rank))


def places(operation, arrays, rank, strides=True):
    """Two arguments for every operand; an address of 0 where there is none."""
    arguments = []
    for array, operand in zip(arrays, (*operation.info.inputs, *operation.info.outputs), strict=True):
        own = array is not None and array is not False
        arguments += [array.ctypes.data if own else 0]
        arguments += [strides_of(array, operand.access, rank) if own and strides else None]
    return arguments


def run(operation, mask, inputs, outputs, choice, strides=True):
    element = ELEMENTS[inputs[0].dtype]
    arguments = places(operation, [*inputs, *outputs], mask.ndim, strides)
    constants = operation.constants(choice, mask._scale)
    assert _core.run_memory(operation.name, mask._state, element, *arguments, *constants) is None


def empty_like(wanted):
    return [np.full(each.shape, 7, each.dtype) for each in wanted]


SHAPE = (3, 23, 43)
LAYOUTS = {
    "C order": np.copy,
    "window": window,
    "leading axes turned": lambda x: np.swapaxes(np.swapaxes(x, 0, 1).copy(), 0, 1),
    "backwards": lambda x: x[::-1].copy()[::-1],
    "with gaps": lambda x: filled(np.zeros((2 * x.shape[0], *x.shape[1:]), x.dtype)[::2], x),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@every_dtype
@every_row_operation
def test_every_layout_gets_the_bits_of_the_reference(isa, name, dtype, layout):
    operation, lay = ROW_OPERATIONS[name], LAYOUTS[layout]
    mask, slow = twins(SHAPE, 0.3)
    for choice, from_ in itertools.product(operation.whole_choices(), (lay, np.copy)):
        plain = operation.inputs(SHAPE, dtype, choice)
        wanted = operation.reference(slow, plain, choice)
        inputs = [x if x is None or x.ndim == 1 else from_(x) for x in plain]
        before = [None if x is None else memory(x) for x in inputs]
        outputs = [each if each.ndim == 1 else lay(each) for each in empty_like(wanted)]
        right = [each if each.ndim == 1 else lay(each) for each in empty_like(wanted)]
        run(operation, mask, inputs, outputs, choice)
        check([np.array(out) for out in outputs], wanted, str(choice))
        for out, same in zip(outputs, right, strict=True):
            assert memory(out) == memory(filled(same, out))
        assert [None if x is None else memory(x) for x in inputs] == before


@every_row_operation
def test_every_choice_of_operands_by_address(name):
    """Contiguous, without strides; and optional outputs of which some are not wanted."""
    operation = ROW_OPERATIONS[name]
    names = [operand.name for operand in operation.info.outputs]
    optional = [] if "h" in names else operation.optional_outputs()
    for form, strides in itertools.product(["drawn", "varying", "stored"], [True, False]):
        mask, slow = twins_of_a_form(form, SHAPE, 0.3, {1})
        for choice in operation.choices():
            inputs = operation.inputs(SHAPE, "float32", choice)
            wanted = operation.reference(slow, inputs, choice)
            for unwanted in [set(), set(optional), *({each} for each in optional)]:
                outputs = empty_like(wanted)
                given = [None if each in unwanted else out for each, out in zip(names, outputs, strict=True)]
                run(operation, mask, inputs, given, choice, strides)
                for each, out, right in zip(names, outputs, wanted, strict=True):
                    if each in unwanted:
                        assert (out == 7).all()
                    else:
                        check([out], [right], (str(choice), unwanted, each))


@every_row_operation
def test_rows_of_inputs_may_be_one_row(name):
    """Strides of 0 along the leading axes."""
    operation, (mask, slow) = ROW_OPERATIONS[name], twins(SHAPE, 0.3)
    choice = next(operation.whole_choices())
    inputs = operation.inputs(SHAPE, "float32", choice)
    repeated = [
        x if x is None or x.ndim < 3 else np.broadcast_to(x[:1, at % 2 : at % 2 + 1], SHAPE)
        for at, x in enumerate(inputs)
    ]
    wanted = operation.reference(slow, repeated, choice)
    outputs = empty_like(wanted)
    run(operation, mask, repeated, outputs, choice)
    check(outputs, wanted)


@every_row_operation
def test_an_output_may_lie_on_an_input(name):
    operation, (mask, slow) = ROW_OPERATIONS[name], twins(SHAPE, 0.3)
    choice = next(operation.whole_choices())
    for at, operand in enumerate(operation.info.inputs):
        inputs = operation.inputs(SHAPE, "float32", choice)
        if operand.access != "full" or inputs[at] is None:
            continue
        wanted = operation.reference(slow, inputs, choice)
        outputs = [inputs[at], *empty_like(wanted)[1:]]
        run(operation, mask, inputs, outputs, choice)
        check(outputs, wanted, operand.name)


# --- Wrong calls --------------------------------------------------------------------------------------------


def refused_memory(operation, mask, arguments, constants, kind, message, outputs):
    """The call raises, and no output is written to."""
    before = [out.tobytes() for out in outputs]
    with pytest.raises(kind, match=message) as caught:
        _core.run_memory(operation.name, mask._state, 0, *arguments, *constants)
    assert caught.type is kind
    assert [out.tobytes() for out in outputs] == before


@every_row_operation
def test_memory_that_rows_cannot_be_walked_in_is_refused(name):
    operation, (mask, slow) = ROW_OPERATIONS[name], twins(SHAPE, 0.3)
    choice = next(operation.choices())
    inputs = operation.inputs(SHAPE, "float32", choice)
    if name == "bias_dropout_add_backward":
        inputs[3] = None
    outputs = empty_like(operation.reference(slow, inputs, choice))
    good = places(operation, [*inputs, *outputs], 3)
    constants = operation.constants(choice, 2.0)
    operands = [*operation.info.inputs, *operation.info.outputs]
    walk = "rows must be contiguous, aligned and in native byte order"
    for at, operand in enumerate(operands):
        address, strides = good[2 * at : 2 * at + 2]
        if address == 0:
            continue
        wrong = [(address + 1, strides, walk), (address + 2, None, walk)]
        if operand.access != "per row":
            wrong += [(address, (*strides[:2], other), walk) for other in (0, 2, -1, 43)]
        if not operand.optional:
            wrong += [(0, strides, "no memory is there"), (0, None, "no memory is there")]
        wrong += [(address, other, "strides must be None or") for other in ((1,), (1, 1, 1, 1), [1, 1, 1], 1)]
        for *place, message in wrong:
            arguments = [*good[: 2 * at], *place, *good[2 * at + 2 :]]
            refused_memory(operation, mask, arguments, constants, ValueError, message, outputs)
    for count in (-1, 1):
        arguments = good[:count] if count < 0 else [*good, 1.0]
        refused_memory(operation, mask, arguments, constants, TypeError, "wrong number of", outputs)


@pytest.mark.parametrize("name", [name for name in ROW_OPERATIONS if "norm" in name])
def test_rows_without_elements_have_statistics_that_need_memory(name):
    """Of the forward pass they are NaN, which 0 / 0 is."""
    operation, mask = ROW_OPERATIONS[name], fastdrop.Mask((3, 0), 0.5, seed=0)
    choice, rows = Choice(frozenset()), np.full(3, 7, np.float32)
    operands = [*operation.info.inputs, *operation.info.outputs]
    arguments = [value for operand in operands for value in (0, None)]
    constants = operation.constants(choice, 2.0)
    refused_memory(operation, mask, arguments, constants, ValueError, "no memory is there", [rows])
    for at, operand in enumerate(operands):
        if operand.access == "per row":
            arguments[2 * at] = rows.ctypes.data
    _core.run_memory(name, mask._state, 0, *arguments, *constants)
    assert (rows == 7).all() if operation.goes_back else np.isnan(rows).all()


@every_row_operation
def test_more_rows_than_can_be_walked_are_nothing_without_elements(name):
    """An array of 2^58 rows takes no memory, and no time, but for a statistic of each."""
    operation, shape = ROW_OPERATIONS[name], (2**58, 0)
    if any(operand.access == "per row" for operand in operation.info.outputs):
        return
    state = _core.MaskState(0, (1, 2), 0, 0.5, 0, shape, None, None)
    operands = [*operation.info.inputs, *operation.info.outputs]
    somewhere = np.zeros(1, np.float32).ctypes.data
    arguments = [value for operand in operands for value in (somewhere, None)]
    _core.run_memory(name, state, 0, *arguments, *operation.constants(Choice(frozenset()), 2.0))
    x = np.empty(shape, np.float32)
    if name == "bias_dropout_add_backward":
        dx, dbias = _core.run(name, state, x, None, None, None, None, None, 2.0, 0.0)
        assert (dx.shape, dbias.shape) == (shape, (0,))


def arguments_of(operation, **changes):
    """Arguments of `_core.run` that would do, with some changed by name."""
    choice = next(operation.choices())
    inputs = operation.inputs((4, 5), "float32", choice)
    if operation.name == "bias_dropout_add_backward":
        inputs = [inputs[0], inputs[1], inputs[2], None]
    names = [operand.name for operand in (*operation.info.inputs, *operation.info.outputs)]
    values = dict(zip(names, [*inputs, *[None] * len(operation.info.outputs)], strict=True))
    values |= dict(zip(operation.info.constants, operation.constants(choice, 2.0), strict=True))
    assert set(changes) <= set(values)
    return list((values | changes).values())


STATE = fastdrop.Mask((4, 5), 0.5, seed=0)._state
PER_COLUMN = (np.arange(5.0).tobytes(), 0, (0, 1))


@every_row_operation
def test_a_call_of_the_wrong_length_is_refused(name):
    arguments = arguments_of(ROW_OPERATIONS[name])
    for wrong in ([], arguments[:-1], [*arguments, 1.0], [*arguments, True, True]):
        with pytest.raises(TypeError, match="wrong number of arguments"):
            _core.run(name, STATE, *wrong)
    with pytest.raises(ValueError, match="an operation on rows needs an axis"):
        _core.run(name, fastdrop.Mask((), 0.5, seed=0)._state, *arguments)
    assert _core.run(name, STATE, *arguments) is not None


@every_row_operation
def test_operands_that_are_needed_must_be_there(name):
    """None asks for Python's attention; with True, Python has given it, and the core refuses."""
    operation = ROW_OPERATIONS[name]
    operands = [*operation.info.inputs, *operation.info.outputs]
    for at, operand in enumerate(operands):
        is_output = at >= len(operation.info.inputs)
        missing = [False, 1.0, "x"] + ([] if is_output or operand.optional else [None])
        for value in missing[1:] if operand.optional and is_output else missing:
            arguments = arguments_of(operation, **{operand.name: value})
            assert _core.run(name, STATE, *arguments) is None, (operand.name, value)
    inputs = len(operation.info.inputs)
    arguments = arguments_of(operation)
    for at, operand in enumerate(operands):
        outputs = [np.empty(2, np.float32)] * len(operation.info.outputs)
        wrong = [*arguments[:inputs], *outputs, *arguments[len(operands) :]]
        wrong[at] = None if at < inputs and not operand.optional else np.empty((2, 2), np.float16)
        with pytest.raises(ValueError, match="must be an array of the operation's dtype and shape"):
            _core.run(name, STATE, *wrong, True)


@pytest.mark.parametrize("value", [-1.0, 5.0, 0.5, 1e300, np.inf, -np.inf, np.nan], ids=str)
@pytest.mark.parametrize("name", [name for name, each in ROW_OPERATIONS.items() if each.has_activation])
def test_an_activation_that_is_none_is_refused(name, value):
    arguments = arguments_of(ROW_OPERATIONS[name], activation=value)
    with pytest.raises(ValueError, match="no such activation"):
        _core.run(name, STATE, *arguments)


@every_row_operation
def test_only_the_scale_may_vary(name):
    operation = ROW_OPERATIONS[name]
    for constant in operation.info.constants:
        arguments = arguments_of(operation, **{constant: PER_COLUMN})
        if constant == "scale":
            assert _core.run(name, STATE, *arguments) is not None
            continue
        with pytest.raises(ValueError, match="only the scale may be a Broadcast"):
            _core.run(name, STATE, *arguments)


X, BIAS = np.ones((4, 5), np.float32), np.ones(5, np.float32)
KEEPS_ALL = fastdrop.Mask((4, 5), 0.0, seed=0)._state
# dy, x, bias, y, dx, dbias, scale, activation
NO_FORMULAS = {
    "y without relu": (X, None, None, X, None, False, 2.0, NONE),
    "y with gelu": (X, None, None, X, None, False, 2.0, 2.0),
    "y and x": (X, X, None, X, None, False, 2.0, RELU),
    "y and bias": (X, None, BIAS, X, None, False, 2.0, RELU),
    "neither y nor x": (X, None, None, None, None, False, 2.0, RELU),
    "gelu without x": (X, None, BIAS, None, None, False, 2.0, 2.0),
}


@pytest.mark.parametrize("case", NO_FORMULAS)
def test_operands_that_no_formula_has_are_refused(case):
    with pytest.raises(ValueError, match="the operation needs other operands"):
        _core.run("bias_dropout_add_backward", STATE, *NO_FORMULAS[case])


@pytest.mark.parametrize("name", [name for name in ROW_OPERATIONS if name.endswith("norm")])
def test_h_must_be_wanted_unless_it_is_x(name):
    operation = ROW_OPERATIONS[name]
    no_addends = {"residual": None, "x_bias": None}
    fine = arguments_of(operation, h=False, scale=1.0, **no_addends)
    assert _core.run(name, KEEPS_ALL, *fine)[1] is None
    stored = stored_twins((4, 5))[0]._state
    varying = fastdrop.Mask((4, 5), np.linspace(0, 1, 4)[:, np.newaxis], seed=0)._state
    wrong = [
        (KEEPS_ALL, arguments_of(operation, h=False, scale=1.0, **no_addends | {"residual": X})),
        (KEEPS_ALL, arguments_of(operation, h=False, scale=1.0, **no_addends | {"x_bias": BIAS})),
        (KEEPS_ALL, arguments_of(operation, h=False, scale=2.0, **no_addends)),
        (KEEPS_ALL, arguments_of(operation, h=False, scale=PER_COLUMN, **no_addends)),
        *((state, fine) for state in (STATE, stored, varying)),
    ]
    for state, arguments in wrong:
        with pytest.raises(ValueError, match="the operation needs other operands"):
            _core.run(name, state, *arguments)
