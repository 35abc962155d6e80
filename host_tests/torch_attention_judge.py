# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of attention compare with: its definition in float64, and bounds of the rounding."""

import math

import torch
import torch.nn.functional as F

from fastdrop.fused import _attention_blocks as numpys
from fastdrop.torch import _attention_blocks as torchs
from fastdrop.torch import scaled_dot_product_attention as attend
from torch_judge import reference_mask, seeded

# Sizes of blocks, for small tensors: of some rows, some matrices, some rows of some matrices, and all scores.
CUTS = {
    "rows": {"BLOCK_BYTES": 1, "FEWEST_ROWS": 3, "CAUSAL_ROWS": 3},
    "row": {"BLOCK_BYTES": 1, "FEWEST_ROWS": 1, "CAUSAL_ROWS": 1},
    "matrices": {"BLOCK_BYTES": 1000, "FEWEST_ROWS": 64, "CAUSAL_ROWS": 64},
    "rows of matrices": {"BLOCK_BYTES": 1 << 20, "FEWEST_ROWS": 64, "CAUSAL_ROWS": 3},
    "all": {"BLOCK_BYTES": 1 << 20, "FEWEST_ROWS": 64, "CAUSAL_ROWS": 64},
}


def set_cut(monkeypatch, name):
    for size, value in CUTS[name].items():
        monkeypatch.setattr(torchs if size == "CAUSAL_ROWS" else numpys, size, value)


def operands(query, key, features=None, dtype=torch.float32):
    """Queries, keys, values, and the gradient of the result."""
    generator = torch.Generator().manual_seed(0)
    value = (*key[:-1], features or key[-1])
    result = (*torch.broadcast_shapes(query[:-2], key[:-2]), query[-2], value[-1])
    q, k, v, dy = (torch.randn(shape, generator=generator).to(dtype) for shape in (query, key, value, result))
    return *(tensor.requires_grad_() for tensor in (q, k, v)), dy


def added(attn_mask, is_causal, rows, keys):
    """What is added to scores, in float64."""
    if is_causal:
        attn_mask = torch.ones(rows, keys, dtype=torch.bool).tril()
    if attn_mask is None:
        return torch.zeros(rows, keys).double()
    if attn_mask.dtype is torch.bool:
        return torch.zeros(attn_mask.shape).double().masked_fill(~attn_mask, -math.inf)
    return attn_mask.double()


def softmax(scores):
    """Of float64; zeros where a row is of -inf, and no NaN in its gradient."""
    is_empty = (scores == -math.inf).all(-1, keepdim=True)
    return F.softmax(scores.masked_fill(is_empty, 0), -1).masked_fill(is_empty, 0)


def check(q, k, v, dy, p=0.5, attn_mask=None, is_causal=False, scale=None, rounding=2.0**-24):
    """The result and the gradients, within bounds of the first order in the rounding u of the dtype.

    A sum of n products is off by n u times the sum of their sizes, that of absolute values (Higham, Accuracy
    and Stability of Numerical Algorithms, 2002, section 3.1). So a weight is off by the ratio r: twice what
    scores are off by, in the exponent and in the row's sum, that sum's n u, and 8 u for two exponentials, a
    logarithm and scales. Gradients of weights, delta, and what is made of both are such sums as well.
    """
    y = seeded(attend, q, k, v, attn_mask, dropout_p=p, is_causal=is_causal, scale=scale)
    found = torch.autograd.grad(y, (q, k, v), dy)

    q, k, v = (tensor.detach().double().requires_grad_() for tensor in (q, k, v))
    dy, factor = dy.double(), q.size(-1) ** -0.5 if scale is None else scale
    (rows, features), (keys, of_values) = q.shape[-2:], v.shape[-2:]
    mask = added(attn_mask, is_causal, rows, keys)
    weights = softmax(q @ k.mT * factor + mask)
    kept = torch.from_numpy(reference_mask(weights.shape, p).to_numpy()) / (1 - p)
    wanted = (weights * kept) @ v
    exact = torch.autograd.grad(wanted, (q, k, v), dy)

    with torch.no_grad():
        q, k, v, dy, u, factor = q.abs(), k.abs(), v.abs(), dy.abs(), rounding, abs(factor)
        scores = (q @ k.mT).max() * factor + mask[mask.isfinite()].abs().max()
        r = 2 * (features + 3) * u * scores + (keys + 8) * u
        dweights = dy @ v.mT * kept
        delta = (weights * dweights).sum(-1, keepdim=True)
        # weights (dweights - delta): weights are off by r, and so is the result, of which delta is made.
        dscores = weights * (dweights + delta) * (2 * r + (of_values + 2 * keys + 4) * u)
        dscores = (dscores + weights * (dweights + delta) * weights[..., 0].numel() * u) * factor
        bounds = [
            weights * kept @ v * (r + keys * u),
            dscores @ k,
            dscores.mT @ q,
            (weights * kept).mT @ dy * (r + weights[..., 0].numel() * u),
        ]
    for one, other, bound in zip((y, *found), (wanted, *exact), bounds, strict=True):
        assert one.shape == other.shape
        assert ((one - other).abs() <= bound.sum_to_size(one.shape)).all()
    return y, found
