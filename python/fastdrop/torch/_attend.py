# SPDX-License-Identifier: BSD-3-Clause
"""Attention by blocks, for autograd: no tensor has an element for every query and key.

The scores of a block become weights in memory that the next block uses again. The backward pass makes them
again, from the logarithm of each row's sum of exponentials [1]_.

.. [1] Dao, Fu, Ermon, Rudra and Ré, "FlashAttention", NeurIPS 2022, appendices B.2 and B.4.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ._apply import apply_state
from ._attention_blocks import Block, Call, blocks
from ._attention_composed import compose
from ._internals import is_batched
from ._memory import is_plain


def attend(call: Call, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None) -> Tensor:
    """Attention on plain tensors of one dtype, which are broadcast to the leading axes of the decisions."""
    ndim = len(call.decisions.shape)
    query, key, value = (_with_axes(tensor, ndim) for tensor in (query, key, value))
    if attn_mask is not None:
        attn_mask = _with_axes(attn_mask, ndim)
        # Along an axis of stride 0 all is the same, and need not be converted more than once.
        attn_mask = attn_mask[tuple(slice(None if stride else 1) for stride in attn_mask.stride())]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value)):
        result: Tensor = _record(call, query, key, value, attn_mask)
        return result
    return _forward(call, query, key, value, attn_mask)[0]


def _with_axes(tensor: Tensor, ndim: int) -> Tensor:
    missing = ndim - tensor.dim()
    return tensor[(None,) * missing] if missing else tensor


class _Recorded(Function):
    @staticmethod
    def forward(ctx: Any, call: Call, *operands: Any) -> Tensor:
        out, lse = _forward(call, *operands)
        ctx.call = call
        ctx.save_for_backward(*operands, out, lse)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        *operands, out, lse = ctx.saved_tensors
        # create_graph=True, is_grads_batched=True, and what is more than memory.
        if torch.is_grad_enabled() or is_batched(dout) or not is_plain(dout):
            return None, *_composed_gradients(ctx.call, dout, *operands), None
        with torch.autocast("cpu", enabled=False):
            return None, *_gradients(ctx.call, dout, out, lse, *operands), None


_record = super(Function, _Recorded).apply  # as in `_apply`


def _forward(
    call: Call, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The result, and the logarithm of the sum of exponentials of every row of scores."""
    shape = (*call.decisions.shape[:-1], value.size(-1))
    out = torch.empty_like(query) if query.shape == shape else query.new_empty(shape)
    lse = query.new_empty(shape[:-1])
    cut = list(blocks(call, query.dtype))
    scratch = _scratch(cut, query)
    for block in cut:
        weights, scores = block.scores(scratch)
        torch.matmul(block.queries(query), block.keys(key).mT, out=weights)
        added = block.added(attn_mask, query.dtype)
        block.run("softmax_dropout", scores, added, scores, None, block.queries(lse))
        torch.matmul(weights, block.keys(value), out=block.queries(out))
    return out, lse


def _gradients(
    call: Call,
    dout: Tensor,
    out: Tensor,
    lse: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    dquery = torch.zeros_like(query)
    # Transposed: BLAS takes a quarter longer for a sum over rows whose result has its long axis first.
    dkey_transposed, dvalue_transposed = (tensor.new_zeros(tensor.mT.shape) for tensor in (key, value))
    cut = list(blocks(call, query.dtype))
    scratch, other_scratch = _scratch(cut, query), _scratch(cut, query)
    for block in cut:
        queries, douts, keys = block.queries(query), block.queries(dout), block.keys(key)
        (dropped, scores), (dscores, dweights) = block.scores(scratch), block.scores(other_scratch)
        torch.matmul(queries, keys.mT, out=dropped)
        torch.matmul(douts, block.keys(value).mT, out=dscores)
        added = block.added(attn_mask, query.dtype)
        delta = (douts * block.queries(out)).sum(-1)
        block.run("attention_backward", dweights, scores, added, block.queries(lse), delta, dweights, scores)
        _add_product(block.queries(dquery), dscores, keys)
        _add_product(block.columns(dkey_transposed), queries.mT, dscores)
        _add_product(block.columns(dvalue_transposed), douts.mT, dropped)
    return dquery, dkey_transposed.mT, dvalue_transposed.mT


def _scratch(cut: list[Block], like: Tensor) -> Tensor:
    """Memory for the scores of one block after another."""
    return like.new_empty(max(math.prod(block.decisions.shape) for block in cut))


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dim() == 2:
        total.addmm_(left, right)
    else:
        total.add_((left @ right).sum_to_size(total.shape))


def _composed_gradients(
    call: Call, dout: Tensor, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None
) -> list[Tensor | None]:
    """The gradients by torch's own functions, which autograd can differentiate again."""

    def drop(weights: Tensor) -> Tensor:
        return apply_state("dropout", weights, call.decisions, (call.scale,))

    operands, create_graph = (query, key, value), torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        out = compose(*operands, attn_mask, call.is_causal, call.factor, drop)
        needed = [tensor for tensor in operands if tensor.requires_grad]
        found = iter(torch.autograd.grad(out, needed, dout, create_graph=create_graph))
    return [next(found) if tensor.requires_grad else None for tensor in operands]
