# SPDX-License-Identifier: BSD-3-Clause
"""Attention and its gradients by the textbook, in longdouble, with bounds of the rounding errors.

Products of matrices are bounded in any order of their sums, with and without a fused multiply-add. So neither
the library that computes them matters nor how attention is cut into blocks.
"""

import math

import ml_dtypes
import numpy as np

from bounded import Bounded
from fastdrop.reference import computed_with
from softmax_formulas import Softmax, constant, dropped, powers_of_e


def product(a, b):
    """``a @ b``."""
    terms = a[..., :, :, np.newaxis] * b[..., np.newaxis, :, :]
    return terms.sum(-2, depth=terms.value.shape[-2])


def transposed(a):
    return Bounded(a.value.swapaxes(-1, -2), a.dtype, a.error.swapaxes(-1, -2))


def summed_to(a, shape):
    """The sum over the axes along which an operand of that shape was broadcast."""
    own = (1,) * (a.value.ndim - len(shape)) + shape
    for axis in reversed(range(a.value.ndim)):
        if own[axis] != (length := a.value.shape[axis]):
            a = a.sum(axis, depth=length)
    return Bounded(a.value.reshape(shape), a.dtype, a.error.reshape(shape))


class Attention:
    """Of arrays of one dtype: y, and by `backward` the gradients. `keep` has the shape of the weights."""

    def __init__(self, query, key, value, keep, drop_scale, *, scale=None, added=None, seen=None):
        self.dtype, self.own = query.dtype, computed_with(query.dtype)
        self.shapes = [operand.shape for operand in (query, key, value)]
        self.query, self.key, self.value = map(self.wide, (query, key, value))
        self.keep, self.drop_scale = keep, drop_scale
        self.scale = constant(1 / math.sqrt(query.shape[-1]) if scale is None else scale, self.own)
        seen = np.broadcast_to(np.True_ if seen is None else seen, keep.shape)
        scores = product(self.query, transposed(self.key))
        scores = scores.where(np.ones(keep.shape, bool))  # for every value, too
        self.softmax, self.seen = Softmax(scores, self.scale, added, seen), seen
        self.y = product(dropped(self.softmax.weights, keep, drop_scale), self.value)

    def wide(self, array):
        return Bounded(np.asarray(array).astype(self.own), self.own)

    def as_saved(self):
        """y as it is rounded to the dtype."""
        if self.dtype == self.own:
            return self.y
        info = ml_dtypes.finfo(self.dtype)
        size = abs(self.y.value) + self.y.error
        error = self.y.error + float(info.eps) / 2 * size + float(info.smallest_subnormal)
        return Bounded(self.y.value, self.own, error)

    def backward(self, dy):
        dy = self.wide(dy)
        # The sum of the softmax is saved as its logarithm, which is rounded; weights are powers again.
        softmax = self.softmax
        logarithm = softmax.logarithm()
        lse = Bounded(softmax.shift, self.own) + logarithm
        weights = powers_of_e((softmax.z - lse).where(self.seen)).where(self.seen)
        gradient = dropped(product(dy, transposed(self.value)), self.keep, self.drop_scale)
        terms = dy * self.as_saved()
        delta = terms.sum(-1, depth=terms.value.shape[-1])[..., np.newaxis]
        dscores = ((weights * (gradient - delta)) * self.scale).where(self.seen)
        left = dropped(weights, self.keep, self.drop_scale)
        dquery, dkey = product(dscores, self.key), product(transposed(dscores), self.query)
        results = dquery, dkey, product(transposed(left), dy)
        return [summed_to(one, shape) for one, shape in zip(results, self.shapes, strict=True)]
