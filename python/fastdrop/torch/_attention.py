# SPDX-License-Identifier: BSD-3-Clause
"""Attention whose weights are dropped by fastdrop."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import _checks
from ._internals import safe_softmax, with_names
from ._memory import is_ours
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

    ``dropout(softmax(query key^T scale + attn_mask)) value``. Without dropout, and for what fastdrop does not
    take, this is torch's own function.

    Parameters
    ----------
    query : Tensor of shape (..., heads, L, E)
        Queries.
    key, value : Tensor of shape (..., heads, S, E) and (..., heads, S, Ev)
        Keys and values.
    attn_mask : Tensor, optional
        What is added to the scores, or a bool tensor that is True where a query may attend. It is broadcast
        to (..., heads, L, S).
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
        zeros. One whose scores all overflow to -inf gets zeros from torch, and NaN here unless `attn_mask` is
        given.

    Raises
    ------
    TypeError, ValueError
        If `dropout_p` or `attn_mask` is of the wrong kind, `dropout_p` is out of range, or `attn_mask` is
        given with `is_causal`.

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
    # Short floats as torch's own function takes them: autocast rounds to them, and the products are made in
    # float32. In float16 scores would overflow, and in bfloat16 they have three digits.
    options = attn_mask, dropout_p, is_causal, scale, enable_gqa
    if torch.is_autocast_enabled("cpu") and query.dtype is not torch.float64:
        dtype = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            return scaled_dot_product_attention(query.to(dtype), key.to(dtype), value.to(dtype), *options)
    if query.dtype in (torch.float16, torch.bfloat16):
        result = scaled_dot_product_attention(query.float(), key.float(), value.float(), *options)
        return result.to(query.dtype)
    if enable_gqa:
        key, value = (_shared_by_heads(heads, query.size(-3)) for heads in (key, value))
    factor = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    # The scale goes to the queries: they are fewer numbers than the scores.
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        is_bool = attn_mask.dtype is torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if is_bool else scores + attn_mask
    # As on torch's own path with dropout, a row of -inf becomes zeros, not NaN. Only a mask that is given
    # makes such rows of finite scores: a causal one leaves the first key. The check takes three passes more.
    has_empty_rows = attn_mask is not None and not is_causal
    weights = safe_softmax(scores, -1) if has_empty_rows else torch.softmax(scores, -1)
    return dropout(weights, dropout_p) @ value


def _is_mask(attn_mask: object) -> bool:
    return isinstance(attn_mask, Tensor) and (attn_mask.dtype is torch.bool or attn_mask.is_floating_point())


def _shared_by_heads(heads: Tensor, count: int) -> Tensor:
    """Keys or values, for so many heads of queries."""
    times, rest = divmod(count, heads.size(-3))
    if rest or not times:
        raise ValueError(
            f"query must have a multiple of the {heads.size(-3)} heads of key and value, not {count}"
        )
    return heads.repeat_interleave(times, -3)


# torch's own function draws inside by these two names.
multi_head_attention_forward = with_names(
    F.multi_head_attention_forward, dropout=dropout, scaled_dot_product_attention=scaled_dot_product_attention
)
