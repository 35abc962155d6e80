# SPDX-License-Identifier: BSD-3-Clause
"""Odd arguments that are right: every layout, byte order, subclass and number gives the right bytes."""

import array
import tempfile
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices
from numpy.lib.stride_tricks import as_strided

import fastdrop
from fastdrop import reference
from floats import DTYPES

SHAPE = (6, 10)
PROBABILITIES = [0.0, 0.3, 1.0]  # copied, scaled, and zeroed


def values(shape, dtype):
    """Different numbers, and among them those that a conversion or a copy might change."""
    x = (np.arange(np.prod(shape)).reshape(shape) / 7).astype(dtype)
    tiny = float(ml_dtypes.finfo(dtype).smallest_subnormal)
    x.flat[::3] = np.array([np.nan, np.inf, -np.inf, tiny, -3 * tiny, -0.0], dtype)
    return x


def masks(p, shape=SHAPE):
    """A mask, and the same one as the reference sees it."""
    return fastdrop.Mask(shape, p, seed=3, stream=5), reference.Mask(shape, p, seed=3, stream=5)


def check(result, wanted):
    """The same bytes, and exactly an ndarray of that dtype, in native byte order."""
    assert type(result) is np.ndarray
    assert (result.dtype, result.shape) == (wanted.dtype.newbyteorder("="), wanted.shape)
    assert result.tobytes() == wanted.astype(result.dtype).tobytes()


# --- Layouts --------------------------------------------------------------------------------------


class Subclass(np.ndarray):
    """Code of its own for every operation, which must not be run."""

    def __setitem__(self, index, value):
        raise AssertionError("not to be called")

    def __array_ufunc__(self, *arguments, **keywords):
        raise AssertionError("not to be called")


def filled(view, x):
    view[...] = x
    return view


def memory_mapped(x):
    with tempfile.TemporaryFile() as file:
        return filled(np.memmap(file, x.dtype, "w+", shape=x.shape), x)


# Every one makes a new array with the values of a C-contiguous one.
LAYOUTS = {
    "C order": lambda x: x.copy(),
    "Fortran order": lambda x: x.copy(order="F"),
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "reversed columns, Fortran order": lambda x: x[:, ::-1].copy(order="F")[:, ::-1],
    "every other": lambda x: filled(np.zeros((12, 20), x.dtype)[::2, 1::2], x),
    "window": lambda x: filled(np.zeros((9, 15), x.dtype)[2:8, 3:13], x),
    "one byte off": lambda x: filled(np.zeros(x.nbytes + 1, "u1")[1:].view(x.dtype).reshape(x.shape), x),
    "field": lambda x: filled(np.zeros(x.shape, [("byte", "u1"), ("value", x.dtype)])["value"], x),
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "other byte order, every other": lambda x: filled(
        np.zeros((12, 20), x.dtype.newbyteorder())[::2, 1::2], x
    ),
    "matrix": lambda x: x.copy().view(np.matrix),
    "masked": lambda x: np.ma.array(x.copy(), mask=x.astype("f8") > 1),
    "hard-masked": lambda x: np.ma.array(x.copy(), mask=x.astype("f8") > 1, hard_mask=True),
    "memory-mapped": memory_mapped,
    "subclass": lambda x: x.copy().view(Subclass),
    "subclass, Fortran order": lambda x: x.copy(order="F").view(Subclass),
}


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


def memory(view):
    """The bytes of the whole array that a view belongs to."""
    while isinstance(view.base, np.ndarray):
        view = view.base
    return view.tobytes()


def check_out(out, filler, layout, y):
    """`out` holds y, and around it nothing has changed."""
    twin = layout(filler)
    np.asarray(twin)[...] = y
    assert memory(out) == memory(twin)


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(layout, dtype, p):
    plain, filler = values(SHAPE, dtype), np.full(SHAPE, 7, dtype)
    mask, slow = masks(p)
    x, y = layout(plain), slow.apply(plain)
    before = memory(x)
    check(mask.apply(x), y)
    check(fastdrop.dropout_backward(x, mask), y)
    for out_layout in LAYOUTS.values():
        out = out_layout(filler)
        assert mask.apply(x, out=out) is out
        check_out(out, filler, out_layout, y)
    assert memory(x) == before
    assert mask.apply(x, out=x) is x
    check_out(x, plain, layout, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_and_layer(layout, dtype):
    plain, filler = values(SHAPE, dtype), np.full(SHAPE, 7, dtype)
    x = layout(plain)
    y, mask = fastdrop.dropout(x, 0.4, rng=9)
    check(y, reference.dropout(plain, 0.4, rng=9)[0])
    check(mask.to_numpy(), reference.Mask(SHAPE, 0.4, seed=9).to_numpy())
    drop = fastdrop.Dropout(0.4, rng=9)
    check(drop(x), y)
    check(drop.backward(x), y)
    for call in (
        lambda out: fastdrop.dropout(x, training=False, out=out)[0],
        lambda out: fastdrop.Dropout(0.4).eval()(x, out=out),
    ):
        assert call(None) is x
        out = layout(filler)
        assert call(out) is out
        check_out(out, filler, layout, plain)


@given(array_shapes(min_dims=1, max_dims=4, max_side=7), st.data())
def test_any_view_in_place_and_out(shape, data):
    index = data.draw(basic_indices(shape, allow_ellipsis=False, allow_newaxis=True, max_dims=6))
    index = (*index, ...) if isinstance(index, tuple) else (index, ...)  # so that a single element is a view
    buffer, other = values(shape, np.float32), np.full(shape, 7, np.float32, order="F")
    mask, slow = masks(0.3, buffer[index].shape)
    y = slow.apply(buffer[index])
    for array_, order in ((other, "F"), (buffer, "C")):
        twin = array_.copy(order)
        twin[index] = y
        mask.apply(buffer[index], out=array_[index])
        assert array_.tobytes() == twin.tobytes()


def test_in_place_when_only_unused_strides_differ():
    """The stride of an axis of length 1 says nothing."""
    buffer = values(SHAPE, np.float32)
    x, out = buffer[:1, ::2], buffer[0, ::2][np.newaxis]
    assert x.strides != out.strides
    mask, slow = masks(0.3, x.shape)
    y = slow.apply(x)
    mask.apply(x, out=out)
    assert buffer[:1, ::2].tobytes() == y.tobytes()


BETWEEN = [(np.s_[::2], np.s_[1::2]), (np.s_[:, ::2], np.s_[:, 1::2]), (np.s_[::2, ::2], np.s_[::-2, ::-2])]


@pytest.mark.parametrize(("of_x", "of_out"), BETWEEN, ids=str)
def test_out_between_the_elements_of_x(of_x, of_out):
    """Two views of one buffer, that share no element."""
    buffer = values(SHAPE, np.float32)
    twin = buffer.copy()
    mask, slow = masks(0.3, buffer[of_x].shape)
    twin[of_out] = slow.apply(twin[of_x])
    mask.apply(buffer[of_x], out=buffer[of_out])
    assert buffer.tobytes() == twin.tobytes()


# --- Inputs that are not plain arrays -------------------------------------------------------------


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 5), (1,), (1, 1, 3), (1,) * 32], ids=str)
def test_shapes(shape, p):
    x = np.full(shape, 1.75, np.float32)
    mask, slow = masks(p, shape)
    check(mask.apply(x), slow.apply(x))
    check(mask.to_numpy(), np.asarray(slow.to_numpy()))
    assert mask.apply(x, out=x) is x
    assert (mask.shape, mask.ndim, mask.size) == (shape, len(shape), x.size)


def test_out_without_elements_may_have_any_strides():
    out = as_strided(np.zeros(1, np.float32), (0, 3), (4, 0))
    x = np.zeros((0, 3), ">f4")  # not one that the core takes as it lies
    assert fastdrop.Mask((0, 3)).apply(x, out=out) is out


@pytest.mark.parametrize(
    "x",
    [
        as_strided(np.array([1.5, np.nan], np.float32), SHAPE, (0, 0)),
        np.broadcast_to(np.arange(10.0), SHAPE),
        np.broadcast_to(np.arange(6, dtype=">f4")[:, np.newaxis], SHAPE),
    ],
    ids=["one element", "one row", "one column"],
)
def test_stride_zero_input(x):
    mask, slow = masks(0.3)
    check(mask.apply(x), slow.apply(x.copy()))


@pytest.mark.parametrize("order", ["C", "F"])
def test_read_only_input(order):
    x = values(SHAPE, np.float64).copy(order)
    x.flags.writeable = False
    mask, slow = masks(0.3)
    check(mask.apply(x), slow.apply(x))


class Convertible:
    def __array__(self, dtype=None, copy=None):
        return np.array([1.5, -2.0, 3.25], np.float32)


NOT_ARRAYS = [1.5, np.float32(1.5), np.float64(1.5), [], [1.5], [[1.5, 2], (3, 4.0)], [np.float32(1.5)] * 3]
NOT_ARRAYS += [array.array("f", [1.5, 2]), memoryview(np.arange(3.0)), Convertible(), [np.arange(3.0)] * 2]


@pytest.mark.parametrize("x", NOT_ARRAYS, ids=lambda x: type(x).__name__)
def test_array_likes(x):
    plain = np.asarray(x)
    y, mask = fastdrop.dropout(x, 0.3, rng=4)
    check(y, np.asarray(reference.dropout(plain, 0.3, rng=4)[0]))
    check(fastdrop.dropout_backward(x, mask), y)
    check(fastdrop.dropout(x, training=False)[0], plain)
    out = np.full(plain.shape, 7, plain.dtype)
    assert fastdrop.dropout(x, 0.3, rng=4, out=out)[0] is out
    check(out, y)


# --- Numbers --------------------------------------------------------------------------------------

P_SPELLINGS = [
    0,
    1,
    -0.0,
    np.float16(0.3),
    np.float32(0.3),
    np.float64(0.3),
    np.longdouble("0.3"),
    np.int8(1),
]
P_SPELLINGS += [
    np.uint64(0),
    Fraction(1, 3),
    Fraction(3, 10),
    Fraction(1, 2**2000),
    5e-324,
    2.0**-64,
    1 - 2.0**-53,
]


@pytest.mark.parametrize("p", P_SPELLINGS, ids=repr)
def test_p(p):
    x = values(SHAPE, np.float32)
    y, mask = fastdrop.dropout(x, p, rng=1)
    assert type(mask.p) is float
    assert str(mask.p) == str(abs(float(p)))  # no -0.0
    check(y, reference.dropout(x, float(p), rng=1)[0])
    assert fastdrop.Dropout(p).p == float(p)
    assert mask == fastdrop.Mask(SHAPE, float(p), seed=1)


@given(st.floats(0, 1) | st.fractions(0, 1))
def test_any_p(p):
    mask = fastdrop.Mask(100, p, seed=1)
    assert mask.p == float(p)
    check(mask.to_numpy(), reference.Mask(100, float(p), seed=1).to_numpy())


@pytest.mark.parametrize(
    "shape", [3, np.int8(3), np.array(3), (3,), [3], range(3, 4), np.array([3]), [np.uint64(3)]]
)
def test_shape_spellings(shape):
    assert fastdrop.Mask(shape, seed=0) == fastdrop.Mask((3,), seed=0)
    assert all(type(length) is int for length in fastdrop.Mask(shape).shape)
