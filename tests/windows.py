# SPDX-License-Identifier: BSD-3-Clause
"""Hypothesis's windows: chains of basic indices, and windows of a given shape in a larger mask."""

import numpy as np
from hypothesis import strategies as st

SHAPES = st.lists(st.integers(0, 12), min_size=0, max_size=4).map(tuple)


@st.composite
def chains(draw, shapes=SHAPES):
    """A shape, and a chain of basic indices that fit it one after another."""
    shape = draw(shapes)
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


@st.composite
def windows(draw, shape):
    """The shape of a larger mask, and an index that cuts a window of `shape` out of it."""
    whole, index = [], []
    for length in shape:
        step = draw(st.sampled_from([1, 1, 1, 2, -1]))
        before, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        whole.append(before + max(length * abs(step), 1) + after)
        last = before + length * abs(step)
        if step > 0:
            index.append(slice(before, last, step))
        else:
            index.append(slice(last - 1, before - 1 if before else None, -1) if length else slice(0, 0))
    return tuple(whole), tuple(index)
