# SPDX-License-Identifier: BSD-3-Clause
"""Every operation equals the reference bit for bit: dtype x ISA x generator x size x start x threads.

Results are compared as bytes, so that a NaN's payload and the sign of a zero count.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdrop
from fastdrop import reference
from floats import DTYPES, special_values

# Around the width of a block (8), of the vectors (16, 32), of a tile (128), and of several tiles.
SIZES = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 127, 128, 129, 255, 256, 257, 1000]
STARTS = [0, 1, 7, 8, 13, 127, 128, 129, 2**31 - 5, 2**32 - 5, 2**40 - 5, 2**62 - 5]
# Few and many bits, a tie in every comparison of the upper half, the ends, and one within 2^-53 of 1.
PROBABILITIES = [0.0, 2.0**-64, 1e-6, 0.1, 0.25, 0.5, 0.9, 1.0 - 2.0**-53, 1.0]


def expected(x, p, start, seed, stream, generator):
    """The reference on the window that begins at `start` of an endless mask."""
    part = reference.Mask(x.size, p, seed=seed, stream=stream, generator=generator)
    part.index = part.index + np.uint64(start)
    return part.apply(x), part.to_numpy()


def window(size, p, start, seed, stream, generator):
    whole = fastdrop.Mask(start + size, p, seed=seed, stream=stream, generator=generator)
    return whole[start:]


def same_bytes(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_size_and_start(isa, generator, dtype, p):
    for size in SIZES:
        x = special_values(size, dtype)
        for start in STARTS:
            mask = window(size, p, start, 3, 9, generator)
            y, keep = expected(x, p, start, 3, 9, generator)
            assert same_bytes(mask.to_numpy(), keep), (size, start)
            assert same_bytes(mask.apply(x), y), (size, start)
            out = np.full_like(x, 7)
            assert mask.apply(x, out=out) is out
            assert same_bytes(out, y), (size, start)
            in_place = x.copy()
            mask.apply(in_place, out=in_place)
            assert same_bytes(in_place, y), (size, start)


# The kernels share work between the 256 counters, 2,048 elements, whose upper bytes agree, while byte 5 of
# the counter, which changes at multiples of 2^43 elements, stays the same.
@pytest.mark.parametrize("origin", [0, 2**43 - 9 * 128, 2**43 - 40 * 128, 5 * 2**43 - 3])
def test_groups_of_counters(isa, generator, origin):
    for first in (0, 1, 2, 13, 14, 15, 16):
        for tiles in (1, 2, 3, 15, 16, 17, 18, 40):
            size, start = 128 * tiles + 7, origin + 128 * first
            keep = expected(np.zeros(size, np.float32), 0.3, start, 5, 1, generator)[1]
            assert same_bytes(window(size, 0.3, start, 5, 1, generator).to_numpy(), keep), (first, tiles)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_matter(isa, generator, dtype, count, threads):
    """Sizes beyond the thread split, with an odd start and an odd end."""
    size, start, p = 7 * 2**18 + 77, 2**32 - 77, 0.1
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    mask = window(size, p, start, 0, 0, generator)
    y, keep = _expected_large(dtype, generator)
    with threads(count):
        assert same_bytes(mask.apply(x), y)
        assert same_bytes(mask.to_numpy(), keep)
        mask.apply(x, out=x)
    assert same_bytes(x, y)


_large = {}


def _expected_large(dtype, generator):
    """The slow reference result, once for all ISAs and thread counts."""
    if (dtype, generator) not in _large:
        x = np.random.default_rng(0).standard_normal(7 * 2**18 + 77).astype(dtype)
        _large[dtype, generator] = expected(x, 0.1, 2**32 - 77, 0, 0, generator)
    return _large[dtype, generator]


@pytest.mark.parametrize("dtype", DTYPES)
def test_around_the_cache(isa, dtype):
    """Outputs from 32 MiB on are written by other instructions, where the address of a tile allows them.

    That address depends on the output's, and on how many elements come before the first whole tile.
    """
    size, p = 2**25 // np.dtype(dtype).itemsize + 321, 0.1
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    whole = fastdrop.Mask(size + 8, p, seed=0)
    keep = whole.to_numpy()  # equality with the reference is tested above, at sizes that it can manage
    scaled = reference.scaled(x, reference.scale(p, dtype))
    out = np.empty(size + 8, dtype)
    for shift, start in [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (0, 2), (0, 4), (1, 5), (0, 8)]:
        out[:] = 7
        whole[start : start + size].apply(x, out=out[shift : shift + size])
        y = np.where(keep[start : start + size], scaled, x.dtype.type(0))
        assert same_bytes(out[shift : shift + size], y), (shift, start)
        assert (out[:shift] == 7).all()
        assert (out[shift + size :] == 7).all()


def test_around_the_cache_by_rows(isa):
    """A window of columns: every row begins at another address and another place in its tile.

    Memory that nobody has used yet is written by ordinary stores again.
    """
    mask = fastdrop.Mask((3000, 3001), 0.1, seed=0)
    x = np.ones((3000, 2999), np.float32)
    y = np.where(mask.to_numpy()[:, :2999], reference.scale(0.1, np.float32), np.float32(0))
    assert same_bytes(mask[:, :2999].apply(x, out=np.ones_like(x)), y)
    assert same_bytes(mask[:, :2999].apply(x), y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alignment", range(0, 64, 4))
def test_alignment_does_not_matter_and_nothing_outside_is_written(isa, alignment, dtype):
    size, first = 300, alignment // np.dtype(dtype).itemsize
    buffer = np.full(size + 40, 7, dtype)
    x = special_values(size, dtype)
    mask = fastdrop.Mask(size, 0.3, seed=1)
    mask.apply(x, out=buffer[first : first + size])
    assert same_bytes(buffer[first : first + size], reference.Mask(size, 0.3, seed=1).apply(x))
    assert (buffer[:first] == 7).all()
    assert (buffer[first + size :] == 7).all()


def test_forward_and_backward_are_the_reference_functions(isa):
    x = special_values(1000, np.float32).reshape(10, 100)
    dy = special_values(1001, np.float32)[1:].reshape(10, 100)
    y, mask = fastdrop.dropout(x, 0.4, rng=5)
    y_expected, mask_expected = reference.dropout(x, 0.4, rng=5)
    assert same_bytes(y, y_expected)
    expected_gradient = reference.dropout_backward(dy, mask_expected)
    assert same_bytes(fastdrop.dropout_backward(dy, mask), expected_gradient)


def test_backward_is_the_derivative_of_forward():
    """Powers of two and integers: the difference quotient is exact, so equality is derived, not hoped for."""
    rng = np.random.default_rng(0)
    x = rng.integers(-1000, 1000, 500).astype(np.float64)
    direction = rng.integers(-8, 8, 500).astype(np.float64)
    mask = fastdrop.Mask(500, 0.75, seed=0)  # scale 4
    quotient = (mask.apply(x + direction) - mask.apply(x)) / 1.0
    assert (quotient == mask.apply(direction)).all()
    dy = rng.integers(-8, 8, 500).astype(np.float64)
    # <dy, J direction> = <J^T dy, direction>, and J is diagonal
    assert dy @ quotient == fastdrop.dropout_backward(dy, mask) @ direction


def test_p_zero_copies_bits_and_p_one_gives_positive_zero(isa):
    """A signalling NaN is the one value that any arithmetic changes."""
    signalling = np.array([0x7F800001, 0xFF800001, 0x7FC12345, 0x80000000], np.uint32).view(np.float32)
    assert same_bytes(fastdrop.Mask(4, 0.0, seed=0).apply(signalling), signalling)
    assert same_bytes(fastdrop.Mask(4, 1.0, seed=0).apply(signalling), np.zeros(4, np.float32))


SHAPES = st.lists(st.integers(0, 12), min_size=0, max_size=4).map(tuple)


@st.composite
def windows(draw):
    """A shape, and a chain of basic indices that fit it one after another."""
    shape = draw(SHAPES)
    chain, view = [], np.empty(shape, np.bool_)
    for _ in range(draw(st.integers(1, 3))):
        index = []
        for length in view.shape[: draw(st.integers(0, view.ndim))]:
            if length and draw(st.booleans()):
                index.append(draw(st.integers(-length, length - 1)))
            else:
                bound = st.none() | st.integers(-length - 2, length + 2)
                step = st.none() | st.integers(-3, 3).filter(bool)
                index.append(slice(draw(bound), draw(bound), draw(step)))
        if draw(st.booleans()):
            index.append(Ellipsis)
        view = view[tuple(index)]
        chain.append(tuple(index))
        if not isinstance(view, np.ndarray):
            break
    return shape, chain


@given(windows(), st.sampled_from([0.1, 0.5]))
def test_windows_are_the_bits_of_the_whole(isa, shape_and_chain, p):
    shape, chain = shape_and_chain
    mask, bits = fastdrop.Mask(shape, p, seed=8), reference.Mask(shape, p, seed=8)
    for index in chain:
        mask, bits = mask[index], bits[index]
    keep = np.asarray(bits.to_numpy())
    assert mask.shape == keep.shape
    assert same_bytes(mask.to_numpy(), keep)
    x = special_values(keep.size, np.float32).reshape(keep.shape)
    assert same_bytes(mask.apply(x), np.asarray(bits.apply(x)))


@given(st.integers(1, 5000), st.lists(st.integers(0, 5000), max_size=6))
def test_every_split_equals_the_whole(isa, size, cuts):
    x = special_values(size, np.float32)
    mask = fastdrop.Mask(size, 0.2, seed=4)
    edges = sorted({0, size, *(cut % size for cut in cuts)})
    parts = [mask[a:b].apply(x[a:b]) for a, b in itertools.pairwise(edges)]
    assert same_bytes(np.concatenate(parts), mask.apply(x))


def test_windows_of_a_huge_mask(isa):
    """Index arithmetic past 2^31, 2^32 and 2^40, and a step that strides over whole rows."""
    rows, columns = 2**33, 1000
    mask = fastdrop.Mask((rows, columns), 0.3, seed=6)
    for row in (0, 2**22, 2**31 + 1, rows - 3):
        part = mask[row : row + 3, 5:900:7]
        index = (np.arange(row, row + 3)[:, None] * columns + np.arange(5, 900, 7)).astype(np.uint64)
        assert same_bytes(part.to_numpy(), reference.keep(index, 0.3, key=mask.key))
    assert mask.size == math.prod(mask.shape)
