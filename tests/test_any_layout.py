# SPDX-License-Identifier: BSD-3-Clause
"""Random layouts of memory: the bits of a plain copy, nothing written beside `out`, the input untouched."""

import array
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import fastdrop
from fastdrop import _checks, reference

DTYPES = [np.float32, np.float64]
PROBABILITIES = [0.0, 0.3, 1.0]
GUARD = 64  # bytes before and after an array


@dataclass(frozen=True)
class Layout:
    """How an array lies in a buffer: the order of its axes there, and for each axis a gap and a sign."""

    dtype: np.dtype
    order: tuple[int, ...]  # of the axes, the one with the smallest steps first
    gaps: tuple[int, ...]  # bytes between the steps of an axis, in that order; -1: stride 0
    reversed: tuple[bool, ...]
    offset: int  # bytes from a multiple of 64

    def empty(self, shape, fill):
        """An array that lies so, and the buffer that it is a view of, every byte of which is `fill`."""
        strides, reach, first = [0] * len(shape), self.dtype.itemsize, GUARD + self.offset
        for axis, gap, turned in zip(self.order, self.gaps, self.reversed, strict=True):
            if gap < 0 or shape[axis] == 0:
                continue
            stride, steps = reach + gap, shape[axis] - 1
            first += stride * steps if turned else 0
            strides[axis] = -stride if turned else stride
            reach += stride * steps
        buffer = np.full(2 * GUARD + self.offset + reach, fill, np.uint8)
        view = np.ndarray(shape, self.dtype, buffer, first, tuple(strides))
        return view, buffer


@st.composite
def layouts(draw, ndim, dtype, zero=False):
    gap = st.sampled_from([0, 0, 0, np.dtype(dtype).itemsize, 24, 1, 3])
    if zero:
        gap |= st.just(-1)
    return Layout(
        draw(st.sampled_from([np.dtype(dtype), np.dtype(dtype).newbyteorder()])),
        tuple(draw(st.permutations(range(ndim)))),
        tuple(draw(gap) for _ in range(ndim)),
        tuple(draw(st.booleans()) for _ in range(ndim)),
        draw(st.sampled_from([0, 0, 0, 1, 2, 4, 5])),
    )


@st.composite
def windows(draw, shape):
    """A window of that shape in a larger mask."""
    whole, index = [], []
    for length in shape:
        step = draw(st.sampled_from([1, 1, 1, 2, -1]))
        before, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        whole.append(before + max(length * abs(step), 1) + after)
        last = before + length * abs(step)
        if step > 0:
            index.append(slice(before, last, step))
        else:
            index.append(slice(last - 1, before - 1 if before else None, -1) if length else slice(0, 0))
    return tuple(whole), tuple(index)


SMALL = array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6)
# Several boxes along one axis and another, and rows that are worked on without a buffer.
LARGE = [(9000,), (70_000,), (130, 140), (40, 600), (600, 40), (3, 5000), (5000, 3), (17, 33, 65)]
LARGE += [(2, 5, 2000), (20, 1, 30, 40), (3, 4, 5, 6, 70)]


def values(shape, dtype):
    """Different numbers, and among them those that a conversion might change."""
    x = np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape) / 7 + 1
    tiny = np.finfo(dtype).smallest_subnormal
    special = np.array([np.nan, np.inf, -np.inf, tiny, -3 * tiny, -0.0], dtype)
    x.reshape(-1)[::3] = np.resize(special, x.size)[::3]
    return x


def check(mask, wanted, x_layout, out_layout, plain):
    """Out of place, into a new array and in place; `wanted` is the result for a plain array."""
    x, x_buffer = x_layout.empty(plain.shape, 0xA5)
    has_zeros = any(length > 1 and stride == 0 for length, stride in zip(x.shape, x.strides, strict=True))
    x[...] = plain
    x_before = x_buffer.tobytes()
    x_buffer.flags.writeable = False
    out, buffer = out_layout.empty(plain.shape, 0x5A)
    twin, twin_buffer = out_layout.empty(plain.shape, 0x5A)
    y = wanted(x.astype(plain.dtype, order="C"))
    twin[...] = y
    assert mask.apply(x, out=out) is out
    assert buffer.tobytes() == twin_buffer.tobytes()
    assert mask.apply(x).tobytes() == y.tobytes()
    assert x_buffer.tobytes() == x_before
    if has_zeros:
        return
    x_buffer.flags.writeable = True
    twin, twin_buffer = x_layout.empty(plain.shape, 0xA5)
    twin[...] = y
    assert mask.apply(x, out=x) is x
    assert x_buffer.tobytes() == twin_buffer.tobytes()


@settings(max_examples=max(1000, settings.default.max_examples))
@given(SMALL, st.sampled_from(DTYPES), st.sampled_from(PROBABILITIES), st.data())
def test_small_against_the_reference(shape, dtype, p, data):
    whole, index = data.draw(windows(shape))
    x_layout = data.draw(layouts(len(shape), dtype, zero=True))
    out_layout = data.draw(layouts(len(shape), dtype))
    mask = fastdrop.Mask(whole, p, seed=3, stream=5)[index]
    slow = reference.Mask(whole, p, seed=3, stream=5)[index]
    assert mask.shape == shape
    check(mask, slow.apply, x_layout, out_layout, values(shape, dtype))


@settings(max_examples=max(400, settings.default.max_examples))
@given(st.sampled_from(LARGE), st.sampled_from(DTYPES), st.sampled_from(PROBABILITIES), st.data())
def test_large_against_the_plain_copy(shape, dtype, p, data):
    whole, index = data.draw(windows(shape))
    x_layout = data.draw(layouts(len(shape), dtype, zero=True))
    out_layout = data.draw(layouts(len(shape), dtype))
    mask = fastdrop.Mask(whole, p, seed=3, stream=5)[index]
    check(mask, mask.apply, x_layout, out_layout, values(shape, dtype))


def shared(shape, noise_shape, p):
    return fastdrop.Mask(shape, p, noise_shape=noise_shape, seed=1)


def stored(shape, noise_shape, p):
    return fastdrop.Mask.from_array(np.random.default_rng(1).random(shape) >= 0.3, p)


@settings(max_examples=max(300, settings.default.max_examples))
@given(st.sampled_from(LARGE), st.sampled_from(DTYPES), st.sampled_from([shared, stored]), st.data())
def test_masks_of_every_kind(shape, dtype, kind, data):
    """Decisions that are shared or stored, and a rate that varies, go along with the elements."""
    noise_shape = [data.draw(st.sampled_from([length, length, 1])) for length in shape]
    of_p = [data.draw(st.sampled_from([length, 1])) for length in noise_shape]
    p = data.draw(st.sampled_from([0.3, np.linspace(0, 0.9, int(np.prod(of_p))).reshape(of_p)]))
    x_layout = data.draw(layouts(len(shape), dtype, zero=True))
    out_layout = data.draw(layouts(len(shape), dtype))
    mask = kind(shape, noise_shape, p)
    check(mask, mask.apply, x_layout, out_layout, values(shape, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(64, 1024), (1023, 65), (16, 16), (15, 17), (3, 4), (8, 512), (200, 300)])
def test_transposed_on_every_isa(isa, shape, dtype):
    """The layouts that go by squares in registers, and their edges."""
    plain = values(shape, dtype)
    mask = fastdrop.Mask(shape, 0.3, seed=1)
    y = mask.apply(plain)
    fortran = plain.copy(order="F")
    assert mask.apply(fortran).tobytes() == y.tobytes()
    for out in (np.zeros(shape, dtype, order="F"), fortran):
        mask.apply(fortran if out is fortran else plain, out=out)
        assert out.tobytes() == y.tobytes()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads(threads, count):
    shape = (1024, 1300)  # enough for three
    fortran = values(shape, np.float32).copy(order="F")
    rows = np.zeros((1024, 1310), np.float32)[:, 5:1305]
    mask = fastdrop.Mask((1025, 1301), 0.3, seed=1)[1:, 1:]
    y = mask.apply(np.ascontiguousarray(fortran))
    with threads(count):
        assert mask.apply(fortran).tobytes() == y.tobytes()
        rows[...] = fortran
        assert mask.apply(rows, out=rows).tobytes() == y.tobytes()
        assert mask.apply(fortran, out=fortran).tobytes() == y.tobytes()


def test_as_many_axes_as_numpy_has():
    ndim = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32
    shape = (2,) * 10 + (1,) * (ndim - 10)
    x = values(shape, np.float32).transpose(tuple(range(ndim))[::-1])
    mask = fastdrop.Mask(x.shape, 0.3, seed=1)
    y = mask.apply(np.ascontiguousarray(x))
    assert y.tobytes() == fastdrop.Mask(x.size, 0.3, seed=1).apply(x.ravel()).tobytes()
    assert mask.apply(x).tobytes() == y.tobytes()


# --- Arrays of others -----------------------------------------------------------------------------


class Exported:
    """What other libraries' arrays offer, and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Elsewhere(Exported):
    def __dlpack__(self, **keywords):
        raise BufferError("it is on another device")


SOURCE = np.arange(12, dtype=np.float32).reshape(3, 4) + 1
WRAPPED = {
    "dlpack": (Exported(SOURCE), SOURCE),
    "dlpack, transposed": (Exported(SOURCE.T), SOURCE.T),
    "dlpack, sliced": (Exported(SOURCE[::2, 1:]), SOURCE[::2, 1:]),
    "memoryview": (memoryview(SOURCE), SOURCE),
    "memoryview, sliced": (memoryview(SOURCE[:, ::-2]), SOURCE[:, ::-2]),
    "array.array": ((numbers := array.array("d", [1.5, 2, 3])), np.frombuffer(numbers)),
}


@pytest.mark.parametrize(("x", "plain"), WRAPPED.values(), ids=WRAPPED)
def test_arrays_of_others_come_in_without_a_copy(x, plain):
    assert np.shares_memory(_checks.float_array(x, "x"), plain)
    y, mask = fastdrop.dropout(x, 0.3, rng=4)
    assert type(y) is np.ndarray
    assert y.tobytes() == reference.dropout(plain.copy(), 0.3, rng=4)[0].tobytes()
    assert fastdrop.dropout_backward(x, mask).tobytes() == y.tobytes()


@pytest.mark.parametrize(
    "x", [Elsewhere(SOURCE), Exported(SOURCE.astype(int)), memoryview(b"bytes")], ids=repr
)
def test_arrays_that_cannot_come_in(x):
    with pytest.raises(TypeError, match=r"x must be an array of float16, bfloat16, float32 or float64"):
        fastdrop.dropout(x, 0.3, rng=4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_of_this_file_are_what_they_say(dtype):
    """A test of the test: gaps, signs and offsets end up in the strides and addresses."""
    view, buffer = Layout(np.dtype(dtype), (0, 1), (1, -1), (True, False), 5).empty((3, 2), 1)
    size = np.dtype(dtype).itemsize
    assert view.strides == (-size - 1, 0)
    assert view[2, 0].tobytes() == buffer[GUARD + 5 :][:size].tobytes()
