# SPDX-License-Identifier: BSD-3-Clause
"""Attention composed of torch's functions, which hold all weights at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ._internals import safe_softmax


def compose(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    is_causal: bool,
    factor: float,
    drop: Callable[[Tensor], Tensor],
) -> Tensor:
    """What compilers, transforms and other devices get. `drop` drops weights."""
    # The factor goes to the queries: they are fewer numbers than the scores.
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        is_bool = attn_mask.dtype is torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if is_bool else scores + attn_mask
    # A row of -inf becomes zeros, not NaN.
    return drop(safe_softmax(scores, -1)) @ value
