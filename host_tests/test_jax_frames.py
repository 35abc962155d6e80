# SPDX-License-Identifier: BSD-3-Clause
"""Calls of the compiled function that XLA would not make: what is wrong is an error of XLA, not a crash."""

import ctypes as c
from types import SimpleNamespace

import numpy as np
import pytest

import fastdrop
from fastdrop import _core
from processes import run


class Struct(c.Structure):
    """With its size in front, and no extensions, as all of XLA's that a call begins with."""

    def __init__(self, **values):
        super().__init__(c.sizeof(self), None, **values)


HEAD = [("struct_size", c.c_size_t), ("extensions", c.c_void_p)]


class Version(Struct):
    _fields_ = [*HEAD, ("major", c.c_int), ("minor", c.c_int)]


class ErrorArguments(Struct):
    _fields_ = [*HEAD, ("message", c.c_char_p), ("code", c.c_int)]


CREATE = c.CFUNCTYPE(c.c_void_p, c.POINTER(ErrorArguments))


class Api(Struct):
    _fields_ = [*HEAD, ("version", Version), ("internal", c.c_void_p), ("create", CREATE)]


class Buffer(Struct):
    _fields_ = [*HEAD, ("type", c.c_int), ("data", c.c_void_p), ("rank", c.c_int64), ("shape", c.c_void_p)]


class Values(Struct):
    _fields_ = [*HEAD, ("count", c.c_int64), ("types", c.c_void_p), ("values", c.c_void_p)]


class Attributes(Struct):
    _fields_ = [
        *HEAD,
        ("count", c.c_int64),
        ("types", c.c_void_p),
        ("names", c.c_void_p),
        ("values", c.c_void_p),
    ]


class Frame(Struct):
    _fields_ = [*HEAD, ("api", c.c_void_p), ("context", c.c_void_p), ("stage", c.c_int)]
    _fields_ += [("arguments", Values), ("results", Values), ("attributes", Attributes)]


class Bytes(c.Structure):
    _fields_ = [("data", c.c_char_p), ("size", c.c_size_t)]


class Scalar(c.Structure):
    _fields_ = [("type", c.c_int), ("value", c.c_void_p)]


class Array(c.Structure):
    _fields_ = [("type", c.c_int), ("size", c.c_size_t), ("data", c.c_void_p)]


class Metadata(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("version", Version), ("traits", c.c_uint32)]


class Extension(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("type", c.c_int),
        ("next", c.c_void_p),
        ("metadata", c.POINTER(Metadata)),
    ]


def handler(minor=3):
    pointer = c.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = c.c_void_p, (c.py_object, c.c_char_p)
    return c.CFUNCTYPE(c.c_void_p, c.POINTER(Frame))(pointer(_core.xla_dropout(minor), None))


def answered_version(minor):
    """What the handler says to an XLA of that minor version that asks which one it was written for."""
    metadata = Metadata()
    extension = Extension(c.sizeof(Extension), 1, None, c.pointer(metadata))
    frame = Frame()
    frame.extensions = c.addressof(extension)
    assert handler(minor)(c.byref(frame)) is None
    return metadata.version.major, metadata.version.minor


TYPES = {"uint32": 8, "int64": 5, "float16": 10, "float32": 11, "float64": 12, "int32": 4}


def call(
    x=None,
    words=None,
    y=None,
    arguments=2,
    results=1,
    types=(1, 1, 1),
    wrong_size=None,
    stage=3,
    **attributes,
):
    """The error that the handler makes of such a call, or None; and y."""
    x = np.ones((2, 8), np.float32) if x is None else x
    words = np.array([1, 2, 3, 4, 0, 0], np.uint32) if words is None else words
    y = np.full_like(x, 7) if y is None else y
    given = {"generator": np.int64(0), "p": np.float64(0.5), "steps": np.empty(0, np.int64)}
    given |= {"strides": np.array([8, 1], np.int64)} | attributes
    given = {name: value for name, value in sorted(given.items()) if value is not None}
    alive = []  # what the frame points to

    def buffer(array):
        shape = np.array(array.shape, np.int64)
        alive.extend([array, shape])
        made = Buffer(
            type=TYPES[array.dtype.name], data=array.ctypes.data, rank=array.ndim, shape=shape.ctypes.data
        )
        alive.append(made)
        return c.addressof(made)

    def attribute(value):
        value = np.asarray(value)
        alive.append(value)
        kind, data = TYPES[value.dtype.name], value.ctypes.data
        made = Scalar(kind, data) if value.ndim == 0 else Array(kind, value.size, data)
        alive.append(made)
        return c.addressof(made)

    def pointers(addresses):
        made = (c.c_void_p * len(addresses))(*addresses)
        alive.append(made)
        return c.addressof(made)

    def integers(values):
        made = (c.c_int * len(values))(*values)
        alive.append(made)
        return c.addressof(made)

    spans = [Bytes(name.encode(), len(name)) for name in given]
    alive.extend(spans)
    made = []

    @CREATE
    def create(error):
        made.append((error.contents.code, error.contents.message.decode()))
        return 1

    api = Api(version=Version(major=0, minor=3), create=create)
    frame = Frame(
        api=c.addressof(api),
        stage=stage,
        arguments=Values(
            count=arguments, types=integers(types[:2]), values=pointers([buffer(x), buffer(words)])
        ),
        results=Values(count=results, types=integers(types[2:]), values=pointers([buffer(y)])),
        attributes=Attributes(
            count=len(given),
            types=integers([3 if np.ndim(value) == 0 else 1 for value in given.values()]),
            names=pointers([c.addressof(span) for span in spans]),
            values=pointers([attribute(value) for value in given.values()]),
        ),
    )
    if wrong_size is not None:
        getattr(frame, wrong_size).struct_size += 8
    returned = handler()(c.byref(frame))
    assert (returned is None) == (not made)
    return (made[0] if made else None), y


@pytest.mark.parametrize("minor", [1, 2, 3, 4, 9])
def test_no_newer_version_is_said_than_xla_has(minor):
    assert answered_version(minor) == (0, min(minor, 3))


@pytest.mark.parametrize("minor", [0, -1, 2**31])
def test_no_version_that_is_not_known(minor):
    with pytest.raises(ValueError, match="XLA's FFI"):
        _core.xla_dropout(minor)


def test_a_frame_of_our_own_is_answered():
    error, y = call()
    assert error is None
    assert np.array_equal(y, fastdrop.Mask((2, 8), 0.5, key=(1, 2, 3, 4)).apply(np.ones((2, 8), np.float32)))


def test_the_place_of_a_shard_goes_beyond_32_bits():
    whole = fastdrop.Mask((16, 2**31, 2**20), 0.5, key=(1, 2, 3, 4))
    words, steps = np.array([1, 2, 3, 4, 0, 0, 7, 2**30], np.uint32), np.array([2**52, 2**20], np.int64)
    error, y = call(words=words, steps=steps, strides=np.array([2**51, 1], np.int64))
    assert error is None
    assert np.array_equal(y, whole[14:16, 2**30, :8].apply(np.ones((2, 8), np.float32)))


@pytest.mark.parametrize("shape", [(0, 8), (2, 0)], ids=str)
def test_without_elements_arguments_are_looked_at_all_the_same(shape):
    x = np.ones(shape, np.float32)
    assert call(x=x)[0] is None
    assert call(x=x, p=np.float64(2))[0] == (
        3,
        "fastdrop.jax.dropout: p must be from 0 to 1, the probability of dropping, not 2",
    )


def test_another_stage_does_nothing():
    error, y = call(stage=0)
    assert error is None
    assert (y == 7).all()


WORDS = "words must be uint32, an array of them for each of the batch"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arguments": 1}, "x and words go in, and y comes out"),
        ({"results": 0}, "x and words go in, and y comes out"),
        ({"types": (2, 1, 1)}, "x and words go in, and y comes out"),
        ({"types": (1, 2, 1)}, "x and words go in, and y comes out"),
        ({"types": (1, 1, 2)}, "x and words go in, and y comes out"),
        ({"x": np.ones((2, 8), np.int32)}, "x must be an array of float16, bfloat16, float32 or float64"),
        ({"y": np.full((2, 8), 7, np.float64)}, "y must have the shape and dtype of x"),
        ({"y": np.full((8, 2), 7, np.float32)}, "y must have the shape and dtype of x"),
        ({"words": np.ones(6, np.int64)}, WORDS),
        ({"words": np.ones((2, 6), np.uint32)}, WORDS),
        ({"words": np.ones(5, np.uint32)}, "there must be words for key, stream, places and p"),
        ({"words": np.ones(9, np.uint32)}, "there must be words for key, stream, places and p"),
        ({"strides": np.ones(3, np.int64)}, WORDS),
        ({"strides": np.ones(3, np.int64), "words": np.array(1, np.uint32)}, WORDS),
        ({"strides": np.ones(1, np.int64), "words": np.ones((3, 6), np.uint32)}, WORDS),
        ({"strides": None}, "the attribute strides is missing, or of another type"),
        ({"strides": np.int64(1)}, "the attribute strides is missing, or of another type"),
        ({"strides": np.ones(2)}, "an attribute must have its type"),
        ({"p": np.float32(0.5)}, "an attribute must have its type"),
        ({"p": np.float64(1.5)}, "p must be from 0 to 1, the probability of dropping, not 1.5"),
        ({"p": np.float64("nan")}, "p must be from 0 to 1, the probability of dropping, not nan"),
        ({"generator": np.int64(2)}, "no such generator"),
        ({"generator": np.int64(-1)}, "no such generator"),
        ({"words": np.array([1, 2, 3, 4, 0, 2**31], np.uint32)}, "stream must be less than 2^63"),
        ({"wrong_size": "arguments"}, "this version of XLA's FFI is too new"),
        ({"wrong_size": "results"}, "this version of XLA's FFI is too new"),
        ({"wrong_size": "attributes"}, "this version of XLA's FFI is too new"),
    ],
    ids=str,
)
def test_a_wrong_frame_is_an_error_of_xla(wrong, message):
    error, y = call(**wrong)
    assert error == (3, f"fastdrop.jax.dropout: {message}")
    assert (y == y.flat[0]).all()


def test_more_axes_than_the_core_has():
    """NumPy has no such array, and XLA may."""

    def with_axes(count):
        values = np.full(8, 7, np.float32)
        shape = (1,) * (count - 1) + (8,)
        return SimpleNamespace(shape=shape, ndim=count, dtype=values.dtype, ctypes=values.ctypes), values

    for count, wanted in ((64, None), (65, (3, "fastdrop.jax.dropout: x must have at most 64 axes"))):
        (x, _), (y, values) = with_axes(count), with_axes(count)
        assert call(x=x, y=y, strides=np.ones(count, np.int64))[0] == wanted
        assert (values == 7).all() == (wanted is not None)


def test_a_wrong_environment_is_an_error_of_xla():
    code = """
        import jax
        from fastdrop.jax import dropout
        try:
            dropout(jax.numpy.ones(8), 0.5, jax.random.key(0)).block_until_ready()
        except Exception as error:
            print(error)
    """
    said = run(code, FASTDROP_NUM_THREADS="none")
    assert "environment variable FASTDROP_NUM_THREADS is 'none'; it must be a whole number" in said
