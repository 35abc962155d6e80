# SPDX-License-Identifier: BSD-3-Clause
"""Random layouts of memory: the bits of a plain copy, nothing written beside `out`, the input untouched."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from arrays import same_bytes
from layouts import GUARD, Layout, layouts
from operations import OPERATIONS, WITH_INPUTS, twins, twins_of_a_form
from windows import windows

DTYPES = [np.float32, np.float64]
PROBABILITIES = [0.0, 0.3, 1.0]


SMALL = array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6)
# Several boxes along one axis and another, and rows that are worked on without a buffer.
SHAPES = [(9000,), (70_000,), (130, 140), (40, 600), (600, 40), (3, 5000), (5000, 3), (17, 33, 65)]
SHAPES += [(2, 5, 2000), (20, 1, 30, 40), (3, 4, 5, 6, 70)]
LARGE, NAMES = st.sampled_from(SHAPES), st.sampled_from(list(WITH_INPUTS))
FORMS = [
    (name, form) for name, operation in WITH_INPUTS.items() for form in operation.forms if form != "drawn"
]


def check(call, wanted, x_layout, out_layout, plain):
    """Out of place, into a new array and in place; `wanted` is the function of a plain array."""
    x, x_buffer = x_layout.empty(plain.shape, 0xA5)
    has_zeros = any(length > 1 and stride == 0 for length, stride in zip(x.shape, x.strides, strict=True))
    x[...] = plain
    x_before = x_buffer.tobytes()
    x_buffer.flags.writeable = False
    out, buffer = out_layout.empty(plain.shape, 0x5A)
    twin, twin_buffer = out_layout.empty(plain.shape, 0x5A)
    y = wanted(x.astype(plain.dtype, order="C"))
    twin[...] = y
    assert call(x, out) is out
    assert buffer.tobytes() == twin_buffer.tobytes()
    assert same_bytes(call(x, None), y)
    assert x_buffer.tobytes() == x_before
    if has_zeros:
        return
    x_buffer.flags.writeable = True
    twin, twin_buffer = x_layout.empty(plain.shape, 0xA5)
    twin[...] = y
    assert call(x, x) is x
    assert x_buffer.tobytes() == twin_buffer.tobytes()


def on(operation, mask, others):
    """The operation on that mask, as a function of its first input and out."""
    return lambda x, out=None: operation.call(mask, [x, *others], out)


@settings(max_examples=max(400, settings.default.max_examples))
@given(SMALL, NAMES, st.sampled_from(DTYPES), st.sampled_from(PROBABILITIES), st.data())
def test_any_layout_of_a_small_array_gives_what_the_reference_gives(shape, name, dtype, p, data):
    operation = OPERATIONS[name]
    assume(shape or not operation.needs_an_axis)
    whole, index = data.draw(windows(shape))
    x_layout = data.draw(layouts(len(shape), dtype, zero=True))
    out_layout = data.draw(layouts(len(shape), dtype))
    mask, slow = (twin[index] for twin in twins(whole, p))
    assert mask.shape == shape
    plain, *others = operation.inputs(shape, dtype)

    def wanted(x):
        return operation.reference(slow, [x, *others])

    check(on(operation, mask, others), wanted, x_layout, out_layout, plain)


@settings(max_examples=max(200, settings.default.max_examples))
@given(LARGE, NAMES, st.sampled_from(DTYPES), st.sampled_from(PROBABILITIES), st.data())
def test_any_layout_of_a_large_array_gives_what_a_plain_copy_gives(shape, name, dtype, p, data):
    operation = OPERATIONS[name]
    whole, index = data.draw(windows(shape))
    x_layout = data.draw(layouts(len(shape), dtype, zero=True))
    out_layout = data.draw(layouts(len(shape), dtype))
    plain, *others = operation.inputs(shape, dtype)
    call = on(operation, twins(whole, p)[0][index], others)
    check(call, call, x_layout, out_layout, plain)


@settings(max_examples=max(200, settings.default.max_examples))
@given(LARGE, st.sampled_from(DTYPES), st.sampled_from(FORMS), st.data())
def test_what_is_shared_stored_or_varies_goes_along_with_the_elements(shape, dtype, operation_and_form, data):
    name, form = operation_and_form
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1)))
    x_layout = data.draw(layouts(len(shape), dtype, zero=True))
    out_layout = data.draw(layouts(len(shape), dtype))
    plain, *others = OPERATIONS[name].inputs(shape, dtype)
    call = on(OPERATIONS[name], twins_of_a_form(form, shape, 0.3, axes)[0], others)
    check(call, call, x_layout, out_layout, plain)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_layout_of_this_file_is_what_it_says(dtype):
    """A test of the test: gaps, signs and offsets end up in the strides and addresses."""
    view, buffer = Layout(np.dtype(dtype), (0, 1), (1, -1), (True, False), 5).empty((3, 2), 1)
    size = np.dtype(dtype).itemsize
    assert view.strides == (-size - 1, 0)
    assert view[2, 0].tobytes() == buffer[GUARD + 5 :][:size].tobytes()
