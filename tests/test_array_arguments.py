# SPDX-License-Identifier: BSD-3-Clause
"""Every array that is refused, as input or as `out`: the message names it, and no byte has changed."""

import ml_dtypes
import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import fastdrop
from arrays import memory, read_only
from refusal import refuse, without_address

pytestmark = pytest.mark.usefixtures("silence")

SHAPE = (4, 6)
WANTED = "float16, bfloat16, float32 or float64"


def layer(training):
    """A layer after a forward pass."""
    drop = fastdrop.Dropout(0.5, rng=0).train(training)
    drop(np.zeros(SHAPE, np.float32))
    return drop


# Everything that takes an array, with the name that the array has there.
ENTRANCES = {
    "dropout": ("x", lambda x, out=None: fastdrop.dropout(x, 0.5, rng=0, out=out)),
    "dropout p=0": ("x", lambda x, out=None: fastdrop.dropout(x, 0, rng=0, out=out)),
    "dropout in evaluation": ("x", lambda x, out=None: fastdrop.dropout(x, training=False, out=out)),
    "Mask.apply": ("x", lambda x, out=None: fastdrop.Mask(SHAPE, 0.5, seed=0).apply(x, out=out)),
    "window": ("x", lambda x, out=None: fastdrop.Mask((9, 9), seed=0)[1:5, ::-1][:, 2:8].apply(x, out=out)),
    "dropout_backward": (
        "dy",
        lambda dy, out=None: fastdrop.dropout_backward(dy, fastdrop.Mask(SHAPE, 0.5, seed=0), out=out),
    ),
    "Dropout": ("x", lambda x, out=None: layer(True)(x, out=out)),
    "Dropout in evaluation": ("x", lambda x, out=None: layer(False)(x, out=out)),
    "Dropout.backward": ("dy", lambda dy, out=None: layer(True).backward(dy, out=out)),
    "GaussianNoise.apply": (
        "x",
        lambda x, out=None: fastdrop.GaussianNoise(SHAPE, 0.5, seed=0).apply(x, out=out),
    ),
    "Dropout.backward in evaluation": ("dy", lambda dy, out=None: layer(False).backward(dy, out=out)),
}
KNOW_THE_SHAPE = ["Mask.apply", "window", "dropout_backward", "Dropout.backward", "GaussianNoise.apply"]


@pytest.fixture(params=ENTRANCES)
def entrance(request):
    return ENTRANCES[request.param]


# --- Inputs ---------------------------------------------------------------------------------------

INTEGERS = ["bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", ">i4"]
OTHERS = [ml_dtypes.float8_e5m2, "longdouble", "complex64", "complex128", "object", "S4", "U4", "V4"]
OTHERS += ["datetime64[s]", "timedelta64[s]", [("a", "f4")]]


@pytest.mark.parametrize("dtype", INTEGERS + OTHERS, ids=str)
def test_a_dtype_that_is_no_float_of_ours_is_refused(entrance, dtype):
    name, call = entrance
    x, out = np.zeros(SHAPE, dtype), np.full(SHAPE, 7, np.float32)
    wanted = f"{name} must be an array of {WANTED}, not of {x.dtype}"
    refuse(lambda: call(x), TypeError, wanted)
    refuse(lambda: call(x, out=out), TypeError, wanted)
    refuse(lambda: call(x, out=x), TypeError, wanted)
    assert (out == 7).all()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_come_with_advice(entrance, dtype):
    name, call = entrance
    advice = f"convert it with numpy.asarray({name}, dtype=numpy.float32)"
    refuse(lambda: call(np.ones(SHAPE, dtype)), TypeError, f"{name} must", advice)


NOT_ARRAYS = [None, "text", object(), {}, [1, 2], [[1.0], [1.0, 2.0]], 1, True, 1j, range(3), np.int8(1)]


@pytest.mark.parametrize("value", [*NOT_ARRAYS, fastdrop.Mask(SHAPE, seed=0)], ids=without_address)
def test_what_is_no_array_is_refused(entrance, value):
    name, call = entrance
    refuse(lambda: call(value), TypeError, f"{name} must be an array of {WANTED}")


@pytest.mark.parametrize("entrance", KNOW_THE_SHAPE, indirect=True)
@pytest.mark.parametrize(
    "shape", [(), (24,), (6, 4), (4, 1), (1, 6), (4, 6, 1), (1, 4, 6), (4, 5), (5, 6), (0, 6)]
)
def test_an_input_of_another_shape_than_the_mask_is_refused(entrance, shape):
    """Not even one that could be broadcast."""
    name, call = entrance
    wanted = f"{name} must have the shape {SHAPE}, not {shape}"
    refuse(lambda: call(np.zeros(shape, np.float32)), ValueError, wanted)
    out = np.full(shape, 7, np.float32)
    refuse(lambda: call(np.zeros(shape, np.float32), out=out), ValueError, wanted)
    assert (out == 7).all()


# --- out ------------------------------------------------------------------------------------------


def numbers(*shape, dtype=np.float32):
    """A new array."""
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def cut(buffer, *offsets):
    """An x and an out: two views of the buffer, which begin so many items after its beginning."""
    return tuple(
        buffer[offset:][: buffer.size - max(offsets)].view(np.float32).reshape(SHAPE) for offset in offsets
    )


def strided(length, *all_strides):
    """Views of one buffer with those strides, in bytes."""
    buffer = numbers(length)
    return tuple(as_strided(buffer, SHAPE, strides) for strides in all_strides)


WRITEABLE = "must be writeable, not a read-only array"
OWN = "must have its own memory for every element, not the strides "
OVERLAP = "itself or not overlap it, not share a part of its memory"
BAD_LAYOUTS = {
    "read-only": (WRITEABLE, lambda: (numbers(4, 6), read_only(numbers(4, 6)))),
    "read-only, in place": (WRITEABLE, lambda: (read_only(numbers(4, 6)),) * 2),
    "stride 0": (OWN + "(0, 4)", lambda: (numbers(4, 6), *strided(6, (0, 4)))),
    "stride 0, in place": (OWN + "(24, 0)", lambda: strided(24, (24, 0)) * 2),
    "sliding window": (
        OWN + "(4, 4)",
        lambda: (numbers(4, 6), sliding_window_view(numbers(9), 6, writeable=True)),
    ),
    "elements overlap": (OWN + "(16, 3)", lambda: (numbers(4, 6), *strided(24, (16, 3)))),
    "columns overlap": (OWN + "(4, 12)", lambda: (numbers(4, 6), *strided(24, (4, 12)))),
    "one element later": (OVERLAP, lambda: cut(numbers(25), 0, 1)),
    "one element earlier": (OVERLAP, lambda: cut(numbers(25), 1, 0)),
    "one byte later": (OVERLAP, lambda: cut(numbers(97, dtype=np.uint8), 0, 1)),
    "one byte earlier": (OVERLAP, lambda: cut(numbers(97, dtype=np.uint8), 1, 0)),
    "one row later": (OVERLAP, lambda: cut(numbers(30), 0, 6)),
    "the last element": (OVERLAP, lambda: cut(numbers(47), 0, 23)),
    "one column later": (OVERLAP, lambda: ((x := numbers(4, 7))[:, :-1], x[:, 1:])),
    "reversed": (OVERLAP, lambda: ((x := numbers(4, 6)), x[::-1, ::-1])),
    "reversed later": (OVERLAP, lambda: ((pair := cut(numbers(29), 0, 5))[0], pair[1][::-1])),
    "transposed": (OVERLAP, lambda: strided(36, (24, 4), (4, 24))),
    "every other": (OVERLAP, lambda: strided(48, (24, 4), (48, 8))),
    "another step": (OVERLAP, lambda: strided(99, (48, 8), (72, 12))),
    "another byte order": (OVERLAP, lambda: ((x := numbers(4, 6)), x.view(x.dtype.newbyteorder()))),
}


@pytest.mark.parametrize(("wanted", "arrays"), BAD_LAYOUTS.values(), ids=BAD_LAYOUTS)
def test_an_out_that_is_read_only_or_overlaps_is_refused(entrance, wanted, arrays):
    _, call = entrance
    x, out = arrays()
    before = [memory(array) for array in (x, out)]
    refuse(lambda: call(x, out=out), ValueError, "out must", wanted)
    assert [memory(array) for array in (x, out)] == before


def test_an_out_whose_overlap_is_too_hard_to_decide_is_refused():
    """A long search would show that these do not overlap; with more axes it would not end."""
    steps = [2, 8, 22, 60, 253, 1187, 5239, 18138], [3483, 5169, 5773, 2863, 3760, 1975, 5377, 3378]
    buffer, shape = numbers(32_000), (2,) * 8
    out, x = (
        as_strided(buffer[start:], shape, 4 * np.array(step))
        for start, step in zip((5, 0), steps, strict=True)
    )
    assert not np.shares_memory(out, x)
    before = buffer.tobytes()
    refuse(lambda: fastdrop.Mask(shape, seed=0).apply(x, out=out), ValueError, "out must", OVERLAP)
    assert buffer.tobytes() == before


@pytest.mark.parametrize(
    "dtype", [*INTEGERS, *OTHERS, "float16", ml_dtypes.bfloat16, "float64", ">f8"], ids=str
)
def test_an_out_of_another_dtype_is_refused(entrance, dtype):
    name, call = entrance
    out = np.zeros(SHAPE, dtype)
    before = out.tobytes()
    for x in (numbers(4, 6), numbers(4, 12)[:, ::2]):
        wanted = f"out must have the dtype of {name}, float32, not {out.dtype}"
        refuse(lambda x=x: call(x, out=out), TypeError, wanted)
    wanted = f"out must have the dtype of {name}, float64, not float32"
    refuse(lambda: call(numbers(4, 6, dtype=np.float64), out=numbers(4, 6)), TypeError, wanted)
    assert out.tobytes() == before


@pytest.mark.parametrize("shape", [(), (24,), (6, 4), (4, 1), (1, 6), (1, 4, 6), (4, 7), (5, 6), (0, 6)])
def test_an_out_of_another_shape_is_refused(entrance, shape):
    """Not even one that the result could be broadcast to."""
    name, call = entrance
    out = np.full(shape, 7, np.float32)
    wanted = f"out must have the shape of {name}, {SHAPE}, not {shape}"
    refuse(lambda: call(numbers(4, 6), out=out), ValueError, wanted)
    assert (out == 7).all()


NOT_OUTPUTS = [
    [0.0] * 24,
    (numbers(4, 6),),
    bytearray(96),
    memoryview(numbers(4, 6)),
    np.float32(0),
    0,
    True,
    "out",
]


@pytest.mark.parametrize("out", [*NOT_OUTPUTS, np.ndarray, fastdrop.Mask(SHAPE, seed=0)], ids=without_address)
def test_an_out_that_is_no_array_is_refused(entrance, out):
    _, call = entrance
    came = f"of type {type(out).__name__}"
    refuse(lambda: call(numbers(4, 6), out=out), TypeError, "out must be a numpy.ndarray, not ", came)


def test_a_refusal_leaves_the_layer_as_it_was():
    drop = layer(True)
    mask = drop.mask
    for x, out in ((np.zeros(SHAPE, int), None), (numbers(4, 6), numbers(24))):
        with pytest.raises((TypeError, ValueError)):
            drop(x, out=out)
        assert drop.mask is mask
