# SPDX-License-Identifier: BSD-3-Clause
"""A window of a mask has the decisions of the whole, whatever the mask is made of and however it was cut."""

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdrop
from arrays import same_bytes, special_values
from fastdrop import reference
from operations import OPERATIONS, WITH_DECISIONS, twins, twins_of_a_form
from windows import chains

# Every form of mask that an operation takes.
FORMS = [(name, form) for name, operation in OPERATIONS.items() for form in operation.forms]


@settings(max_examples=4 * settings.default.max_examples)
@given(
    st.sampled_from(fastdrop.isas()), st.sampled_from(FORMS), st.sampled_from([0.1, 0.5]), chains(), st.data()
)
def test_windows_are_the_decisions_of_the_whole(
    restore_isa, isa, operation_and_form, p, shape_and_chain, data
):
    fastdrop.use_isa(isa)
    (shape, chain), (name, form) = shape_and_chain, operation_and_form
    operation = OPERATIONS[name]
    axes = data.draw(st.sets(st.integers(0, max(len(shape) - 1, 0))))
    mask, slow = twins_of_a_form(form, shape, p, axes)
    for index in chain:
        mask, slow = mask[index], slow[index]
    inputs = operation.inputs(slow.index.shape, "float64")
    x = special_values(slow.index.shape, "float32")
    assert mask.shape == x.shape
    if mask.shape or not operation.needs_an_axis:
        assert same_bytes(operation.call(mask, inputs), operation.reference(slow, inputs))
    assert same_bytes(mask.to_numpy(), np.asarray(slow.to_numpy()))
    assert same_bytes(mask.apply(x), np.asarray(slow.apply(x)))
    if mask.size:
        np.testing.assert_array_equal(np.broadcast_to(mask.p, mask.shape), slow.p)
    assert pickle.loads(pickle.dumps(mask)) == mask


@given(st.integers(1, 5000), st.lists(st.integers(0, 5000), max_size=6), st.sampled_from(list(OPERATIONS)))
def test_every_split_equals_the_whole(isa, size, cuts, name):
    operation = OPERATIONS[name]
    inputs, (mask, _) = operation.inputs((size,), "float32"), twins(size, 0.2)
    edges = sorted({0, size, *(cut % size for cut in cuts)})
    parts = [slice(*edge) for edge in itertools.pairwise(edges)]
    whole = np.concatenate([operation.call(mask[part], operation.cut(inputs, part)) for part in parts])
    assert same_bytes(whole, operation.call(mask, inputs))


# Decisions are gathered 4,096 at a time, and those of rows that lie close together are made at once.
MANY_BLOCKS = [
    ((500, 40), None, np.s_[:, 3:17]),
    ((500, 40), None, np.s_[::-1, 3:17]),
    ((500, 47), None, np.s_[:, 2:40]),  # 4,096 ends within a row
    ((500, 40), None, np.s_[::-3, ::-2]),
    ((60, 20, 40), None, np.s_[:, 5:7, 1:]),
    ((60, 20, 40), None, np.s_[::-1, ::9, 30:2:-3]),
    ((9, 5000), None, np.s_[:, ::-3]),
    ((30, 3, 128), (None, 1, None), ...),  # a block begins with a group's last row
    ((30, 3, 100), (None, 1, None), np.s_[:, :, ::2]),
    ((700, 3, 5), (None, 1, None), ...),
    ((5000, 3), (None, 1), np.s_[::-1]),
    ((3, 9000), (None, 1), np.s_[:, 1:]),
    ((7, 6000), (1, None), np.s_[:, 1::2]),
]


@pytest.mark.parametrize(("shape", "noise_shape", "index"), MANY_BLOCKS, ids=str)
def test_windows_of_many_blocks_equal_the_reference(isa, generator, shape, noise_shape, index):
    mask, slow = twins(shape, noise_shape=noise_shape, generator=generator)
    stored = fastdrop.Mask.from_array(slow.to_numpy(), 0.3)
    for operation in WITH_DECISIONS.values():
        inputs = operation.inputs(mask[index].shape, "float32")
        y = operation.reference(slow[index], inputs)
        assert same_bytes(operation.call(mask[index], inputs), y), operation.name
        assert same_bytes(operation.call(stored[index], inputs), y), operation.name


def test_windows_of_a_huge_mask_equal_the_reference(isa):
    """Index arithmetic past 2^31, 2^32 and 2^40, and a step that strides over whole rows."""
    rows, columns = 2**33, 1000
    mask = fastdrop.Mask((rows, columns), 0.3, seed=6)
    for row in (0, 2**22, 2**31 + 1, rows - 3):
        part = mask[row : row + 3, 5:900:7]
        index = (np.arange(row, row + 3)[:, None] * columns + np.arange(5, 900, 7)).astype(np.uint64)
        assert same_bytes(part.to_numpy(), reference.keep(index, 0.3, key=mask.key))
    assert mask.size == math.prod(mask.shape)


@pytest.mark.parametrize("start", [2**31 - 2, 2**32 - 2, 2**40 - 2, 2**62 - 4])
def test_windows_of_a_huge_shared_mask_equal_the_reference(isa, generator, start):
    """Also the last elements that a shared mask of at most 2^63 elements has."""
    mask = fastdrop.Mask((start + 4, 2), 0.3, noise_shape=(None, 1), seed=6, generator=generator)
    rows = np.broadcast_to(np.arange(start, start + 4, dtype=np.uint64)[:, np.newaxis], (4, 2))
    for step in (1, -1, 3):
        keep = reference.keep(rows[::step], 0.3, key=mask.key, generator=generator)
        assert same_bytes(mask[start:][::step].to_numpy(), keep)


def test_windows_of_a_huge_mask_with_varying_p_equal_the_reference(isa):
    p = np.array([0.1, 0.9, 0.5])
    mask = fastdrop.Mask((2**60, 3), p, seed=6)
    for row in (2**31 // 3, 2**32 // 3, 2**40 // 3, 2**60 - 4):
        index = np.arange(3 * row, 3 * row + 12, dtype=np.uint64).reshape(4, 3)
        keep = np.stack([reference.keep(index[:, i], p[i], key=mask.key) for i in range(3)], axis=1)
        assert same_bytes(mask[row : row + 4].to_numpy(), keep)


def test_a_window_is_equal_however_it_was_cut():
    mask = fastdrop.Mask((6, 10), seed=0)
    assert mask[:] == mask[...] == mask[()] == mask[:, :] == mask[::1, ...] == mask
    assert mask[1:][2:] == mask[3:] == mask[-3:] == mask[3:100]
    assert mask[::-1][::-1] == mask
    assert mask[2][3] == mask[2, 3] == mask[-4, -7] == mask[..., 3][2] == mask[np.int8(2), np.array(3)]
    assert mask[0:1] == mask[0:1:7] == mask[0 : 1 : 10**30] == mask[0::-1]  # one row: no step was taken
    assert mask[9:] == mask[7:3] == mask[:0]  # nothing
    assert list(mask) == [mask[row] for row in range(6)] == [mask[row] for row in range(-6, 0)]
    assert len(mask) == 6


def test_windows_whose_strides_would_not_fit():
    """An axis without elements lets the others be of any length, and a single element any step."""
    mask = fastdrop.Mask((0, 2**62, 2**62), 0.5, seed=0)
    assert mask[:, 5, ::2].shape == (0, 2**61)
    assert mask[:, 5, ::2].to_numpy().size == 0
    one = fastdrop.Mask(10, 0.5, seed=0)[3 :: 10**30]
    assert one.to_numpy() == reference.Mask(10, 0.5, seed=0).to_numpy()[3:4]
