# SPDX-License-Identifier: BSD-3-Clause
"""The blocks that scores of attention are cut into: some rows of one matrix, or some whole matrices."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .. import _core
from .._windows import c_strides
from ._memory import ELEMENTS
from ._rows import walkable

if TYPE_CHECKING:
    from .._core import MaskState
    from .._values import Value

# Measured with float32, heads of 64 features, 192 to 16,384 rows, one and two threads. Larger blocks, up to
# 4 MiB, gain 5 % at most; blocks of 256 KiB lose 10 to 25 %: products of few rows are slow. So a block
# has more bytes where rows have more than 4,096 keys: 16,384 of them took a third longer by 16 rows. A causal
# block computes scores that no row sees, half the square of its rows: with 512 rows of 512 keys, it took a
# fifth longer than two blocks of 256 rows.
BLOCK_BYTES = 1 << 20  # of scores
FEWEST_ROWS = 64  # that a block of some rows of one matrix has
CAUSAL_ROWS = 256  # that it has at most if it is causal


class Call(NamedTuple):
    """What a call of attention says, but for its tensors."""

    decisions: MaskState  # who is kept, in the shape of all scores
    scale: Value
    factor: float  # of the scores
    is_causal: bool


class Block(NamedTuple):
    """Some of the scores, and what belongs to them of tensors that are broadcast."""

    call: Call
    place: tuple[int | slice, ...]  # an index of leading axes and rows
    shape: tuple[int, ...]  # of the scores, without keys that no row sees
    decisions: MaskState
    visible: float  # how many keys the first row of a matrix sees; each row sees one more than the one before

    def view(self, scratch: Tensor) -> Tensor:
        """The scores, in that memory."""
        return scratch[: math.prod(self.shape)].view(self.shape)

    def rows(self, tensor: Tensor) -> Tensor:
        """Of what has an axis of queries and one of features."""
        return _part(tensor, *self.place)

    def keys(self, tensor: Tensor) -> Tensor:
        """Of what has an axis of keys and one of features."""
        return _part(tensor, *self.place[:-1], slice(self.shape[-1]))

    def columns(self, tensor: Tensor) -> Tensor:
        """Of what has an axis of features and one of keys."""
        return _part(tensor, *self.place[:-1], slice(None), slice(self.shape[-1]))

    def added(self, attn_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores."""
        if attn_mask is None:
            return None
        part = _part(attn_mask, *self.place)
        if part.dtype is torch.bool:
            part = torch.zeros_like(part, dtype=dtype).masked_fill_(~part, -math.inf)
        return walkable(part.to(dtype).expand(self.shape))

    def run(self, operation: str, scores: Tensor, *others: Tensor | None) -> None:
        """The core's operation on memory: inputs, then outputs. None is an operand that is absent."""
        memory = list[object]()
        for tensor in (scores, *others):
            if tensor is None:
                memory += 0, None
            else:
                memory += tensor.data_ptr(), None if tensor.is_contiguous() else tensor.stride()
        constants = self.call.scale, self.call.factor, self.visible
        _core.run_memory(operation, self.decisions, ELEMENTS[scores.dtype], *memory, *constants)


def blocks(call: Call, dtype: torch.dtype) -> Iterator[Block]:
    """All of them, in the order of the scores."""
    whole, shape = call.decisions, call.decisions.shape
    axis, length = _cut(call, dtype)
    strides, inner, keys = c_strides(shape), shape[axis + 1 : -1], shape[-1]
    for outer in product(*map(range, shape[:axis])):
        for first in range(0, shape[axis], length):
            parts = slice(first, min(first + length, shape[axis])), *map(slice, inner)
            rows = range(shape[-2])[parts[-1]]
            seen = min(keys, rows.stop) if call.is_causal else keys
            own_shape = (parts[0].stop - first, *inner, seen)
            # Rows that are cut short do not follow each other.
            own_strides = None if seen == keys else (*strides[axis:-1], 1)
            start = sum(map(operator.mul, strides, (*outer, first)))
            decisions = _core.MaskState(
                whole.generator, whole.key, whole.stream, whole.p, start, own_shape, own_strides, None
            )
            visible = rows.start + 1.0 if call.is_causal else math.inf
            yield Block(call, (*outer, *parts), own_shape, decisions, visible)


def new_scratch(call: Call, like: Tensor) -> Tensor:
    """Memory for the scores of one block after another."""
    axis, length = _cut(call, like.dtype)
    return like.new_empty(length * math.prod(call.decisions.shape[axis + 1 :]))


def _cut(call: Call, dtype: torch.dtype) -> tuple[int, int]:
    """The axis that is cut, the inner ones being whole, and how much of it a block has."""
    *leading, rows, keys = shape = call.decisions.shape
    axis, rest = len(leading), keys
    limit = BLOCK_BYTES // dtype.itemsize
    most = CAUSAL_ROWS if call.is_causal else rows
    while axis and rows <= most and rest * shape[axis] <= limit:
        rest *= shape[axis]
        axis -= 1
    length = limit // rest
    if axis == len(leading):
        length = min(most, max(FEWEST_ROWS, length))
    return axis, min(shape[axis], length)


def _part(tensor: Tensor, *index: int | slice) -> Tensor:
    """What an index selects of a tensor that is broadcast along its axes of length 1."""
    entries = zip(index, tensor.shape, strict=False)
    return tensor[
        tuple(
            entry if length > 1 else 0 if isinstance(entry, int) else slice(None) for entry, length in entries
        )
    ]
