# SPDX-License-Identifier: BSD-3-Clause
"""What a query attends to: masks of scores, and causal ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from .._checks import Array


def added_mask(attn_mask: Any, shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> Array | None:
    """What is added to scores of that shape, as a view that is broadcast to them: a bool mask becomes -inf.

    `name` is that of the scores.
    """
    if attn_mask is None:
        return None
    native = dtype.newbyteorder("=")
    wanted = f"an array of bool, True where a query may attend, or of {native}, which is added"
    mask = _checks.as_array(attn_mask, "attn_mask", wanted)
    if mask.dtype == np.bool_:
        mask = np.where(mask, native.type(-0.0), native.type(-np.inf))
    elif not _checks.is_float_dtype(mask.dtype):
        remedy = (
            "; write numpy.asarray(attn_mask, bool) if 1 means to attend" if mask.dtype.kind in "iu" else ""
        )
        raise TypeError(f"attn_mask must be {wanted}, not {_checks.describe(attn_mask)}{remedy}")
    elif mask.dtype.newbyteorder("=") != native:
        raise TypeError(
            f"attn_mask must have the dtype of {name}, {native}, or bool, not {mask.dtype}; "
            f"write numpy.asarray(attn_mask, {name}.dtype)"
        )
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"attn_mask must have a shape that broadcasts to {shape}, not {mask.shape}")
    # Along the last axis the core reads consecutive values. The other axes cost no memory.
    rows = np.broadcast_to(mask, (*mask.shape[:-1], shape[-1])) if mask.ndim else np.full(shape[-1:], mask)
    return np.broadcast_to(np.require(rows, native, ["C", "A"]), shape)


def checked_scale(scale: Any, dtype: np.dtype[Any]) -> float:
    """What scores of that dtype are multiplied by: finite in the type that is computed with."""
    factor = _checks.finite(scale, "scale")
    if dtype.itemsize < 8 and abs(factor) > float(np.finfo(np.float32).max):
        raise ValueError(f"scale must be finite in float32, not {_checks.abbreviate(scale)}")
    return factor


def checked_causal(is_causal: Any, shape: tuple[int, ...]) -> bool:
    """Whether a query sees the keys up to its own only, of scores of that shape."""
    if is_causal is False or not _checks.boolean(is_causal, "is_causal"):
        return False
    if len(shape) < 2:
        raise ValueError(f"is_causal needs scores of queries and keys, two axes, not the shape {shape}")
    return True
