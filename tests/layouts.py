# SPDX-License-Identifier: BSD-3-Clause
"""Hypothesis's layouts of memory: any order of axes, gaps, signs and byte order, with guards around them."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

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
