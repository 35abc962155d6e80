# SPDX-License-Identifier: BSD-3-Clause
"""DropBlock's decisions by the core are those of its definition: a loop over dropped corners."""

import numpy as np
import pytest

import fastdrop
from fastdrop import _core

# Shapes and blocks: no axis, none that blocks cover, words of 64 that are full, and several axes.
BLOCKS = [((), ()), ((1,), (1,)), ((64,), (1,)), ((16, 4), (1, 1)), ((5, 3, 13), (1, 1, 1)), ((64,), (64,))]
BLOCKS += [((200,), (side,)) for side in (2, 3, 7, 8, 9, 63, 64, 65, 130, 200)]
BLOCKS += [((2, 3, 13), (1, 1, 3)), ((2, 13, 3), (1, 3, 1)), ((3, 2, 9, 17), (1, 1, 3, 3))]
BLOCKS += [((2, 9, 17, 5), (1, 4, 4, 1)), ((2, 2, 5, 6, 7), (1, 1, 2, 2, 2)), ((1, 64, 28, 28), (1, 1, 7, 7))]
BLOCKS += [((8, 8), (8, 8)), ((4, 16, 16), (1, 16, 16)), ((3, 128, 70), (1, 1, 65)), ((3, 0, 4), (1, 1, 2))]


def defined(corners, shape, block):
    keep = np.ones(shape, bool)
    for corner in np.argwhere(~corners):
        keep[tuple(slice(first, first + side) for first, side in zip(corner, block, strict=True))] = False
    return keep


@pytest.mark.parametrize(("shape", "block"), BLOCKS, ids=str)
def test_blocks_are_dropped_where_corners_are(isa, generator, shape, block):
    places = tuple(length - side + 1 for length, side in zip(shape, block, strict=True))
    for p in (0.0, 0.01, 0.2, 1.0):
        corners = fastdrop.Mask(places, p, seed=5, generator=generator)
        bits, kept = _core.draw_blocks(corners._state, shape, block)
        keep = defined(corners.to_numpy(), shape, block)
        got = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
        assert np.array_equal(got[: keep.size].reshape(shape), keep), p
        assert not got[keep.size :].any()
        assert kept == np.count_nonzero(keep), p


def test_blocks_of_many_elements(threads):
    """Corners that several threads draw."""
    shape, block = (5, 3, 400, 300), (1, 1, 7, 5)
    corners = fastdrop.Mask((5, 3, 394, 296), 1e-4, seed=5)
    keep = defined(corners.to_numpy(), shape, block)
    for count in (1, 3):
        with threads(count):
            bits, kept = _core.draw_blocks(corners._state, shape, block)
        got = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
        assert np.array_equal(got[: keep.size].reshape(shape), keep)
        assert kept == np.count_nonzero(keep)


def test_corners_that_do_not_fit_are_refused():
    corners = fastdrop.Mask((4, 5), 0.5, seed=0)
    for shape, block in (((4, 5), (1, 2)), ((4, 4), (1, 0)), ((3, 5), (0, 1))):
        with pytest.raises(ValueError, match="corners must be where whole blocks begin"):
            _core.draw_blocks(corners._state, shape, block)
    nowhere = fastdrop.Mask((2, 0), 0.5, seed=0)  # a block longer than its axis begins nowhere
    with pytest.raises(ValueError, match="corners must be where whole blocks begin"):
        _core.draw_blocks(nowhere._state, (4, 3), (3, 4))
    for other in (corners[1:], corners[:, ::2], fastdrop.Mask((4, 5), np.full((4, 1), 0.5))):
        with pytest.raises(ValueError, match="corners must be"):
            _core.draw_blocks(other._state, other.shape, (1, 1))


@pytest.mark.parametrize("lengths", [(4,), (4, 6, 1), [4, 6], None, "46"])
def test_lengths_are_tuples_of_one_for_every_axis(lengths):
    state = fastdrop.Mask((3, 5), 0.5, seed=0)._state
    for shape, block in ((lengths, (2, 2)), ((4, 6), lengths)):
        with pytest.raises(ValueError, match="must be tuples of a length for every axis"):
            _core.draw_blocks(state, shape, block)
