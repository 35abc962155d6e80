# SPDX-License-Identifier: BSD-3-Clause
"""Attention whose weights are dropped: against its definition in float64, and against torch's own."""

import math
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fastdrop.torch as ft
from torch_judge import Draws, attention, reference_mask, seeded

attend = ft.scaled_dot_product_attention
Q, K, V = (torch.randn(2, 4, length, 8, requires_grad=True) for length in (5, 7, 7))
BOOLS = torch.rand(2, 1, 5, 7) < 0.6
BOOLS[0, 0, 2] = False  # a query that may attend to nothing
ADDED = torch.randn(5, 7)


def bound(query, keys):
    """What float32 may lose against float64, with values, scores and weights of a few units.

    A sum of n products is off by at most n * 2^-24 times the sum of their sizes (Higham 2002, section 3.1).
    That of a score, n = E, moves its weight by the same ratio. Then come the sums of the softmax and over the
    keys. All sizes here are below 64.
    """
    return (query.size(-1) + 2 * keys) * 2.0**-24 * 64


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("mask", [None, BOOLS, BOOLS[1], ADDED], ids=["none", "bools", "rows", "added"])
def test_the_definition_and_its_gradients(mask, p):
    y = seeded(attend, Q, K, V, mask, dropout_p=p)
    wanted = attention(Q, K, V, mask, p)
    assert (y - wanted).abs().max() < bound(Q, 7) / (1 - p)
    dy = torch.randn_like(y)
    found = torch.autograd.grad(y, (Q, K, V), dy)
    for one, other in zip(found, torch.autograd.grad(wanted, (Q, K, V), dy.double()), strict=True):
        assert (one - other).abs().max() < 8 * bound(Q, 7) / (1 - p)
    if mask is BOOLS:
        assert (y[0, :, 2] == 0).all()


def test_causal():
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    q, k, v = Q, K[..., :5, :], V[..., :5, :]
    y = seeded(attend, q, k, v, dropout_p=0.5, is_causal=True)
    assert torch.equal(y, seeded(attend, q, k, v, causal, dropout_p=0.5))
    assert (y - attention(q, k, v, causal, 0.5)).abs().max() < 2 * bound(q, 5)
    # More keys than queries: as torch's, which counts both from the first.
    z = attend(Q, K, V, dropout_p=1e-12, is_causal=True)
    torch.testing.assert_close(z, F.scaled_dot_product_attention(Q, K, V, is_causal=True))


@pytest.mark.parametrize(
    "options", [{}, {"scale": 0.3}, {"scale": 0.0}, {"attn_mask": BOOLS}, {"attn_mask": ADDED}]
)
def test_torchs_own_where_next_to_nothing_is_dropped(options):
    y = attend(Q, K, V, dropout_p=1e-12, **options)
    torch.testing.assert_close(y, F.scaled_dot_product_attention(Q, K, V, **options))
    assert torch.equal(attend(Q, K, V, **options), F.scaled_dot_product_attention(Q, K, V, **options))


def test_groups_of_heads():
    k, v = K[:, :2], V[:, :2]
    y = seeded(attend, Q, k, v, dropout_p=0.5, enable_gqa=True)
    whole = seeded(attend, Q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), dropout_p=0.5)
    assert torch.equal(y, whole)
    torch.testing.assert_close(
        attend(Q, k, v, dropout_p=1e-12, enable_gqa=True),
        F.scaled_dot_product_attention(Q, k, v, enable_gqa=True),
    )
    for heads in (3, 8):
        with pytest.raises(ValueError, match=r"^query must have a multiple of the . heads of key and value"):
            attend(Q, *[torch.ones(2, heads, 7, 8)] * 2, dropout_p=0.5, enable_gqa=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_and_autocast(dtype):
    q, k, v = (t.detach().to(dtype) for t in (Q, K, V))
    assert attend(q, k, v, dropout_p=0.5).dtype is dtype
    torch.testing.assert_close(
        attend(q, k, v, dropout_p=1e-12), F.scaled_dot_product_attention(q, k, v), rtol=2e-2, atol=2e-2
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        own = F.scaled_dot_product_attention(Q, K, V, dropout_p=0.5)
        assert attend(Q, K, V, dropout_p=0.5).dtype is own.dtype


def test_what_is_refused_or_torchs():
    with pytest.raises(ValueError, match="attn_mask must be None if is_causal"):
        attend(Q, Q, Q, torch.ones(5, 5), dropout_p=0.5, is_causal=True)
    for p, error in ((math.nan, ValueError), (1.5, ValueError), ("0.5", TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"^dropout_p must be"):
            attend(Q, K, V, dropout_p=p)
    meta = [torch.ones(2, 4, 5, 8, device="meta")] * 3
    assert attend(*meta, dropout_p=0.5).is_meta
    assert (attend(Q, K, V, dropout_p=1.0) == 0).all()


@pytest.mark.parametrize("given", [torch.ones(5, 7, dtype=torch.uint8), torch.ones(5, 7).long(), [[0.0]]])
def test_numbers_0_and_1_are_no_mask(given):
    """They would be added to the scores. torch refuses them too."""
    for function, error in ((attend, TypeError), (F.scaled_dot_product_attention, (TypeError, RuntimeError))):
        with pytest.raises(error, match="attn_mask"):
            function(Q, K, V, given, dropout_p=0.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_mask_of_float32_for_shorter_floats(dtype):
    q, k, v = (t.detach().to(dtype) for t in (Q, K, V))
    mask = ADDED.clone()
    mask[1], mask[2] = -math.inf, torch.finfo(torch.float32).min  # nothing, and everything alike
    y = attend(q, k, v, mask, dropout_p=1e-12)
    assert y.dtype is dtype
    wanted = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=1e-12)
    torch.testing.assert_close(y, wanted, rtol=2e-2, atol=2e-2)
    assert (y[..., 1, :] == 0).all()


def test_scores_beyond_float16_are_finite():
    q = torch.full((1, 4, 8), 900.0, dtype=torch.float16, requires_grad=True)
    for k in (q, -q):
        y = attend(q, k, q, dropout_p=1e-12)
        assert torch.equal(y, F.scaled_dot_product_attention(q, k, q, dropout_p=1e-12))
        assert y.isfinite().all()
        assert torch.autograd.grad(y.sum(), q)[0].isfinite().all()


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_are_rounded_where_torch_rounds(dtype, autocast):
    """Once at the end, and under autocast once at the beginning: the rest is float32."""
    q, k, v = (4 * t.detach() if autocast else (4 * t.detach()).to(dtype) for t in (Q, K, V))
    exact = F.scaled_dot_product_attention(*(t.to(dtype).double() for t in (q, k, v)))
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        y = attend(q, k, v, dropout_p=1e-12)
        assert y.dtype is F.scaled_dot_product_attention(q, k, v, dropout_p=1e-12).dtype is dtype
    # Half a spacing of the dtype at the sizes here, below 16, and what float32 loses before.
    assert (y.double() - exact).abs().max() < 8 * torch.finfo(dtype).eps / 2 + 16 * bound(q, 7)


@pytest.mark.parametrize("watch", [nullcontext, Draws])  # who watches sees a composition
def test_scores_of_minus_infinity_are_nothing_to_attend_to(watch):
    q, k, v = torch.full((2, 4), 1e30), torch.full((3, 4), -1e30), torch.ones(3, 4)
    for mask in (None, torch.zeros(2, 3)):
        with watch():
            y = attend(q, k, v, mask, dropout_p=1e-12)
        assert torch.equal(y, F.scaled_dot_product_attention(q, k, v, mask, dropout_p=1e-12))
        assert (y == 0).all()


# --- MultiheadAttention ---------------------------------------------------------------------------

OPTIONS = [
    {},
    {"bias": False},
    {"add_bias_kv": True},
    {"add_zero_attn": True},
    {"kdim": 6, "vdim": 10},
    {"batch_first": True},
    {"batch_first": True, "add_bias_kv": True, "add_zero_attn": True},
]


def pair(p, **options):
    """The same parameters in torch's module and in ours."""
    torchs, own = (
        kind(8, 2, dropout=p, **options) for kind in (nn.MultiheadAttention, ft.MultiheadAttention)
    )
    own.load_state_dict(torchs.state_dict())
    return torchs, own


def inputs(options, batched=True):
    batch = (3,) if batched else ()
    make = lambda length, size: torch.randn(  # noqa: E731
        *(*batch, length, size) if options.get("batch_first") else (length, *batch, size)
    )
    return make(5, 8), make(7, options.get("kdim", 8)), make(7, options.get("vdim", 8))


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_without_dropout_it_is_torchs(options, need_weights, batched):
    torchs, own = pair(0.0, **options)
    qkv = inputs(options, batched)
    for _ in range(2):
        found, wanted = own(*qkv, need_weights=need_weights), torchs(*qkv, need_weights=need_weights)
        assert torch.equal(found[0], wanted[0])
        assert found[1] is wanted[1] is None or torch.equal(found[1], wanted[1])
        torchs.eval(), own.eval(), own.__setattr__("dropout", 0.5)  # in evaluation p does not matter


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_with_the_same_masks_it_is_torchs(options, need_weights, monkeypatch):
    """torch's module, whose draw is replaced from outside by the reference's mask."""
    torchs, own = pair(0.5, **options)
    qkv = inputs(options)

    def dropped(weights, p=0.5, training=True, inplace=False):
        keep = reference_mask(weights.shape, p).to_numpy()
        return torch.where(torch.from_numpy(keep), weights / (1 - p), 0)

    def attended(q, k, v, mask=None, dropout_p=0.0, is_causal=False):
        return attention(q, k, v, mask, dropout_p).float()

    found, weights = seeded(own, *qkv, need_weights=need_weights)
    monkeypatch.setattr(F, "dropout", dropped)
    monkeypatch.setattr(F, "scaled_dot_product_attention", attended)
    wanted, of_torch = torchs(*qkv, need_weights=need_weights)
    torch.testing.assert_close(found, wanted)
    if need_weights:
        torch.testing.assert_close(weights, of_torch)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("averaged", [True, False])
def test_masks_and_padding(need_weights, averaged):
    torchs, own = pair(1e-12, batch_first=True)
    q, k, v = inputs({"batch_first": True})
    options = {
        "key_padding_mask": torch.rand(3, 7) < 0.3,
        "attn_mask": torch.rand(5, 7) < 0.3,
        "need_weights": need_weights,
        "average_attn_weights": averaged,
    }
    options["key_padding_mask"][:, 0] = options["attn_mask"][:, 0] = False
    torchs.dropout = 0.0
    with Draws() as draws:
        found = own(q, k, v, **options)
    assert (draws.ours, draws.torchs) == (1, 0)
    wanted = torchs(q, k, v, **options)
    torch.testing.assert_close(found[0], wanted[0])
    if need_weights:
        torch.testing.assert_close(found[1], wanted[1])
