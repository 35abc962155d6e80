# SPDX-License-Identifier: BSD-3-Clause
"""The blocks that scores of attention are cut into: some rows of one matrix, or some whole matrices."""

from __future__ import annotations

import math
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

BLOCK_BYTES = 1 << 20  # of scores


class Call(NamedTuple):
    """What a call of attention says, but for its tensors."""

    decisions: MaskState  # who is kept, in the shape of all scores
    scale: Value
    factor: float  # of the scores
    is_causal: bool


class Block(NamedTuple):
    """Some of the scores, and what belongs to them of tensors that are broadcast."""

    call: Call
    index: tuple[int | slice, ...]  # of leading axes and rows
    shape: tuple[int, ...]  # of the scores, without keys that no row sees
    decisions: MaskState
    visible: float  # how many keys the first row of a matrix sees; each row sees one more than the one before

    def view(self, scratch: Tensor) -> Tensor:
        """The scores, in that memory."""
        return scratch[: math.prod(self.shape)].view(self.shape)

    def rows(self, tensor: Tensor) -> Tensor:
        """Of what has an axis of queries and one of features."""
        return _part(tensor, *self.index)

    def keys(self, tensor: Tensor) -> Tensor:
        """Of what has an axis of keys and one of features."""
        return _part(tensor, *self.index[:-1], slice(self.shape[-1]))

    def columns(self, tensor: Tensor) -> Tensor:
        """Of what has an axis of features and one of keys."""
        return _part(tensor, *self.index[:-1], slice(None), slice(self.shape[-1]))

    def added(self, attn_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores."""
        if attn_mask is None:
            return None
        part = _part(attn_mask, *self.index)
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
    axis, length = _cut(shape, dtype)
    strides, matrix = c_strides(shape), [slice(0, end) for end in shape[axis + 1 : -1]]
    for outer in product(*map(range, shape[:axis])):
        for first in range(0, shape[axis], length):
            last = min(first + length, shape[axis])
            index = (*outer, slice(first, last), *matrix)
            rows, keys = index[-1], shape[-1]
            seen = min(keys, rows.stop) if call.is_causal else keys
            own_shape = (last - first, *shape[axis + 1 : -1], seen)
            # Where rows are cut short, their ends do not follow each other.
            own_strides = None if seen == keys else (*strides[axis:-1], 1)
            start = sum(stride * position for stride, position in zip(strides, (*outer, first), strict=False))
            decisions = _core.MaskState(
                whole.generator, whole.key, whole.stream, whole.p, start, own_shape, own_strides, None
            )
            visible = rows.start + 1.0 if call.is_causal else math.inf
            yield Block(call, index, own_shape, decisions, visible)


def new_scratch(call: Call, like: Tensor) -> Tensor:
    """Memory for the scores of one block after another."""
    shape = call.decisions.shape
    axis, length = _cut(shape, like.dtype)
    return like.new_empty(length * math.prod(shape[axis + 1 :]))


def _cut(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[int, int]:
    """The axis that is cut, the inner ones being whole, and how much of it a block has."""
    axis, rest = len(shape) - 2, shape[-1]
    limit = BLOCK_BYTES // dtype.itemsize
    while axis and rest * shape[axis] <= limit:
        rest *= shape[axis]
        axis -= 1
    return axis, min(max(1, limit // rest), shape[axis])


def _part(tensor: Tensor, *index: int | slice) -> Tensor:
    """What an index selects of a tensor that is broadcast along its axes of length 1."""
    entries = zip(index, tensor.shape, strict=False)
    return tensor[
        tuple(
            entry if length > 1 else 0 if isinstance(entry, int) else slice(None) for entry, length in entries
        )
    ]
