# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that lie transposed on both sides, as x.T and its out: the bits of the same call on plain copies.

The core transposes the decisions, in squares of 1,024, where both axes have 64 elements or more.
"""

import itertools

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, same_bytes, special_values
from operations import WITH_INPUTS, stored_twins, twins, twins_of_a_form

LENGTHS = [63, 64, 65, 100, 1000, 1024, 1025]
MATRICES = [*itertools.product(LENGTHS, LENGTHS[1:4]), *itertools.product(LENGTHS[1:4], LENGTHS[4:])]
MATRICES += [(1025, 1100), (2049, 64), (64, 2049)]
# How the axes lie in memory, the last one contiguous: NHWC seen as NCHW and others.
ORDERS = [((2, 70, 9, 8), (0, 2, 3, 1)), ((2, 9, 8, 70), (0, 3, 1, 2)), ((3, 65, 80), (2, 1, 0))]
ORDERS += [((65, 3, 80), (2, 1, 0)), ((66, 2, 3, 70), (3, 2, 1, 0)), ((2, 2, 64, 64), (1, 0, 3, 2))]


def lies(x, order):
    """A copy whose axes lie in memory in that order."""
    return x.transpose(order).copy().transpose(np.argsort(order))


def check(operation, mask, inputs, order):
    plain = operation.call(mask, [x.copy() for x in inputs])
    x = lies(inputs[0], order)
    out = lies(np.full_like(inputs[0], 7), order)
    operation.call(mask, [x, *inputs[1:]], out)
    assert same_bytes(np.ascontiguousarray(out), plain)
    assert same_bytes(np.ascontiguousarray(x), inputs[0])
    operation.call(mask, [x, *inputs[1:]], x)
    assert same_bytes(np.ascontiguousarray(x), plain)


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_matrices_are_as_their_copies(isa, name):
    operation = WITH_INPUTS[name]
    for shape in MATRICES:
        inputs = operation.inputs(shape, "float32")
        check(operation, twins(shape)[0], inputs, (1, 0))


@pytest.mark.parametrize(("shape", "order"), ORDERS, ids=str)
@pytest.mark.parametrize("name", WITH_INPUTS)
def test_other_orders_of_axes_are_as_their_copies(isa, generator, name, shape, order):
    operation = WITH_INPUTS[name]
    for dtype, form in itertools.product(DTYPES, operation.forms):
        some = {"generator": generator} if form != "stored" else {}
        mask, _ = twins_of_a_form(form, shape, 0.3, {1}, **some)
        check(operation, mask, operation.inputs(shape, dtype), order)


@pytest.mark.parametrize("p", [0.0, 1e-6, 0.5, 1.0])
def test_windows_stored_masks_and_the_ends_of_p_are_as_their_copies(isa, p):
    operation, shape, order = WITH_INPUTS["dropout"], (70, 130), (1, 0)
    inputs = operation.inputs(shape, "float32")
    for mask, _ in (twins((75, 300), p), stored_twins((75, 300), min(p, 0.9))):
        for index in (np.s_[3:73, 7:137], np.s_[:70, 1:261:2], np.s_[70:0:-1, :130], np.s_[:70, 129::-1]):
            check(operation, mask[index], inputs, order)
    check(operation, fastdrop.Mask((2**40, 2**20), p, seed=1)[2**39 : 2**39 + 70, 5:135], inputs, order)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_masks_are_applied_as_to_copies(isa, p, dtype):
    """With the mask's own scale: p = 0 copies bits, a stored mask that counts as p = 0 makes NaNs quiet."""
    x = special_values((70, 130), dtype)
    for mask, _ in (twins(x.shape, p), stored_twins(x.shape, p % 1)):
        plain, turned = mask.apply(x), lies(x, (1, 0))
        assert same_bytes(np.ascontiguousarray(mask.apply(turned, out=np.zeros_like(turned))), plain)
        assert same_bytes(np.ascontiguousarray(mask.apply(turned, out=turned)), plain)


def test_threads_take_squares(isa, threads):
    shape = (1100, 1500)  # for three
    x = special_values(shape, np.float32)
    mask, _ = twins(shape)
    plain = mask.apply(x)
    for count in (1, 2, 3):
        with threads(count):
            turned = lies(x, (1, 0))
            assert same_bytes(np.ascontiguousarray(mask.apply(turned, out=turned)), plain)
