# SPDX-License-Identifier: BSD-3-Clause
"""Attention with dropout, by blocks of queries, and its gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _checks
from .._checks import Array, Probability
from .._operations import compute_dtype
from .._outputs import check_out, shares_memory
from ..mask import Mask
from ..mask_generator import Rng
from ._attention_blocks import Gradient, Products, blocks, kept_memory, multiply, ready
from ._attn_mask import added_mask, checked_causal, checked_scale
from ._masks import mask_for, optional_p
from ._rows import checked_gradient
from ._saved import AttentionGradients, SavedAttention, check_saved


def attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    p: Probability = 0.0,
    *,
    attn_mask: ArrayLike | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    rng: Rng = None,
    mask: Mask | None = None,
    training: bool = True,
    out: Array | None = None,
) -> tuple[Array, SavedAttention]:
    """Scaled dot-product attention with dropout, without an array of T x S scores.

    ``y = dropout(softmax(query @ key^T * scale + attn_mask)) @ value`` ([1]_). It is computed by blocks of
    queries, whose scores stay in the cache: NumPy's matrix product, `softmax_dropout`, NumPy's matrix
    product. The backward pass computes the scores again ([2]_).

    Parameters
    ----------
    query : array_like of float16, bfloat16, float32 or float64
        Of the shape ``(..., T, d)``: T queries. Heads are leading axes.
    key, value : array_like
        Of the shapes ``(..., S, d)`` and ``(..., S, dv)`` and of query's dtype. Leading axes are broadcast:
        with queries of the shape ``(batch, groups, heads, T, d)``, keys of ``(batch, groups, 1, S, d)`` are
        shared by the heads of a group.
    p : float or array of float, default 0
        Probability of dropping a weight. An array is broadcast to the weights.
    attn_mask : array_like of bool or of query's dtype, optional
        True where a query may attend to a key, or what is added to the scaled scores: -inf where it may not.
        It is broadcast to ``(..., T, S)``. A query that may attend to nothing gets zeros.
    is_causal : bool, default False
        A query sees the keys up to its own number only, both counted from the first.
    scale : float, optional
        ``1 / sqrt(d)`` by default.
    rng : optional
        As for `dropout`: the mask is the one that `dropout` would draw for weights of the shape ``(..., T,
        S)``, whatever the blocks are.
    mask : Mask, optional
        A mask of that shape to use instead of drawing one: `p` and `rng` must then be left out.
    training : bool, default True
        False: nothing is dropped or scaled, and neither `rng` nor `mask` is used.
    out : ndarray, optional
        Where to write y: of the shape ``(..., T, dv)`` and query's dtype, and not overlapping any operand. A
        view such as ``(batch, T, heads, dv).transpose(0, 2, 1, 3)`` will do.

    Returns
    -------
    y : ndarray
        `out`, or a new array in C order and native byte order.
    saved : SavedAttention
        What `attention_backward` needs. It refers to query, key, value, attn_mask and y, which must not
        change before. It holds one number for each query, and no array of T x S.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.
    MemoryError
        If a block finds no memory. `out` may then hold the results of blocks before it.

    Notes
    -----
    Masks have the same bits everywhere. Results depend on NumPy's matrix product: on the BLAS that it was
    built with, the processor and the number of threads. Data of 16 bits are converted to float32, a block at
    a time, and y is rounded once.

    The last axis of query, key and value should be contiguous. Other arrays are copied first.

    References
    ----------
    .. [1] Vaswani et al., "Attention Is All You Need", arXiv:1706.03762 (2017).
    .. [2] Dao et al., "FlashAttention", arXiv:2205.14135 (2022), section 3.1 and appendix B.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> query, key, value = np.random.default_rng(0).standard_normal((3, 8, 4, 100, 16), np.float32)
    >>> y, saved = fastdrop.attention(query, key, value, p=0.1, is_causal=True, rng=0)
    >>> y.shape, saved.mask == fastdrop.Mask((8, 4, 100, 100), 0.1, seed=0)
    ((8, 4, 100, 16), True)
    >>> dquery, dkey, dvalue = fastdrop.attention_backward(np.ones_like(y), saved)
    >>> dkey.shape
    (8, 4, 100, 16)
    """
    if training is not True:
        training = _checks.boolean(training, "training")
    query, key, value = (
        _checks.float_array(array, name) for array, name in ((query, "query"), (key, "key"), (value, "value"))
    )
    leading = _leading_axes(query, key, value)
    shape = (*leading, query.shape[-2], key.shape[-2])
    factor = 1.0 / math.sqrt(query.shape[-1] or 1) if scale is None else checked_scale(scale, query.dtype)
    is_causal = checked_causal(is_causal, shape)
    added = added_mask(attn_mask, shape, query.dtype, "query")
    read = {"query": query, "key": key, "value": value, "attn_mask": added}
    y = _result(out, (*leading, query.shape[-2], value.shape[-1]), read)
    if isinstance(p, np.ndarray) and p.dtype != np.bool_ and p.any() and ((p == 0) | (p == 1)).all():
        raise ValueError("p must not be an array of zeros and ones only, which is a mask: write attn_mask=")
    mask = mask_for(shape, optional_p(p, mask), rng, None, mask, training, "the weights")

    lse = np.empty(shape[:-1], compute_dtype(query.dtype))
    saved = SavedAttention(query, key, value, y, lse, mask, added, is_causal, factor)
    products = Products(saved)
    with np.errstate(all="ignore"), kept_memory():  # no warnings, as of the core
        for block in blocks(shape, is_causal, lse.itemsize):
            query_part, key_part = products.part("query", block.queries), products.part("key", block.seen)
            weights, scores = products.scores("scores", query_part, key_part)
            operands = (scores, products.added(block), scores, False, lse[block.queries])
            products.run("softmax_dropout", block, *operands)
            multiply(weights, products.part("value", block.seen), y[block.queries])
    return (y if out is None else out), saved


def attention_backward(
    dy: ArrayLike,
    saved: SavedAttention,
    *,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> AttentionGradients:
    """The gradients of `attention` with respect to query, key and value.

    With the weights ``w``, the dropped weights ``d``, and ``g = (dy @ value^T) * s`` where the mask keeps and
    ``+0.0`` where it drops: ``dvalue = d^T @ dy``, ``e = w * (g - sum(dy * y)) * scale`` where the sum is
    along a row of y, ``dquery = e @ key``, ``dkey = e^T @ query``. Weights are ``exp(scores - saved.lse)``,
    computed again a block at a time.

    Parameters
    ----------
    dy : array_like of float16, bfloat16, float32 or float64
        Gradient with respect to y, of its shape and dtype.
    saved : SavedAttention
        What `attention` returned.
    out : tuple of three ndarrays, optional
        Where to write dquery, dkey and dvalue, or None for a new one. They may be views, such as parts of one
        array of ``(batch, T, 3, heads, d)``. They must not overlap each other, dy or what was saved.

    Returns
    -------
    dquery, dkey, dvalue : ndarray
        Of the shapes and dtype of query, key and value. Where an operand was broadcast, its gradient is
        summed.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape; `out` is then untouched.
    MemoryError
        If a block finds no memory. `out` may then hold the results of blocks before it.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> query, key, value = np.random.default_rng(0).standard_normal((3, 2, 5, 4))
    >>> y, saved = fastdrop.attention(query, key, value)
    >>> dquery, dkey, dvalue = fastdrop.attention_backward(np.ones_like(y), saved)
    >>> bool(np.allclose(dvalue.sum(axis=1), 5))  # each query's weights add up to 1
    True
    """
    if type(saved) is not SavedAttention:
        check_saved(saved, SavedAttention, dy)
    y = saved.y
    gradient = checked_gradient(dy, y, "query")
    _checks.check_shape(gradient, y.shape, "dy")
    products, leading = Products(saved), y.shape[:-2]
    operands = (saved.query, saved.key, saved.value)
    outs = _gradient_outs(out, saved, gradient)
    plan = list(blocks(saved.mask.shape, saved.is_causal, saved.lse.itemsize))
    sees_all = bool(plan) and all(block.keys.stop == saved.key.shape[-2] for block in plan)
    dquery, dkey, dvalue = (
        Gradient(operand, leading, one, products.compute, starts_at_zero)
        for operand, one, starts_at_zero in zip(
            operands, outs, (False, not sees_all, not sees_all), strict=True
        )
    )
    gradient = ready(gradient)
    with np.errstate(all="ignore"), kept_memory():
        for block in plan:
            query, key, value = (
                products.part(name, index)
                for name, index in (("query", block.queries), ("key", block.seen), ("value", block.seen))
            )
            dy_part, y_part = (a[block.queries].astype(products.compute, copy=False) for a in (gradient, y))
            delta = np.einsum("...i,...i->...", dy_part, y_part)
            dropped, scores = products.scores("scores", query, key)
            dscores, dweights = products.scores("dweights", dy_part, value)
            inputs = (dweights, scores, products.added(block), saved.lse[block.queries], delta)
            products.run("attention_backward", block, *inputs, dweights, scores)
            is_first = block.rows.start == 0
            dvalue.add(block.heads, block.keys, is_first, dropped.swapaxes(-1, -2), dy_part)
            dquery.add(block.heads, block.rows, True, dscores, key)
            dkey.add(block.heads, block.keys, is_first, dscores.swapaxes(-1, -2), query)
        return AttentionGradients(dquery.result(), dkey.result(), dvalue.result())


def _leading_axes(query: Array, key: Array, value: Array) -> tuple[int, ...]:
    """The axes of batches and heads, of operands that fit together."""
    named = {"query": query, "key": key, "value": value}
    for name, array in named.items():
        if array.ndim < 2:
            raise ValueError(f"{name} must have at least two axes, (..., T, d), not the shape {array.shape}")
        if array.dtype.newbyteorder("=") != query.dtype.newbyteorder("="):
            remedy = f"write {name}.astype(query.dtype)"
            raise TypeError(
                f"{name} must have the dtype of query, {query.dtype}, not {array.dtype}; {remedy}"
            )
    if key.shape[-1] != query.shape[-1]:
        wanted = f"as many features as query, {query.shape[-1]}"
        raise ValueError(f"key must have {wanted}, not the shape {key.shape}")
    if value.shape[-2] != key.shape[-2]:
        raise ValueError(
            f"value must have a row for each of the {key.shape[-2]} keys, not the shape {value.shape}"
        )
    try:
        return np.broadcast_shapes(*(array.shape[:-2] for array in named.values()))
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in named.values())
        remedy = ": keys that heads share have a length of 1 along the axis of the heads"
        raise ValueError(
            f"query, key and value must have leading axes that broadcast, not the shapes {shapes}{remedy}"
        ) from None


def _result(out: Any, shape: tuple[int, ...], read: dict[str, Any]) -> Array:
    dtype = read["query"].dtype.newbyteorder("=")
    if out is None:
        return np.empty(shape, dtype)
    check_out(out, np.broadcast_to(dtype.type(0), shape), "the result", "out")
    for name, array in read.items():
        if array is not None and shares_memory(out, array):
            raise ValueError(f"out must not overlap {name}, which a backward pass reads")
    base: Array = np.asarray(out)
    return base


def _gradient_outs(out: Any, saved: SavedAttention, dy: Array) -> tuple[Any, ...]:
    """The outputs of the three gradients, checked."""
    if out is None:
        return None, None, None
    if not isinstance(out, (tuple, list)) or len(out) != 3:
        wanted = "a tuple of three arrays or None, for dquery, dkey and dvalue"
        raise TypeError(f"out must be {wanted}, not {_checks.describe(out)}")
    apart = {"dy": dy}  # from what an output must be, with the outputs before it
    for name in ("query", "key", "value", "y", "lse", "attn_mask"):
        if (array := getattr(saved, name)) is not None:
            apart[f"saved.{name}"] = array
    for at, (one, name) in enumerate(zip(out, ("query", "key", "value"), strict=True)):
        if one is None:
            continue
        own = f"out[{at}]"
        check_out(one, getattr(saved, name), name, own)
        for other_name, other in apart.items():
            if shares_memory(one, other):
                raise ValueError(f"{own} must not overlap {other_name}")
        apart[own] = one
    return tuple(out)
