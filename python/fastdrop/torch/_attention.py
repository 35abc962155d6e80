# SPDX-License-Identifier: BSD-3-Clause
"""Attention whose weights are dropped by fastdrop."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from numpy import broadcast_shapes
from torch import Tensor
from torch.overrides import handle_torch_function

from .. import _checks
from .._values import scale_for
from ._attend import attend
from ._attention_blocks import Call
from ._attention_composed import compose
from ._internals import with_names
from ._memory import ELEMENTS, are_plain, is_memory, is_ours, is_seen_by_modes
from ._operators import draw_state
from .functional import dropout


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`torch.nn.functional.scaled_dot_product_attention`, whose weights are dropped by `dropout`.

    ``dropout(softmax(query key^T scale + attn_mask)) value``, in blocks of rows: there is never a tensor of
    all weights, also not for the backward pass, which computes them again [1]_. Without dropout, and for what
    fastdrop does not take, this is torch's own function.

    Parameters
    ----------
    query : Tensor of shape (..., heads, L, E)
        Queries.
    key, value : Tensor of shape (..., heads, S, E) and (..., heads, S, Ev)
        Keys and values.
    attn_mask : Tensor, optional
        What is added to the scores, or a bool tensor that is True where a query may attend. It is broadcast
        to (..., heads, L, S). If it requires a gradient, all weights are held.
    dropout_p : float, default 0
        Probability of dropping a weight.
    is_causal : bool, default False
        A query attends to keys up to its own position only.
    scale : float, optional
        ``1 / sqrt(E)`` by default.
    enable_gqa : bool, default False
        Several heads of queries share one head of keys and values.

    Returns
    -------
    Tensor of shape (..., heads, L, Ev)
        float16 and bfloat16 are computed in float32, as torch does. A query that may attend to nothing gets
        zeros.

    Raises
    ------
    TypeError, ValueError
        If `dropout_p` or `attn_mask` is of the wrong kind, `dropout_p` is out of range, or `attn_mask` is
        given with `is_causal`.

    Notes
    -----
    The mask of a seed is the one of `dropout` for a tensor of shape (..., heads, L, S). The last digits of
    the result depend on torch's matrix products. Compiled code, `torch.func` and ``create_graph=True`` hold
    all weights.

    References
    ----------
    .. [1] Dao, Fu, Ermon, Rudra and Ré, "FlashAttention: Fast and memory-efficient exact attention with
       IO-awareness", NeurIPS 2022.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> query, key, value = torch.ones(3, 2, 4, 5, 8)
    >>> fastdrop.torch.scaled_dot_product_attention(query, key, value, dropout_p=0.1).shape
    torch.Size([2, 4, 5, 8])
    """
    if type(dropout_p) is not float or not 0.0 <= dropout_p <= 1.0:
        dropout_p = _checks.scalar_probability(dropout_p, "dropout_p")
    if dropout_p == 0 or not is_ours(query):
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if is_causal and attn_mask is not None:
        raise ValueError("attn_mask must be None if is_causal is True: the causal mask is one already")
    if attn_mask is not None and not _is_mask(attn_mask):
        raise TypeError(
            "attn_mask must be a tensor of bool or of a floating-point dtype, not "
            f"{attn_mask.dtype if isinstance(attn_mask, Tensor) else _checks.describe(attn_mask)}"
        )
    if attn_mask is not None and attn_mask.dtype is torch.float64 is not query.dtype:
        raise TypeError(f"attn_mask must have the dtype of query, {query.dtype}, or bool, not torch.float64")
    options = attn_mask, dropout_p, is_causal, scale, enable_gqa
    if is_seen_by_modes(query):  # such as `replace_functional`: each is left while the function runs
        operands = query, key, value
        return handle_torch_function(scaled_dot_product_attention, operands, *operands, *options)
    # Short floats as torch's own function takes them: autocast rounds to them, and the products are made in
    # float32. In float16 scores would overflow, and in bfloat16 they have three digits.
    if torch.is_autocast_enabled("cpu") and query.dtype is not torch.float64:
        dtype = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            return scaled_dot_product_attention(query.to(dtype), key.to(dtype), value.to(dtype), *options)
    if query.dtype in (torch.float16, torch.bfloat16):
        result = scaled_dot_product_attention(query.float(), key.float(), value.float(), *options)
        return result.to(query.dtype)
    if enable_gqa:
        query, key, value, attn_mask = _by_groups(query, key, value, attn_mask)
    factor = 1 / math.sqrt(max(query.size(-1), 1)) if scale is None else scale
    shape = _shape_of_scores(query, key, value, attn_mask)
    if shape is None:
        drop = partial(dropout, p=dropout_p)
        result = compose(query, key, value, attn_mask, is_causal, factor, drop)
    else:
        call = Call(draw_state(dropout_p, shape, None), scale_for(dropout_p, True), factor, is_causal)
        result = attend(call, query, key, value, attn_mask)
    return result.flatten(-4, -3) if enable_gqa else result


def _is_mask(attn_mask: object) -> bool:
    return isinstance(attn_mask, Tensor) and (attn_mask.dtype is torch.bool or attn_mask.is_floating_point())


def _by_groups(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Views with an axis more, along which the heads of queries lie that share keys and values."""
    heads, shared = query.size(-3), key.size(-3)
    if value.size(-3) != shared:
        raise ValueError(f"value must have the {shared} heads of key, not {value.size(-3)}")
    if not shared or not heads or heads % shared:
        raise ValueError(f"query must have a multiple of the {shared} heads of key and value, not {heads}")
    groups = shared, heads // shared
    if attn_mask is not None and attn_mask.dim() > 2:
        is_shared = attn_mask.size(-3) == 1
        attn_mask = attn_mask.unsqueeze(-3) if is_shared else attn_mask.unflatten(-3, groups)
    return query.unflatten(-3, groups), key.unsqueeze(-3), value.unsqueeze(-3), attn_mask


# What can be added to scores of a dtype without being rounded.
_MASK_DTYPES = {
    dtype: {torch.bool, *(own for own in ELEMENTS if own.itemsize <= dtype.itemsize)} for dtype in ELEMENTS
}


def _shape_of_scores(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None
) -> tuple[int, ...] | None:
    """The shape of the scores if blocks of them can be made, None if torch has to do it or to refuse it."""
    operands = query, key, value
    if not are_plain(operands) or not query.dtype is key.dtype is value.dtype:
        return None
    if any(tensor.dim() < 2 or tensor.numel() == 0 for tensor in operands):
        return None
    if query.size(-1) != key.size(-1) or key.size(-2) != value.size(-2):
        return None
    others = [(*value.shape[:-2], 1, 1)]
    if attn_mask is not None:
        needs_gradient = attn_mask.requires_grad and torch.is_grad_enabled()
        if needs_gradient or not is_memory(attn_mask, _MASK_DTYPES[query.dtype]):
            return None
        others.append(tuple(attn_mask.shape))
    try:  # torch.broadcast_shapes takes ten times as long
        shape = (*broadcast_shapes(query.shape[:-2], key.shape[:-2]), query.size(-2), key.size(-2))
        return shape if broadcast_shapes(shape, *others) == shape else None
    except ValueError:
        return None


# torch's own function draws inside by these two names.
multi_head_attention_forward = with_names(
    F.multi_head_attention_forward, dropout=dropout, scaled_dot_product_attention=scaled_dot_product_attention
)
