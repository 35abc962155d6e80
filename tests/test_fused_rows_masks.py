# SPDX-License-Identifier: BSD-3-Clause
"""Operations on rows take every mask: windows, shared and stored decisions, p that varies, far indices."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop
from arrays import DTYPES
from conftest import GENERATORS
from fastdrop import _core, reference
from operations import SEED, STREAM, twins, twins_of_a_form
from row_operations import ROW_OPERATIONS, check, every_row_operation
from windows import windows

SHAPES = [(1,), (5,), (300,), (9, 33), (70, 5), (1, 130), (3, 4, 65), (66, 1, 19), (2, 3, 4, 17), (0, 7)]
SHAPES += [(5, 0), (4, 1), (3, 140)]
FORMS = ["drawn", "shared", "varying", "stored"]


@st.composite
def cases(draw):
    """An operation, the optional operands that are there, and a dtype."""
    operation = ROW_OPERATIONS[draw(st.sampled_from(list(ROW_OPERATIONS)))]
    return operation, draw(st.sampled_from(list(operation.choices()))), draw(st.sampled_from(DTYPES))


@settings(max_examples=max(300, settings.default.max_examples))
@given(st.sampled_from(SHAPES), st.sampled_from(FORMS), cases(), st.data())
def test_windows_of_every_form_of_mask(shape, form, case, data):
    operation, choice, dtype = case
    whole, index = data.draw(windows(shape))
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1)))
    options = {} if form == "stored" else {"generator": data.draw(st.sampled_from(GENERATORS))}
    mask, slow = (twin[index] for twin in twins_of_a_form(form, whole, 0.3, axes, **options))
    inputs = operation.inputs(shape, dtype, choice)
    with fastdrop.use_isa(data.draw(st.sampled_from(fastdrop.isas()))):
        check(operation.call(mask, inputs, choice), operation.reference(slow, inputs, choice))


# --- Long runs of elements: more than are drawn, gathered or filled at once, and cut within rows ----------

LONG = (61, 2003)


@functools.cache
def long_twins(form):
    """A mask whose first index is neither a tile's nor a byte's first one."""
    if form == "drawn, philox":
        made = twins((LONG[0] + 3, LONG[1]), 0.3, generator="philox4x32-10")
    elif form in ("rows", "columns", "elements"):
        p = {"rows": (LONG[0] + 3, 1), "columns": LONG[1:], "elements": (LONG[0] + 3, LONG[1])}[form]
        made = twins((LONG[0] + 3, LONG[1]), np.random.default_rng(1).choice([0.0, 0.2, 0.7, 1.0], p))
    else:
        axes = {"by row": {1}, "by column": {0}}.get(form, set())
        kind = {"stored": "stored", "drawn": "drawn"}.get(form, "shared")
        made = twins_of_a_form(kind, (LONG[0] + 3, LONG[1]), 0.3, axes)
    mask, slow = (twin[3:] for twin in made)
    return mask, slow.to_numpy(), slow.scale


@functools.cache
def long_case(name, form):
    operation = ROW_OPERATIONS[name]
    choice = next(operation.whole_choices())
    inputs = operation.inputs(LONG, "float32", choice)
    _, keep, scale = long_twins(form)
    return choice, inputs, operation.judged(keep, scale, inputs, choice)


LONG_FORMS = ["drawn", "drawn, philox", "stored", "by row", "by column", "rows", "columns", "elements"]


@pytest.mark.parametrize("form", LONG_FORMS)
@every_row_operation
def test_masks_of_many_rows(isa, name, form):
    choice, inputs, wanted = long_case(name, form)
    check(ROW_OPERATIONS[name].call(long_twins(form)[0], inputs, choice), wanted)


@pytest.mark.parametrize("form", LONG_FORMS)
def test_masks_of_many_elements_without_parameters(isa, form):
    """All of an array is then one row."""
    operation = ROW_OPERATIONS["bias_dropout_add"]
    mask, keep, scale = long_twins(form)
    for choice in operation.choices():
        if not choice.inputs:
            inputs = operation.inputs(LONG, "float64", choice)
            check(operation.call(mask, inputs, choice), operation.judged(keep, scale, inputs, choice))


@every_row_operation
def test_stored_bits_may_begin_anywhere(isa, name):
    operation = ROW_OPERATIONS[name]
    choice = next(operation.whole_choices())
    keep = np.random.default_rng(2).random((25, 73)) < 0.6
    twin = fastdrop.Mask.from_array(keep, 0.3), reference.Mask.from_array(keep, 0.3)
    for first in range(9):  # 73 is 1 modulo 8
        for index in (np.s_[first:], np.s_[first : first + 1], np.s_[first::2], np.s_[::-1, first:]):
            mask, slow = (each[index] for each in twin)
            inputs = operation.inputs(mask.shape, "float32", choice)
            check(operation.call(mask, inputs, choice), operation.reference(slow, inputs, choice), index)


# --- Far indices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("near", [2**32, 2**43, 2**62], ids=str)
@every_row_operation
def test_indices_far_from_the_first(isa, generator, name, near):
    operation, columns, rows = ROW_OPERATIONS[name], 77, 21
    first = near // columns - rows // 2
    choice = next(operation.whole_choices())
    options = {"seed": SEED, "stream": STREAM, "generator": generator}
    mask = fastdrop.Mask((first + rows, columns), 0.3, **options)[first:]
    slow = reference.Mask((rows, columns), 0.3, **options)
    slow.index = slow.index + np.uint64(first * columns)
    inputs = operation.inputs((rows, columns), "float32", choice)
    check(operation.call(mask, inputs, choice), operation.reference(slow, inputs, choice))


@pytest.mark.parametrize("strides", [None, (4, 1), (1, 3), (0, 0), (7, -1)], ids=str)
@every_row_operation
def test_rows_without_elements_draw_nothing(name, strides):
    operation = ROW_OPERATIONS[name]
    choice = next(operation.whole_choices())
    for shape in ((3, 0), (0, 3)):
        state = _core.MaskState(0, (1, 2), 0, 0.5, 9, shape, strides, None)
        inputs = operation.inputs(shape, "float32", choice)
        outputs = [None] * len(operation.info.outputs)
        results = _core.run(name, state, *inputs, *outputs, *operation.constants(choice, 2.0))
        results = results if isinstance(results, tuple) else (results,)
        check(results, operation.judged(np.ones(shape, bool), 2.0, inputs, choice))
