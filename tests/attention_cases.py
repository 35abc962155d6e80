# SPDX-License-Identifier: BSD-3-Clause
"""Arrays for the tests of attention, and what attention must make of them.

Bits depend on the library that multiplies matrices, and it may look at the place of an array. So results are
judged by the textbook, with the bounds of `attention_formulas.py`.
"""

import numpy as np
import pytest

import attention_formulas as formulas
import fastdrop
from arrays import DTYPES
from fastdrop.mask import state_and_scale

BATCH, HEADS, QUERIES, KEYS, SIZE, OWN_SIZE = 2, 3, 7, 9, 8, 5
LEADING = BATCH, HEADS
WEIGHTS = BATCH, HEADS, QUERIES, KEYS

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def normal(seed, dtype, shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def operands(dtype="float32", queries=QUERIES, keys=KEYS, size=SIZE, own_size=OWN_SIZE, leading=LEADING):
    """query, key, value and dy."""
    shapes = (queries, size), (keys, size), (keys, own_size), (queries, own_size)
    return [normal(seed, dtype, (*leading, *shape)) for seed, shape in enumerate(shapes)]


def triangle(rows, columns):
    """What a causal row sees."""
    return np.tril(np.ones((rows, columns), bool))


def exact(query, key, value, dy, mask, **options):
    """y and the gradients of query, key and value."""
    keep, (_, drop_scale) = np.broadcast_to(mask.to_numpy(), mask.shape), state_and_scale(mask)
    textbook = formulas.Attention(query, key, value, keep, drop_scale, **options)
    return [textbook.y, *textbook.backward(dy)]


def attend(query, key, value, dy, *, out=None, gradients=None, **options):
    """The same by the package."""
    y, saved = fastdrop.attention(query, key, value, out=out, **options)
    return [y, *fastdrop.attention_backward(dy, saved, out=gradients)]


def check(results, wanted, dtype):
    for result, right in zip(results, wanted, strict=True):
        assert result.dtype == np.dtype(dtype)
        right.check(result)
