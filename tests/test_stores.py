# SPDX-License-Identifier: BSD-3-Clause
"""Where results are written: at every alignment, by non-temporal stores, and never outside the output."""

import numpy as np
import pytest

import fastdrop
from arrays import same_bytes
from fastdrop import reference
from operations import OPERATIONS, WITH_INPUTS, every_dtype, twins

NON_TEMPORAL = 2**25  # bytes: used outputs from this size on are written by non-temporal stores
ORDINARY = 2**18  # elements: 2 MiB at most, and below the thread split


@pytest.mark.parametrize(("name", "dtype"), every_dtype(OPERATIONS))
def test_every_alignment_is_right_and_nothing_outside_is_written(isa, name, dtype):
    operation, size = OPERATIONS[name], 300
    inputs, (mask, slow) = operation.inputs((size,), dtype), twins(size)
    y = operation.reference(slow, inputs)
    buffer = np.empty(size + 64, y.dtype)
    sentinel = np.full(64, 7, y.dtype)
    for first in range(64 // buffer.itemsize):
        buffer[:] = 7
        operation.call(mask, inputs, buffer[first : first + size])
        assert same_bytes(buffer[first : first + size], y), first
        assert same_bytes(np.delete(buffer, slice(first, first + size)), sentinel), first


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), every_dtype(WITH_INPUTS))
def test_non_temporal_stores_write_what_ordinary_stores_write(isa, name, dtype):
    """They are used where the address of a tile allows them.

    That address depends on the output's, and on how many elements come before the first whole tile. What
    ordinary stores write is judged by the reference elsewhere, at sizes that it can manage.
    """
    operation, size = OPERATIONS[name], NON_TEMPORAL // np.dtype(dtype).itemsize + 321
    inputs, (whole, _) = operation.inputs((size + 8,), dtype), twins(size + 8)
    parts = [slice(first, min(first + ORDINARY, size + 8)) for first in range(0, size + 8, ORDINARY)]
    y = np.concatenate([operation.call(whole[part], operation.cut(inputs, part)) for part in parts])
    out = np.empty(size + 8, dtype)
    for shift, start in [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (0, 2), (0, 4), (1, 5), (0, 8)]:
        out[:] = 7
        window, written = slice(start, start + size), out[shift : shift + size]
        operation.call(whole[window], operation.cut(inputs, window), written)
        assert all(same_bytes(written[part], y[window][part]) for part in parts), (shift, start)
        assert (out[:shift] == 7).all()
        assert (out[shift + size :] == 7).all()


def test_non_temporal_stores_of_rows_write_what_ordinary_stores_write(isa):
    """A window of columns: every row begins at another address and another place in its tile.

    Memory that nobody has used yet is written by ordinary stores again.
    """
    mask = fastdrop.Mask((3000, 3001), 0.1, seed=0)
    x = np.ones((3000, 2999), np.float32)
    y = np.where(mask.to_numpy()[:, :2999], reference.scale(0.1, np.float32), np.float32(0))
    assert same_bytes(mask[:, :2999].apply(x, out=np.ones_like(x)), y)
    assert same_bytes(mask[:, :2999].apply(x), y)


def test_non_temporal_stores_where_p_varies_write_what_ordinary_stores_write(isa, generator):
    """In calls of a kernel that begin anywhere in a tile, and with bits that are copied after them."""
    p = np.resize([0.5, 0.0, 0.9, 1.0, 0.25], 3001)
    mask = fastdrop.Mask((2900, 3001), p, seed=0, generator=generator)
    scale = np.divide(1, 1 - p, out=np.zeros_like(p), where=p < 1).astype(np.float32)
    y = np.where(mask.to_numpy(), scale, np.float32(0))
    x = np.ones_like(y)
    assert same_bytes(mask.apply(x, out=np.ones_like(x)), y)
    assert same_bytes(mask.apply(x), y)
