# SPDX-License-Identifier: BSD-3-Clause
"""Arrays for the tests: dtypes, values that arithmetic treats specially, layouts of memory, equal bytes."""

import math
import tempfile

import ml_dtypes
import numpy as np

DTYPES = ["float16", ml_dtypes.bfloat16, "float32", "float64"]
HALVES = DTYPES[:2]


def same_bytes(result, wanted):
    """Exactly an ndarray of that dtype, shape and bytes: a NaN's payload and the sign of a zero count."""
    return (
        type(result) is np.ndarray
        and (result.dtype, result.shape) == (wanted.dtype, wanted.shape)
        and result.tobytes() == wanted.tobytes()
    )


def unsigned(dtype):
    """The unsigned integers of that size, for the bits of a float."""
    return np.dtype(f"u{np.dtype(dtype).itemsize}")


def nans(dtype):
    """Quiet and signalling NaNs of both signs and several payloads."""
    info, bits = ml_dtypes.finfo(dtype), unsigned(dtype)
    payloads = np.array([1, 2, 3, 2**info.nmant - 1, 2 ** (info.nmant - 1)], bits)
    positive = np.array(np.inf, dtype).view(bits) | payloads
    return np.concatenate([positive, positive | bits.type(1 << (info.bits - 1))]).view(dtype)


def special_values(shape, dtype):
    """Normal numbers with, among them, everything that arithmetic treats specially; of bool any bits."""
    size = math.prod(np.atleast_1d(shape))
    values = np.random.default_rng(size).standard_normal(size)
    if np.dtype(dtype) == bool:
        return (values > 0).reshape(shape)
    info, values = ml_dtypes.finfo(dtype), values.astype(dtype)
    odd = [np.inf, -np.inf, -0.0, 0.0, np.nan, info.max, -info.max, info.tiny, info.smallest_subnormal]
    odd += [-info.smallest_subnormal, info.tiny / 3, 1 + info.eps]
    values[::5] = np.resize(np.array(odd, dtype), values[::5].shape)
    values[2::7] = np.resize(nans(dtype), values[2::7].shape)
    return values.reshape(shape)


def without_nans(x):
    """The values, with 1 for every NaN."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(x), x.dtype.type(1), x)


# --- Layouts --------------------------------------------------------------------------------------


class Subclass(np.ndarray):
    """Code of its own for every operation, which must not be run."""

    def __setitem__(self, index, value):
        raise AssertionError("not to be called")

    def __array_ufunc__(self, *arguments, **keywords):
        raise AssertionError("not to be called")


def filled(view, x):
    """The view, with the values of `x`."""
    np.asarray(view)[...] = x
    return view


def read_only(x):
    """A copy that cannot be written to."""
    x = x.copy()
    x.flags.writeable = False
    return x


def misaligned(x):
    return filled(np.zeros(x.nbytes + 1, "u1")[1:].view(x.dtype).reshape(x.shape), x)


def sliced(x, dtype=None):
    """Every other element along every axis of a larger array."""
    larger = np.zeros([2 * length for length in x.shape], dtype or x.dtype)
    return filled(larger[(slice(1, None, 2),) * x.ndim], x)


def window(x):
    larger = np.zeros([length + 5 for length in x.shape], x.dtype)
    return filled(larger[tuple(slice(2, 2 + length) for length in x.shape)], x)


def memory_mapped(x):
    with tempfile.TemporaryFile() as file:
        return filled(np.memmap(file, x.dtype, "w+", shape=x.shape), x)


# Every one makes a new array with the values of a C-contiguous one. Those that docs/kinds.md promises:
LAYOUTS = {
    "C order": lambda x: x.copy(),
    "Fortran order": lambda x: x.copy(order="F"),
    "transposed": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0),
    "reversed": lambda x: x[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
    "sliced": sliced,
    "misaligned": misaligned,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "read-only": read_only,
}
# And those that are odd in another way; a matrix has two axes.
ALL_LAYOUTS = LAYOUTS | {
    "reversed columns, Fortran order": lambda x: x[:, ::-1].copy(order="F")[:, ::-1],
    "window": window,
    "field": lambda x: filled(np.zeros(x.shape, [("byte", "u1"), ("value", x.dtype)])["value"], x),
    "other byte order, sliced": lambda x: sliced(x, x.dtype.newbyteorder()),
    "matrix": lambda x: x.copy().view(np.matrix),
    "memory-mapped": memory_mapped,
    "subclass": lambda x: x.copy().view(Subclass),
    "subclass, Fortran order": lambda x: x.copy(order="F").view(Subclass),
}


def owner(array):
    """The array that owns the memory of a view."""
    owner = array
    while (array := getattr(array, "base", None)) is not None:
        owner = array if isinstance(array, np.ndarray) else owner
    return owner


def memory(view):
    """The bytes of the whole array that a view belongs to."""
    return owner(view).tobytes()
