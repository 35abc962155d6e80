# SPDX-License-Identifier: BSD-3-Clause
"""Inputs that are no NumPy arrays: those of other libraries come in as they lie, sequences are converted."""

import array

import numpy as np
import pytest

import fastdrop
from arrays import same_bytes
from fastdrop import _checks, reference


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
    assert same_bytes(y, reference.dropout(plain.copy(), 0.3, rng=4)[0])
    assert same_bytes(fastdrop.dropout_backward(x, mask), y)


NOT_ALLOWED = {
    "on another device": Elsewhere(SOURCE),
    "of integers": Exported(SOURCE.astype(int)),
    "of bytes": memoryview(b"bytes"),
}


@pytest.mark.parametrize("x", NOT_ALLOWED.values(), ids=NOT_ALLOWED)
def test_arrays_of_others_that_cannot_come_in_are_refused(x):
    with pytest.raises(TypeError, match=r"x must be an array of float16, bfloat16, float32 or float64"):
        fastdrop.dropout(x, 0.3, rng=4)


class Convertible:
    def __array__(self, dtype=None, copy=None):
        return np.array([1.5, -2.0, 3.25], np.float32)


NOT_ARRAYS = [1.5, np.float32(1.5), np.float64(1.5), [], [1.5], [[1.5, 2], (3, 4.0)], [np.float32(1.5)] * 3]
NOT_ARRAYS += [array.array("f", [1.5, 2]), memoryview(np.arange(3.0)), Convertible(), [np.arange(3.0)] * 2]


@pytest.mark.parametrize("x", NOT_ARRAYS, ids=lambda x: type(x).__name__)
def test_what_numpy_takes_for_an_array_is_one(x):
    plain = np.asarray(x)
    y, mask = fastdrop.dropout(x, 0.3, rng=4)
    assert same_bytes(y, np.asarray(reference.dropout(plain, 0.3, rng=4)[0]))
    assert same_bytes(fastdrop.dropout_backward(x, mask), y)
    assert same_bytes(np.asarray(fastdrop.dropout(x, training=False)[0]), plain)
    out = np.full(plain.shape, 7, plain.dtype)
    assert fastdrop.dropout(x, 0.3, rng=4, out=out)[0] is out
    assert same_bytes(out, y)
