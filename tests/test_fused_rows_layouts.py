# SPDX-License-Identifier: BSD-3-Clause
"""Operations on rows in any layout of memory: the reference's bits, and no byte beside the outputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop
from arrays import ALL_LAYOUTS, DTYPES, filled, memory, unsigned
from fastdrop import _core
from layouts import layouts
from operations import twins, twins_of_a_form
from refusal import refuse
from row_operations import ROW_OPERATIONS, check, every_dtype, every_row_operation, same_numbers

SHAPES = [(1,), (40,), (5, 33), (70, 3), (3, 4, 17), (2, 1, 3, 130), (2, 3, 1), (0, 4), (4, 0), (1, 1)]


def full(operands):
    """The places of the operands that have a value for every element."""
    return [at for at, operand in enumerate(operands) if operand.access == "full"]


def same_memory(array, buffer, wanted):
    """That the array has those numbers, and that the rest of its buffer is as it was: filled with 0x5A."""
    values = np.asarray(array).astype(wanted.dtype.newbyteorder("="), order="C")
    bits = unsigned(array.dtype)
    np.asarray(array).view(bits)[...] = np.frombuffer(b"\x5a" * bits.itemsize, bits)[0]
    return same_numbers(values, wanted) and set(buffer.tobytes()) <= {0x5A}


@settings(max_examples=max(500, settings.default.max_examples))
@given(st.sampled_from(SHAPES), st.sampled_from(list(ROW_OPERATIONS.values())), st.data())
def test_any_layout_of_every_operand(shape, operation, data):
    """Every one by itself; an output perhaps in place of a full input."""
    dtype = data.draw(st.sampled_from(DTYPES[2:]))
    choice = data.draw(st.sampled_from(list(operation.choices())))
    form = data.draw(st.sampled_from(["drawn", "varying", "stored"]))
    mask, slow = twins_of_a_form(form, shape, 0.3, {0})
    inputs, plain, buffers = [], [], []
    for x in operation.inputs(shape, dtype, choice):
        view, buffer = None, None
        if x is not None:
            view, buffer = data.draw(layouts(x.ndim, x.dtype, zero=True)).empty(x.shape, 0x5A)
            view[...] = x
        inputs.append(view)
        plain.append(None if x is None else view.astype(x.dtype, order="C"))
        buffers.append(buffer)
    wanted = operation.reference(slow, plain, choice)

    given, places = {}, {}
    names = [operand.name for operand in operation.info.outputs]
    outputs = [names[at] for at in full(operation.info.outputs) if names[at] in ("y", "h", "dx")]
    free = [at for at in full(operation.info.inputs) if inputs[at] is not None and not has_zeros(inputs[at])]
    overwritten = set()
    for name in outputs:
        way = data.draw(st.sampled_from(["new", "own", "in place"]))
        if way == "in place" and len(free) > 0:
            at = free.pop(data.draw(st.integers(0, len(free) - 1)))
            given[name], places[name] = inputs[at], buffers[at]
            overwritten.add(at)
        elif way == "new":
            given[name] = None
        elif way == "own":
            given[name], places[name] = data.draw(layouts(len(shape), dtype)).empty(shape, 0x5A)
    before = [None if buffer is None else buffer.tobytes() for buffer in buffers]
    results = operation.call(mask, inputs, choice, given)

    for at, (buffer, was) in enumerate(zip(buffers, before, strict=True)):
        assert buffer is None or at in overwritten or buffer.tobytes() == was
    for name, result, right in zip(names, results, wanted, strict=True):
        if given.get(name) is not None:
            assert result is given[name]
            assert same_memory(result, places[name], right), name
        else:
            assert same_numbers(result, right), name


def has_zeros(array):
    return any(length > 1 and stride == 0 for length, stride in zip(array.shape, array.strides, strict=True))


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
@every_dtype
@every_row_operation
def test_every_kind_of_array(name, dtype, layout):
    """Also subclasses and read-only inputs; an output is returned as the object that it is."""
    operation, lay, shape = ROW_OPERATIONS[name], ALL_LAYOUTS[layout], (5, 35)
    mask, slow = twins(shape, 0.3)
    for choice in operation.whole_choices():
        plain = operation.inputs(shape, dtype, choice)
        wanted = operation.reference(slow, plain, choice)
        inputs = [x if x is None or x.ndim == 1 else lay(x) for x in plain]
        before = [None if x is None else memory(x) for x in inputs]
        check(operation.call(mask, inputs, choice), wanted, str(choice))
        if layout != "read-only":
            first = operation.info.outputs[0].name
            out, right = lay(np.full(shape, 7, plain[0].dtype)), lay(np.full(shape, 7, plain[0].dtype))
            result, *_ = operation.call(mask, inputs, choice, {first: out})
            assert result is out
            assert memory(out) == memory(filled(right, wanted[0]))
        assert [None if x is None else memory(x) for x in inputs] == before


@every_dtype
@every_row_operation
def test_rows_with_gaps_between_them(isa, name, dtype):
    """Where the core writes itself, on every ISA: rows and pieces of them, and what lies between."""
    operation, shape = ROW_OPERATIONS[name], (67, 45)
    mask, slow = twins(shape, 0.3)
    for choice in operation.whole_choices():
        plain = operation.inputs(shape, dtype, choice)
        wanted = operation.reference(slow, plain, choice)
        inputs = [None if x is None else ALL_LAYOUTS["window"](x) if x.ndim == 2 else x for x in plain]
        frames = {name: np.full((69, 50), 7, plain[0].dtype) for name in ("y", "h", "dx", "dresidual")}
        given = {name: frame[1:68, 1:46] for name, frame in frames.items()}
        names = [operand.name for operand in operation.info.outputs]
        state, scale = mask._state, mask._scale
        outputs = [given.get(each) for each in names]
        outputs = [
            np.empty(right.shape, right.dtype) if out is None else out
            for out, right in zip(outputs, wanted, strict=True)
        ]
        constants = operation.constants(choice, scale)
        results = _core.run(name, state, *inputs, *outputs, *constants, True)
        results = results if isinstance(results, tuple) else (results,)
        check([np.array(result) for result in results], wanted, str(choice))
        for view, frame in ((given[each], frames[each]) for each in names if each in given):
            view[...] = 7
            assert (frame == 7).all()


# --- Memory that must not overlap -------------------------------------------------------------------------

SHAPE = (6, 40)


@every_row_operation
def test_an_output_that_overlaps_a_part_of_an_input_is_refused(name):
    operation, (mask, _) = ROW_OPERATIONS[name], twins(SHAPE, 0.3)
    first = operation.info.outputs[0].name
    for choice in operation.whole_choices():
        for at in full(operation.info.inputs):
            inputs = operation.inputs(SHAPE, "float32", choice)
            if inputs[at] is None:
                continue
            larger = np.ones((7, 40), np.float32)
            inputs[at] = larger[:-1]
            before = larger.tobytes()
            message = f"out must be {operation.info.inputs[at].name} itself or not overlap it"
            refuse(lambda: operation.call(mask, inputs, choice, {first: larger[1:]}), ValueError, message)  # noqa: B023
            assert larger.tobytes() == before


@every_row_operation
def test_an_output_that_overlaps_a_parameter_is_refused(name):
    operation, (mask, _) = ROW_OPERATIONS[name], twins(SHAPE, 0.3)
    first = operation.info.outputs[0].name
    choice = next(operation.choices())
    for at, operand in enumerate(operation.info.inputs):
        if operand.access == "full":
            continue
        inputs, out = operation.inputs(SHAPE, "float32", choice), np.ones(SHAPE, np.float32)
        inputs[at] = out.reshape(-1)[: inputs[at].size]
        message = f"out must not overlap {operand.name}, which is read again for every row"
        refuse(lambda: operation.call(mask, inputs, choice, {first: out}), ValueError, message)  # noqa: B023
        assert (out == 1).all()


@every_row_operation
def test_the_core_leaves_outputs_that_overlap_to_python(name):
    """Sums and statistics, too, which users of the package cannot give: not over a parameter, nor another."""
    operation, (mask, _) = ROW_OPERATIONS[name], twins(SHAPE, 0.3)
    choice = next(operation.choices())
    inputs = operation.inputs(SHAPE, "float32", choice)
    wanted = operation.call(mask, inputs, choice)
    arrays = [*inputs, *[each.copy() for each in wanted]]
    operands = [*operation.info.inputs, *operation.info.outputs]
    for at in range(len(inputs), len(arrays)):
        for other in range(at):
            if arrays[other] is None or operands[other].access != operands[at].access:
                continue
            given = list(arrays)
            given[at] = given[other].copy() if other < len(inputs) else given[other]
            if other < len(inputs):
                given[other] = given[at]
            before = given[at].tobytes()
            constants = operation.constants(choice, mask._scale)
            results = _core.run(name, mask._state, *given, *constants)
            if operands[at].access == "full" and other < len(inputs):
                results = results if isinstance(results, tuple) else (results,)
                assert same_numbers(results[at - len(inputs)], wanted[at - len(inputs)]), (at, other)
            else:
                assert results is None, (at, other)
                assert given[at].tobytes() == before


@pytest.mark.slow
@every_row_operation
def test_large_outputs_that_are_written_around_the_cache(isa, name):
    """Used memory from 32 MiB on is. At every alignment, with rows of whole and of part strips."""
    operation = ROW_OPERATIONS[name]
    shape = (2051, 4103)
    mask, choice = fastdrop.Mask(shape, 0.3, seed=0), next(operation.whole_choices())
    rows = np.s_[2000:2040]  # what is compared: rows are worked on alike
    inputs = operation.inputs(shape, "float32", choice)
    small = [x if x is None or x.shape == shape[1:] else x[rows] for x in inputs]
    right = operation.call(mask[rows], small, choice)[0]
    room = np.ones(shape[0] * shape[1] + 32, np.float32)
    for offset in (0, 1, 4):
        out = room[offset:][: shape[0] * shape[1]].reshape(shape)
        room[:offset] = room[offset + out.size :] = 1
        result, *_ = operation.call(mask, inputs, choice, {operation.info.outputs[0].name: out})
        assert result is out
        assert same_numbers(out[rows], right)
        assert (room[:offset] == 1).all()
        assert (room[offset + out.size :] == 1).all()
