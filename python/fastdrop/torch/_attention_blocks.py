# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of the scores of attention, on tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .. import _core
from .._states import slice_state
from ..fused import _attention_blocks
from ._memory import ELEMENTS
from ._rows import walkable

if TYPE_CHECKING:
    from .._core import MaskState
    from .._values import Value


# Of a causal block, twice those of NumPy's: torch copies what a product takes along two axes that are not one
# in memory, of batches and heads. With (16, 4, 512, 64), 64 rows took a fifth longer, and 256 a seventh.
CAUSAL_ROWS = 128


class Call(NamedTuple):
    """What a call of attention says, but for its tensors."""

    decisions: MaskState  # who is kept, in the shape of all scores
    scale: Value
    factor: float  # of the scores
    is_causal: bool


class Block(NamedTuple):
    """Some of the scores, and what belongs to them of tensors that are broadcast."""

    call: Call
    place: _attention_blocks.Block
    decisions: MaskState

    def scores(self, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """The scores in that memory: of the keys that the block sees, and of all."""
        shape = self.decisions.shape
        whole = scratch[: math.prod(shape)].view(shape)
        return whole[..., self.place.keys], whole

    def queries(self, tensor: Tensor) -> Tensor:
        """Of what has a row for every query."""
        return _part(tensor, *self.place.queries)

    def keys(self, tensor: Tensor) -> Tensor:
        """Of what has a row for every key."""
        return _part(tensor, *self.place.seen)

    def columns(self, tensor: Tensor) -> Tensor:
        """Of what has a column for every key."""
        return _part(tensor, *self.place.heads, slice(None), self.place.keys)

    def added(self, attn_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores."""
        if attn_mask is None:
            return None
        part = _part(attn_mask, *self.place.queries)
        if part.dtype is torch.bool:
            part = torch.zeros_like(part, dtype=dtype).masked_fill_(~part, -math.inf)
        return walkable(part.to(dtype).expand(self.decisions.shape))

    def run(self, operation: str, scores: Tensor, *others: Tensor | None) -> None:
        """The core's operation on memory: inputs, then outputs. None is an operand that is absent."""
        memory = list[object]()
        for tensor in (scores, *others):
            if tensor is None:
                memory += 0, None
            elif tensor.is_contiguous():
                memory += tensor.data_ptr(), None
            else:  # of what is per row, the stride along a row does not count
                memory += tensor.data_ptr(), (*tensor.stride(), 0)[: scores.dim()]
        call = self.call
        visible = self.place.rows.start + 1.0 if call.is_causal else math.inf
        constants = call.scale, call.factor, visible
        _core.run_memory(operation, self.decisions, ELEMENTS[scores.dtype], *memory, *constants)


def blocks(call: Call, dtype: torch.dtype) -> Iterator[Block]:
    """All of them."""
    whole = call.decisions
    for place in _attention_blocks.blocks(whole.shape, call.is_causal, dtype.itemsize, CAUSAL_ROWS):
        yield Block(call, place, slice_state(whole, place.queries)[0])


def _part(tensor: Tensor, *index: int | slice) -> Tensor:
    """What an index selects of a tensor that is broadcast along its axes of length 1."""
    entries = zip(index, tensor.shape, strict=False)
    return tensor[
        tuple(
            entry if length > 1 else 0 if isinstance(entry, int) else slice(None) for entry, length in entries
        )
    ]
