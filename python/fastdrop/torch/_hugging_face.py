# SPDX-License-Identifier: BSD-3-Clause
"""Attention of fastdrop by name, for models of Hugging Face's transformers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .. import _checks
from ._attention import scaled_dot_product_attention

# What changes weights too. Some models hand it over to every attention, and expect that it counts.
_UNKNOWN = ("softcap", "s_aux", "sinks", "indices", "block_indices")


def register_attention(name: str = "fastdrop") -> None:
    """Register `scaled_dot_product_attention` with transformers of Hugging Face, by name [1]_.

    Models take it by ``attn_implementation=name`` when they are made or loaded, or by
    ``model.set_attn_implementation(name)``. Their masks are those of the implementation "sdpa".

    Parameters
    ----------
    name : str, default "fastdrop"
        The name. To register it again changes nothing.

    Raises
    ------
    ImportError
        If transformers is not installed, or has no registry of masks.
    TypeError, ValueError
        If `name` is no string, or transformers has another implementation of that name.

    Notes
    -----
    Only the dropout of attention weights is fastdrop's then. `replace_dropout` and `replace_functional` reach
    the others. A model raises ValueError when it runs if its attention does more than a mask and a bias of
    positions say, such as a soft cap of scores or attention sinks. Weights are not returned, as by "sdpa".

    References
    ----------
    .. [1] Hugging Face, transformers, "Attention Interface",
       https://huggingface.co/docs/transformers/attention_interface

    Examples
    --------
    >>> import fastdrop.torch, torch, transformers
    >>> fastdrop.torch.register_attention()
    >>> sizes = {"vocab_size": 50, "n_embd": 16, "n_layer": 1, "n_head": 2}
    >>> config = transformers.GPT2Config(**sizes, attn_implementation="fastdrop")
    >>> transformers.GPT2LMHeadModel(config)(torch.arange(9)[None]).logits.shape
    torch.Size([1, 9, 50])
    """
    try:
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import sdpa_mask
    except ImportError as error:
        text = "register_attention needs transformers with its registry of masks: pip install -U transformers"
        raise ImportError(text, name="transformers") from error
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {_checks.describe(name)}")
    known = {"eager": None, **AttentionInterface()}
    if known.get(name, _attention) is not _attention:
        raise ValueError(f"name must be one that transformers does not know yet, not {name!r}")
    AttentionInterface.register(name, _attention)
    AttentionMaskInterface.register(name, sdpa_mask)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it: (batch, heads, T, features) in, (batch, T, heads, features) out."""
    for argument in _UNKNOWN:
        if others.get(argument) is not None:
            raise ValueError(
                f"{argument} must be None for attention of fastdrop, which {type(module).__name__} has been "
                'set to: use attn_implementation="eager"'
            )
    # transformers leaves a causal mask out where this says the same. A single query sees all keys before it.
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    is_causal = query.size(2) > 1 and attention_mask is None and is_causal
    if position_bias is not None:
        if is_causal:
            attention_mask = position_bias.new_ones(query.size(2), key.size(2), dtype=torch.bool).tril()
            is_causal = False
        attention_mask = _added(position_bias, attention_mask)
    result = scaled_dot_product_attention(
        query,
        key,
        value,
        attention_mask,
        dropout,
        is_causal,
        scaling,
        enable_gqa=key.size(1) != query.size(1),
    )
    return result.transpose(1, 2).contiguous(), None


def _added(bias: Tensor, mask: Tensor | None) -> Tensor:
    """A bias of the scores and a mask, as one mask."""
    if mask is None:
        return bias
    return bias.masked_fill(~mask, -math.inf) if mask.dtype is torch.bool else bias + mask
