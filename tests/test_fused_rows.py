# SPDX-License-Identifier: BSD-3-Clause
"""Operations on rows have the reference's bits: every choice of operands, size, p, generator and dtype."""

import functools
import itertools
import math

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES
from fastdrop import reference
from operations import PROBABILITIES, SEED, STREAM, twins
from row_operations import ROW_OPERATIONS, check, every_dtype, every_row_operation


@functools.cache
def decisions(shape, p, generator):
    """The reference's, in which most of its time goes."""
    slow = twins(shape, p, generator=generator)[1]
    return slow.to_numpy(), slow.scale


@functools.cache
def expected(name, dtype, shape, choice, p=0.3, generator="ars4x32-7", special=False):
    """Inputs and outputs, once for all ISAs."""
    operation = ROW_OPERATIONS[name]
    inputs = operation.inputs(shape, dtype, choice, special)
    return inputs, operation.judged(*decisions(shape, p, generator), inputs, choice)


def test_every_row_operation_has_a_reference_and_the_reference_no_other():
    assert list(ROW_OPERATIONS) == list(reference.ROW_OPERATIONS)


def test_the_choices_are_what_they_are_meant_to_be():
    """A test of the test."""
    counts = [len(list(operation.choices())) for operation in ROW_OPERATIONS.values()]
    # bias and residual by five activations; without one x and bias in any choice, with one x, and y alone.
    assert counts[:6] == [4 * 5, 4 + 4 * 2 + 1, 16, 4, 8, 4]
    # With and without a mask, by three numbers of elements that a first row sees.
    assert counts[6:] == [2 * 3, 1, 2 * 3, 1, 1, 1]


# Rows in whole and in part strips of every ISA, and two tasks with sums.
SHAPE = (67, 133)


@every_dtype
@every_row_operation
def test_every_choice_of_operands(isa, name, dtype):
    mask, _ = twins(SHAPE, 0.3)
    for choice in ROW_OPERATIONS[name].choices():
        inputs, wanted = expected(name, dtype, SHAPE, choice)
        before = [None if x is None else x.tobytes() for x in inputs]
        check(ROW_OPERATIONS[name].call(mask, inputs, choice), wanted, choice)
        assert [None if x is None else x.tobytes() for x in inputs] == before


@every_dtype
@every_row_operation
def test_every_choice_of_outputs(isa, name, dtype):
    """One that is not wanted is None; the others do not change. h is not wanted only where it is x."""
    operation, (mask, _) = ROW_OPERATIONS[name], twins(SHAPE, 0.3)
    names = [operand.name for operand in operation.info.outputs]
    optional = [] if "h" in names else operation.optional_outputs()
    for choice in operation.whole_choices():
        inputs, wanted = expected(name, dtype, SHAPE, choice)
        for bits in itertools.product((True, False), repeat=len(optional)):
            unwanted = dict.fromkeys(itertools.compress(optional, bits), False)
            results = operation.call(mask, inputs, choice, unwanted)
            check(results, wanted, (choice, unwanted), [names.index(each) for each in unwanted])
            assert [result is None for result in results] == [each in unwanted for each in names]


@every_dtype
@pytest.mark.parametrize("name", [name for name in ROW_OPERATIONS if name.endswith("norm")])
def test_a_norm_alone_has_no_h(isa, name, dtype):
    """The same bits as if h had been made, and x in its place when y is written over x."""
    operation, mask = ROW_OPERATIONS[name], fastdrop.Mask(SHAPE, 0.0, seed=0)
    for choice in operation.choices():
        if choice.inputs & {"residual", "x_bias"}:
            continue
        inputs, wanted = expected(name, dtype, SHAPE, choice, 0.0)
        check(operation.call(mask, inputs, choice, {"h": False}), wanted, choice, [1])
        x = inputs[0].copy()
        check(operation.call(mask, [x, *inputs[1:]], choice, {"y": x, "h": False}), wanted, choice, [1])


# --- Sizes ------------------------------------------------------------------------------------------------

# Parts and multiples of a register, of 32 partial sums, and of a strip; more bits than are drawn at once.
COLUMNS = [1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 70_000]
# Blocks of 64 rows, and their tree over more blocks than tasks; three nodes that a last task leaves.
ROWS = [0, 1, 2, 63, 64, 65, 127, 128, 129, 64 * 33 + 1, 64 * 70 - 1]
SIZES = [(3, columns) for columns in COLUMNS] + [(rows, 19) for rows in ROWS]
SIZES += [(65, 257), (0, 0), (3, 0), (1, 1), (64 * 33 + 1, 1), (64 * 167 - 5, 3)]
# Any number of axes.
SIZES += [(1,), (300,), (0,), (2, 3, 40), (2, 0, 5), (2, 3, 4, 33), (1, 1, 1, 5), (5, 1, 7, 1)]


@every_dtype
@every_row_operation
def test_every_size(isa, name, dtype):
    operation = ROW_OPERATIONS[name]
    choices = itertools.cycle(operation.whole_choices())
    for shape in SIZES:
        choice = next(choices)
        inputs, wanted = expected(name, dtype, shape, choice)
        mask = fastdrop.Mask(shape, 0.3, seed=SEED, stream=STREAM)
        check(operation.call(mask, inputs, choice), wanted, (shape, str(choice)))


@every_dtype
@every_row_operation
def test_every_activation_in_rows_of_many_lengths(isa, name, dtype):
    operation = ROW_OPERATIONS[name]
    for columns in (5, 16, 130, 311):
        shape = (3, columns)
        mask, _ = twins(shape, 0.3)
        for choice in operation.whole_choices():
            inputs, wanted = expected(name, dtype, shape, choice)
            check(operation.call(mask, inputs, choice), wanted, (shape, str(choice)))


# --- Masks of one p -----------------------------------------------------------------------------------------


@every_row_operation
def test_every_p_and_generator(isa, generator, name):
    operation, shape = ROW_OPERATIONS[name], (33, 77)
    for p, dtype in itertools.product(PROBABILITIES, DTYPES[1:3]):
        mask, _ = twins(shape, p, generator=generator)
        for choice in itertools.islice(operation.whole_choices(), 2):
            inputs, wanted = expected(name, dtype, shape, choice, p, generator)
            check(operation.call(mask, inputs, choice), wanted, (p, dtype, str(choice)))


# --- Special values ---------------------------------------------------------------------------------------


@every_dtype
@every_row_operation
def test_special_values_in_every_operand(isa, name, dtype):
    """NaN, infinity, zeros of both signs, subnormals, and what overflows, kept and dropped."""
    operation = ROW_OPERATIONS[name]
    for shape, p in (((9, 84), 0.3), ((70, 41), 0.0), ((3, 35), 1.0)):
        mask, _ = twins(shape, p)
        for choice in operation.choices():
            inputs, wanted = expected(name, dtype, shape, choice, p, special=True)
            check(operation.call(mask, inputs, choice), wanted, (p, str(choice)))


@every_dtype
@every_row_operation
def test_rows_without_nan_stay_apart_from_those_with_special_values(isa, name, dtype):
    """Most rows above are all NaN behind a norm: here one value of a row is special."""
    operation, rows = ROW_OPERATIONS[name], 40
    shape = (rows, 37)
    mask, slow = twins(shape, 0.3)
    (choice, *_) = operation.whole_choices()
    inputs = operation.inputs(shape, dtype, choice)
    for x in inputs:
        if x is not None and x.shape == shape:
            x[np.arange(rows), np.arange(rows) % 37] = operation.inputs((rows,), dtype, choice, True)[0]
    wanted = operation.reference(slow, inputs, choice)
    check(operation.call(mask, inputs, choice), wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_row_operation
def test_absent_operands_keep_the_sign_of_zero(isa, name, dtype):
    """An absent addend is -0.0: zeros of both signs come out as they went in, where the formula lets them."""
    operation = ROW_OPERATIONS[name]
    for shape, p in itertools.product([(5, 70), (5, 128)], [0.0, 0.3]):
        mask, slow = twins(shape, p)
        for choice in operation.choices():
            inputs = operation.inputs(shape, dtype, choice)
            zeros = [None if x is None else np.copysign(x.dtype.type(0), x) for x in inputs]
            for x in zeros:
                if x is not None and x.shape == shape:
                    x[0] = -0.0  # whose sum is +0.0, where sums begin
            check(operation.call(mask, zeros, choice), operation.reference(slow, zeros, choice), str(choice))


@pytest.mark.parametrize("eps", [0.0, -1.0, 1e-300, 1e300, math.inf, math.nan])
@pytest.mark.parametrize("name", [name for name in ROW_OPERATIONS if name.endswith("norm")])
def test_every_eps_does_what_the_formula_says(isa, name, eps):
    """The core computes; Python refuses."""
    operation, (mask, slow) = ROW_OPERATIONS[name], twins((5, 33), 0.3)
    (choice, *_) = operation.choices()
    for dtype in DTYPES:
        inputs = operation.inputs((5, 33), dtype, choice)
        inputs[0][:2], inputs[1][:2] = 0, 3  # a row of one value
        results = fastdrop._core.run(
            name, mask._state, *inputs, *[None] * len(operation.info.outputs), mask._scale, eps
        )
        function = reference.ROW_OPERATIONS[name]
        check(results, function(slow.to_numpy(), *inputs, slow.scale, eps), dtype)
