# SPDX-License-Identifier: BSD-3-Clause
"""Attention in blocks of scores: against its definition in float64, at every size of the blocks."""

import math
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

import fastdrop.torch as ft
from fastdrop.fused import _attention_blocks
from torch_judge import reference_mask, seeded

attend = ft.scaled_dot_product_attention
# Sizes of blocks, for small tensors: many of some rows, some of several matrices, and one of all scores.
CUTS = {
    "rows": {"BLOCK_BYTES": 1, "FEWEST_ROWS": 3, "CAUSAL_ROWS": 3},
    "row": {"BLOCK_BYTES": 1, "FEWEST_ROWS": 1, "CAUSAL_ROWS": 1},
    "matrices": {"BLOCK_BYTES": 1000, "FEWEST_ROWS": 64, "CAUSAL_ROWS": 256},
    "all": {"BLOCK_BYTES": 1 << 20, "FEWEST_ROWS": 64, "CAUSAL_ROWS": 256},
}


@pytest.fixture(params=CUTS)
def cut(request, monkeypatch):
    for name, size in CUTS[request.param].items():
        monkeypatch.setattr(_attention_blocks, name, size)


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
        dscores = weights * (dweights + delta) * (2 * r + (of_values + keys + 4) * u)
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


SHAPES = {
    "heads": ((2, 3, 7, 8), (2, 3, 7, 8)),
    "more keys": ((2, 3, 5, 8), (2, 3, 11, 8)),
    "more queries": ((2, 3, 11, 8), (2, 3, 5, 8)),
    "values": ((3, 7, 8), (3, 7, 8), 5),
    "one matrix": ((7, 8), (9, 8)),
    "one query": ((2, 3, 1, 8), (2, 3, 9, 8)),
    "one key": ((2, 3, 9, 8), (2, 3, 1, 8)),
    "shared keys": ((2, 3, 7, 8), (1, 1, 7, 8)),
    "shared queries": ((1, 3, 7, 8), (2, 1, 7, 8)),
    "fewer axes": ((2, 3, 7, 8), (3, 7, 8)),
}


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_the_definition_and_its_gradients(shapes, is_causal):
    for p in (0.1, 0.9):
        check(*operands(*shapes), p, is_causal=is_causal)
    check(*operands(*shapes), is_causal=is_causal, scale=-0.7)
    check(*operands(*shapes, dtype=torch.float64), is_causal=is_causal, rounding=2.0**-52)  # the judge's, too


def masks():
    generator = torch.Generator().manual_seed(1)
    bools = torch.rand(2, 3, 7, 11, generator=generator) < 0.6
    bools[1, :, 4] = False  # a query that may attend to nothing
    numbers = torch.randn(2, 3, 7, 11, generator=generator)
    numbers[0, 1, 2] = -math.inf
    for name, whole in (("bools", bools), ("added", numbers)):
        yield f"{name}", whole
        yield f"{name} for all heads", whole[:, :1]
        yield f"{name} for all queries", whole[:, :1, :1]
        yield f"{name} for all keys", whole[..., :1]
        yield f"{name} of a matrix", whole[0, 0]
        yield f"{name} of keys", whole[0, 0, 0]
        yield f"{name} expanded", whole[:, :1, :1].expand(2, 3, 7, 11)
        yield f"{name} transposed", whole.mT.contiguous().mT
    yield "float16", numbers.half()
    yield "a number", torch.tensor(0.5)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("attn_mask", [mask for _, mask in masks()], ids=[name for name, _ in masks()])
def test_masks(attn_mask):
    y, (dq, _, _) = check(*operands((2, 3, 7, 8), (2, 3, 11, 8)), attn_mask=attn_mask)
    is_empty = (added(attn_mask, False, 7, 11) == -math.inf).all(-1).expand(2, 3, 7)
    assert (y[is_empty] == 0).all()
    assert (dq[is_empty] == 0).all()


@pytest.mark.usefixtures("cut")
def test_nothing_to_attend_to_at_all():
    q, k, v, dy = operands((2, 3, 7, 8), (2, 3, 11, 8))
    y = attend(q, k, v, torch.zeros(7, 11, dtype=torch.bool), dropout_p=0.5)
    for tensor in (y, *torch.autograd.grad(y, (q, k, v), dy)):
        assert (tensor == 0).all()


# Long enough for several blocks as they are: of rows, of matrices, and causal ones.
LONG = {
    "rows": ((2, 300, 16), (2, 1500, 16), False),
    "matrices": ((5, 3, 160, 16), (5, 3, 160, 16), False),
    "causal": ((2, 600, 16), (2, 600, 16), True),
    "causal, more queries": ((1, 600, 16), (1, 300, 16), True),
    "causal matrices": ((5, 3, 160, 16), (5, 3, 160, 16), True),
    "many keys": ((70, 16), (20000, 16), False),
}


@pytest.mark.parametrize(("query", "key", "is_causal"), LONG.values(), ids=LONG)
def test_several_blocks(query, key, is_causal):
    check(*operands(query, key), 0.1, is_causal=is_causal)
    assert len(list(_attention_blocks.blocks((*query[:-1], key[-2]), is_causal, 4))) > 1


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 7, 7), (2, 3, 5, 11), (2, 3, 11, 5), (9, 9), (4, 1, 6)])
def test_masks_are_those_of_dropout_at_every_size_of_blocks(shape, is_causal):
    """Values and gradients that are unit vectors show which weights are zeros."""
    *leading, rows, keys = shape
    q, k = torch.randn(*leading, rows, 4), torch.randn(*leading, keys, 4)
    keep = torch.from_numpy(reference_mask(shape).to_numpy())
    if is_causal:
        keep = keep.tril()
    units = torch.eye(keys).expand(*leading, keys, keys)
    weights = seeded(attend, q, k, units, dropout_p=0.5, is_causal=is_causal)
    assert torch.equal(weights != 0, keep)
    everything = seeded(attend, q, k, units, dropout_p=2.0**-60, is_causal=is_causal)
    torch.testing.assert_close(weights, 2 * everything.masked_fill(~keep, 0))
    v = torch.randn(*leading, keys, rows, requires_grad=True)
    y = seeded(attend, q, k, v, dropout_p=0.5, is_causal=is_causal)
    (dv,) = torch.autograd.grad(y, v, torch.eye(rows).expand(*leading, rows, rows))
    torch.testing.assert_close(dv.mT, weights)
    assert torch.equal(dv.mT != 0, keep)


@pytest.mark.usefixtures("cut")
def test_layouts():
    """(batch, T, heads, features), as models have it, one packed tensor, and every second feature."""
    dense = operands((2, 3, 7, 8), (2, 3, 7, 8))
    wanted, gradients = check(*dense)
    batch_first = [t.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for t in dense]
    packed = torch.stack([t.detach() for t in dense], -2).unbind(-2)
    spread = [torch.stack([t.detach()] * 2, -1)[..., 0] for t in dense]
    last = [t.detach().mT.contiguous().mT for t in dense]
    for *qkv, dy in (batch_first, packed, spread, last):
        y, found = check(*(tensor.requires_grad_() for tensor in qkv), dy)
        for one, other in zip((y, *found), (wanted, *gradients), strict=True):
            torch.testing.assert_close(one, other)
    y = attend(*batch_first[:3], dropout_p=0.5)
    assert y.transpose(1, 2).is_contiguous()
    (dv,) = torch.autograd.grad(y.sum(), batch_first[2])  # of one number, expanded
    assert dv.isfinite().all()


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("attn_mask", [None, torch.ones(7, 7).tril().bool(), torch.randn(2, 6, 7, 7)])
@pytest.mark.parametrize("shared", [1, 2, 3, 6])
def test_groups_of_heads_are_their_keys_and_values_repeated(shared, attn_mask):
    q, k, v, dy = operands((2, 6, 7, 8), (2, 6, 7, 8))
    k, v = (tensor[:, :shared] for tensor in (k, v))
    y = seeded(attend, q, k, v, attn_mask, 0.5, enable_gqa=True)
    found = torch.autograd.grad(y, (q, k, v), dy)
    times = 6 // shared
    repeated = (q, *(tensor.repeat_interleave(times, 1) for tensor in (k, v)))
    whole = seeded(attend, *repeated, attn_mask, 0.5)
    torch.testing.assert_close(y, whole)
    for one, other in zip(found, torch.autograd.grad(whole, (q, k, v), dy), strict=True):
        torch.testing.assert_close(one, other)


def test_a_mask_of_heads_that_are_not_there_is_refused():
    q, k, v, _ = operands((2, 6, 7, 8), (2, 6, 7, 8))
    with pytest.raises(RuntimeError):
        attend(q, k[:, :2], v[:, :2], torch.ones(2, 2, 7, 7), 0.5, enable_gqa=True)


# --- What is not done in blocks -------------------------------------------------------------------


class Watched(torch.utils._python_dispatch.TorchDispatchMode):
    """Who watches operators sees the composition of torch's functions."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"attn_mask": torch.ones(7, 7).tril(-1).bool()}, {"scale": 2.0}],
    ids=["none", "causal", "empty row", "scale"],
)
def test_the_composition_is_the_same_with_the_same_mask(options):
    q, k, v, dy = operands((2, 3, 7, 8), (2, 3, 7, 8))
    y = seeded(attend, q, k, v, dropout_p=0.5, **options)
    with Watched():
        composed = seeded(attend, q, k, v, dropout_p=0.5, **options)
    torch.testing.assert_close(y, composed)
    found = torch.autograd.grad(y, (q, k, v), dy)
    for one, other in zip(found, torch.autograd.grad(composed, (q, k, v), dy), strict=True):
        torch.testing.assert_close(one, other)


def test_a_mask_that_requires_a_gradient_gets_it():
    q, k, v, dy = operands((2, 3, 7, 8), (2, 3, 7, 8), dtype=torch.float64)
    bias = torch.randn(3, 7, 7, dtype=torch.float64, requires_grad=True)
    y = seeded(attend, q, k, v, bias, 0.5)
    (found,) = torch.autograd.grad(y, bias, dy)
    keep = torch.from_numpy(reference_mask((2, 3, 7, 7)).to_numpy())
    wanted = (F.softmax(q @ k.mT / 8**0.5 + bias, -1) * keep * 2) @ v
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(found, torch.autograd.grad(wanted, bias, dy)[0])
    with torch.no_grad():
        torch.testing.assert_close(seeded(attend, q, k, v, bias, 0.5), wanted)


@pytest.mark.parametrize("is_causal", [False, True])
def test_derivatives_of_any_order(is_causal):
    q, k, v, _ = operands((2, 3, 4), (2, 5, 4), dtype=torch.float64)

    def function(*operands):
        return seeded(attend, *operands, dropout_p=0.5, is_causal=is_causal)

    assert torch.autograd.gradcheck(function, (q, k, v))
    assert torch.autograd.gradgradcheck(function, (q, k, v))


def test_many_gradients_at_a_time():
    q, k, v, _ = operands((2, 3, 4), (2, 5, 4))
    y = attend(q, k, v, dropout_p=0.5)
    many = torch.randn(3, *y.shape)
    batched = torch.autograd.grad(y, (q, k, v), many, is_grads_batched=True, retain_graph=True)
    for i, dy in enumerate(many):
        for one, all_ in zip(torch.autograd.grad(y, (q, k, v), dy, retain_graph=True), batched, strict=True):
            torch.testing.assert_close(one, all_[i])


@pytest.mark.parametrize("needed", ["q", "k", "v", "qv"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_some_operands(needed, create_graph):
    q, k, v, dy = operands((2, 3, 4), (2, 5, 4))
    wanted = torch.autograd.grad(seeded(attend, q, k, v, dropout_p=0.5), (q, k, v), dy)
    some = {name: t.detach().requires_grad_(name in needed) for name, t in zip("qkv", (q, k, v), strict=True)}
    y = seeded(attend, *some.values(), dropout_p=0.5)
    found = torch.autograd.grad(y, [some[name] for name in needed], dy, create_graph=create_graph)
    for name, gradient in zip(needed, found, strict=True):
        torch.testing.assert_close(gradient, wanted["qkv".index(name)])


# --- Autograd, autocast and memory ----------------------------------------------------------------


def test_autocast_in_the_backward_pass_changes_nothing(monkeypatch):
    for sizes in CUTS.values():
        for name, size in sizes.items():
            monkeypatch.setattr(_attention_blocks, name, size)
        q, k, v, dy = operands((2, 3, 7, 8), (2, 3, 7, 8))
        y = attend(q, k, v, dropout_p=0.5)
        wanted = torch.autograd.grad(y, (q, k, v), dy, retain_graph=True)
        with torch.autocast("cpu", torch.bfloat16):
            found = torch.autograd.grad(y, (q, k, v), dy)
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_short_floats_are_those_of_float32_rounded(dtype):
    q, k, v, dy = operands((2, 3, 7, 8), (2, 3, 7, 8), dtype=dtype)
    y = seeded(attend, q, k, v, dropout_p=0.5)
    wide = [tensor.detach().float().requires_grad_() for tensor in (q, k, v)]
    wanted = seeded(attend, *wide, dropout_p=0.5)
    assert torch.equal(y, wanted.to(dtype))
    gradients = torch.autograd.grad(wanted, wide, dy.float())
    for one, other in zip(torch.autograd.grad(y, (q, k, v), dy), gradients, strict=True):
        assert torch.equal(one, other.to(dtype))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoints_draw_the_same_mask(use_reentrant):
    q, k, v, dy = operands((2, 3, 7, 8), (2, 3, 7, 8))
    wanted = torch.autograd.grad(seeded(attend, q, k, v, dropout_p=0.5), (q, k, v), dy)
    torch.manual_seed(3)
    y = torch.utils.checkpoint.checkpoint(
        lambda *qkv: attend(*qkv, dropout_p=0.5), q, k, v, use_reentrant=use_reentrant
    )
    torch.manual_seed(99)
    y.backward(dy)
    assert all(torch.equal(t.grad, other) for t, other in zip((q, k, v), wanted, strict=True))


def test_operands_that_change_before_the_backward_pass_are_noticed():
    q, k, v, _ = operands((2, 3, 4), (2, 3, 4))
    k = k.clone()
    y = attend(q, k, v, dropout_p=0.5)
    k.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_every_weight_dropped():
    q, k, v, dy = operands((2, 3, 7, 8), (2, 3, 7, 8))
    y = attend(q, k, v, dropout_p=1.0)
    for tensor in (y, *torch.autograd.grad(y, (q, k, v), dy)):
        assert (tensor == 0).all()


@pytest.mark.parametrize("shape", [(0, 3, 7, 8), (2, 3, 0, 8), (2, 3, 7, 0)])
def test_nothing_there(shape):
    q = torch.randn(shape, requires_grad=True)
    y = attend(q, q, q, dropout_p=0.5)
    assert torch.equal(y, F.scaled_dot_product_attention(q, q, q))
    y.sum().backward()


@pytest.mark.parametrize(
    ("query", "key", "value", "attn_mask"),
    [
        ((7, 8), (7, 9), (7, 8), None),
        ((7, 8), (7, 8), (6, 8), None),
        ((2, 7, 8), (3, 7, 8), (3, 7, 8), None),
        ((2, 7, 8), (2, 7, 8), (2, 7, 8), (3, 7, 7)),
        ((8,), (8,), (8,), None),
    ],
)
def test_shapes_that_do_not_fit_are_refused(query, key, value, attn_mask):
    attn_mask = None if attn_mask is None else torch.ones(attn_mask)
    with pytest.raises((RuntimeError, IndexError)):
        attend(*(torch.ones(shape) for shape in (query, key, value)), attn_mask, 0.5)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("mode", [nullcontext, ft.replace_functional, lambda: torch.device("cpu")])
def test_no_tensor_has_an_element_for_every_query_and_key(mode, is_causal):
    """What each of torch's functions asks memory for. Modes see the call, and do not change that."""
    length = 4096
    of_scores = 4 * length**2

    def largest(function):
        q, k, v, dy = operands((length, 8), (length, 8))
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
            with mode():
                y = function(q, k, v, dropout_p=0.5, is_causal=is_causal)
            y.backward(dy)
        return max(event.cpu_memory_usage for event in found.events())

    if mode is nullcontext:
        assert largest(F.scaled_dot_product_attention) >= of_scores  # so the judge sees them
    assert largest(attend) <= of_scores / 16
