# SPDX-License-Identifier: BSD-3-Clause
"""Arrays in every layout, byte order and subclass give the bytes of a plain copy; nothing else is written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices
from numpy.lib.stride_tricks import as_strided

import fastdrop
from arrays import ALL_LAYOUTS, DTYPES, memory, read_only, same_bytes, special_values
from fastdrop import reference
from operations import OPERATIONS, WITH_INPUTS, every_dtype, twins

SHAPE = (6, 10)
PROBABILITIES = [0.0, 0.3, 1.0]  # copied, scaled, and zeroed


def writeable(layout):
    return layout(np.zeros(SHAPE)).flags.writeable


OUT_LAYOUTS = {name: layout for name, layout in ALL_LAYOUTS.items() if writeable(layout)}


@pytest.fixture(params=ALL_LAYOUTS)
def layout(request):
    return ALL_LAYOUTS[request.param]


def holds(out, filler, layout, y):
    """Whether `out` holds y, and around it nothing has changed."""
    twin = layout(filler)
    np.asarray(twin)[...] = y
    return memory(out) == memory(twin)


@pytest.mark.parametrize(("name", "dtype"), every_dtype(WITH_INPUTS))
def test_every_layout_gives_the_bytes_of_a_plain_copy(layout, name, dtype):
    """Every full input lies so; the others are rows and columns."""
    operation, filler = OPERATIONS[name], np.full(SHAPE, 7, dtype)
    for p in PROBABILITIES:
        mask, slow = twins(SHAPE, p)
        plain = operation.inputs(SHAPE, dtype)
        inputs = [layout(x) if x.shape == SHAPE else x for x in plain]
        x, y, before = inputs[0], operation.reference(slow, plain), [memory(x) for x in inputs]
        assert same_bytes(operation.call(mask, inputs), y), p
        for out_name, out_layout in OUT_LAYOUTS.items():
            out = out_layout(filler)
            assert operation.call(mask, inputs, out) is out
            assert holds(out, filler, out_layout, y), (p, out_name)
        assert [memory(x) for x in inputs] == before, p
        if x.flags.writeable:
            assert operation.call(mask, inputs, x) is x
            assert holds(x, plain[0], layout, y), p


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_and_layers_take_every_layout(layout, dtype):
    plain, filler = special_values(SHAPE, dtype), np.full(SHAPE, 7, dtype)
    x = layout(plain)
    y, mask = fastdrop.dropout(x, 0.4, rng=9)
    wanted, slow = reference.dropout(plain, 0.4, rng=9)
    assert same_bytes(y, wanted)
    assert same_bytes(mask.to_numpy(), slow.to_numpy())
    assert same_bytes(fastdrop.dropout_backward(x, mask), y)
    drop = fastdrop.Dropout(0.4, rng=9)
    assert same_bytes(drop(x), y)
    assert same_bytes(drop.backward(x), y)
    for call in (
        lambda out: fastdrop.dropout(x, training=False, out=out)[0],
        lambda out: fastdrop.Dropout(0.4).eval()(x, out=out),
    ):
        assert call(None) is x
        if x.flags.writeable:
            out = layout(filler)
            assert call(out) is out
            assert holds(out, filler, layout, plain)


@given(array_shapes(min_dims=1, max_dims=4, max_side=7), st.data())
def test_any_view_is_written_in_place_and_out_of_place(shape, data):
    index = data.draw(basic_indices(shape, allow_ellipsis=False, allow_newaxis=True, max_dims=6))
    index = (*index, ...) if isinstance(index, tuple) else (index, ...)  # so that a single element is a view
    buffer, other = special_values(shape, np.float32), np.full(shape, 7, np.float32, order="F")
    mask, slow = twins(buffer[index].shape)
    y = slow.apply(buffer[index])
    for array, order in ((other, "F"), (buffer, "C")):
        twin = array.copy(order)
        twin[index] = y
        mask.apply(buffer[index], out=array[index])
        assert array.tobytes() == twin.tobytes()


def test_arrays_are_in_place_when_only_unused_strides_differ():
    """The stride of an axis of length 1 says nothing."""
    buffer = special_values(SHAPE, np.float32)
    x, out = buffer[:1, ::2], buffer[0, ::2][np.newaxis]
    assert x.strides != out.strides
    mask, slow = twins(x.shape)
    y = slow.apply(x)
    mask.apply(x, out=out)
    assert buffer[:1, ::2].tobytes() == y.tobytes()


BETWEEN = [(np.s_[::2], np.s_[1::2]), (np.s_[:, ::2], np.s_[:, 1::2]), (np.s_[::2, ::2], np.s_[::-2, ::-2])]


@pytest.mark.parametrize(("of_x", "of_out"), BETWEEN, ids=str)
def test_out_may_lie_between_the_elements_of_x(of_x, of_out):
    """Two views of one buffer, that share no element."""
    buffer = special_values(SHAPE, np.float32)
    twin = buffer.copy()
    mask, slow = twins(buffer[of_x].shape)
    twin[of_out] = slow.apply(twin[of_x])
    mask.apply(buffer[of_x], out=buffer[of_out])
    assert buffer.tobytes() == twin.tobytes()


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 5), (1,), (1, 1, 3), (1,) * 32], ids=str)
def test_every_number_of_axes_gives_what_the_reference_gives(shape, p):
    x = np.full(shape, 1.75, np.float32)
    mask, slow = twins(shape, p)
    assert same_bytes(mask.apply(x), slow.apply(x))
    assert same_bytes(mask.to_numpy(), np.asarray(slow.to_numpy()))
    assert mask.apply(x, out=x) is x
    assert (mask.shape, mask.ndim, mask.size) == (shape, len(shape), x.size)


def test_as_many_axes_as_numpy_has_are_allowed():
    ndim = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
    shape = (2,) * 10 + (1,) * (ndim - 10)
    x = special_values(shape, np.float32).transpose(tuple(range(ndim))[::-1])
    mask = fastdrop.Mask(x.shape, 0.3, seed=1)
    y = mask.apply(np.ascontiguousarray(x))
    assert y.tobytes() == fastdrop.Mask(x.size, 0.3, seed=1).apply(x.ravel()).tobytes()
    assert same_bytes(mask.apply(x), y)


def test_out_without_elements_may_have_any_strides():
    out = as_strided(np.zeros(1, np.float32), (0, 3), (4, 0))
    x = np.zeros((0, 3), ">f4")  # not one that the core takes as it lies
    assert fastdrop.Mask((0, 3)).apply(x, out=out) is out


STRIDE_ZERO = {
    "one element": as_strided(np.array([1.5, np.nan], np.float32), SHAPE, (0, 0)),
    "one row": np.broadcast_to(np.arange(10.0), SHAPE),
    "one column": np.broadcast_to(np.arange(6, dtype=">f4")[:, np.newaxis], SHAPE),
}


@pytest.mark.parametrize("x", STRIDE_ZERO.values(), ids=STRIDE_ZERO)
def test_an_input_may_have_strides_of_zero(x):
    mask, slow = twins(SHAPE)
    assert same_bytes(mask.apply(x), slow.apply(x.astype(x.dtype.newbyteorder("="))))


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_input_may_be_read_only(order):
    x = read_only(special_values(SHAPE, np.float64).copy(order))
    mask, slow = twins(SHAPE)
    assert same_bytes(mask.apply(x), slow.apply(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(64, 1024), (1023, 65), (16, 16), (15, 17), (3, 4), (8, 512), (200, 300)])
def test_transposed_arrays_give_the_bytes_of_plain_ones(isa, shape, dtype):
    """The layouts that go by squares in registers, and their edges."""
    mask = fastdrop.Mask(shape, 0.3, seed=1)
    for operation in WITH_INPUTS.values():
        plain = operation.inputs(shape, dtype)
        fortran = [x.copy(order="F") for x in plain]
        y = operation.call(mask, plain)
        assert same_bytes(operation.call(mask, fortran), y), operation.name
        for inputs, out in ((plain, np.zeros(shape, dtype, order="F")), (fortran, fortran[0])):
            operation.call(mask, inputs, out)
            assert same_bytes(out, y), operation.name
