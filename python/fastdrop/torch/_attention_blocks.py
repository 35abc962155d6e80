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

    def scores(self, scratch: Tensor) -> Tensor:
        """The scores, in that memory."""
        return scratch[: math.prod(self.decisions.shape)].view(self.decisions.shape)

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
        part = _part(attn_mask, *self.place.scores)
        if part.dtype is torch.bool:
            part = torch.zeros_like(part, dtype=dtype).masked_fill_(~part, -math.inf)
        return walkable(part.to(dtype).expand(self.decisions.shape))

    def run(self, operation: str, scores: Tensor, *others: Tensor | None) -> None:
        """The core's operation on memory: inputs, then outputs. None is an operand that is absent."""
        memory = list[object]()
        for tensor in (scores, *others):
            if tensor is None:
                memory += 0, None
            else:
                memory += tensor.data_ptr(), None if tensor.is_contiguous() else tensor.stride()
        call = self.call
        visible = self.place.rows.start + 1.0 if call.is_causal else math.inf
        constants = call.scale, call.factor, visible
        _core.run_memory(operation, self.decisions, ELEMENTS[scores.dtype], *memory, *constants)


def blocks(call: Call, dtype: torch.dtype) -> Iterator[Block]:
    """All of them, in the order of memory."""
    whole = call.decisions
    for place in _attention_blocks.blocks(whole.shape, call.is_causal, dtype.itemsize):
        yield Block(call, place, slice_state(whole, place.scores)[0])


def _part(tensor: Tensor, *index: int | slice) -> Tensor:
    """What an index selects of a tensor that is broadcast along its axes of length 1."""
    entries = zip(index, tensor.shape, strict=False)
    return tensor[
        tuple(
            entry if length > 1 else 0 if isinstance(entry, int) else slice(None) for entry, length in entries
        )
    ]
