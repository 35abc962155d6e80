# SPDX-License-Identifier: BSD-3-Clause
"""Attention in blocks of scores: against its definition in float64, at every size of the blocks."""

import math

import pytest
import torch

import fastdrop.torch as ft
from fastdrop.torch._attention_blocks import Call, blocks
from torch_attention_judge import CUTS, added, attend, check, operands, set_cut
from torch_judge import reference_mask, seeded


@pytest.fixture(params=CUTS)
def cut(request, monkeypatch):
    set_cut(monkeypatch, request.param)


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
    "causal": ((2, 3, 300, 16), (2, 3, 300, 16), True),
    "causal, more queries": ((1, 300, 16), (1, 200, 16), True),
    "causal matrices": ((5, 3, 160, 16), (5, 3, 160, 16), True),
    "many keys": ((70, 16), (20000, 16), False),
}


@pytest.mark.parametrize(("query", "key", "is_causal"), LONG.values(), ids=LONG)
def test_several_blocks(query, key, is_causal):
    check(*operands(query, key), 0.1, is_causal=is_causal)
    call = Call(ft.draw_mask((*query[:-1], key[-2]))._state, 2.0, 1.0, is_causal)
    assert len(list(blocks(call, torch.float32))) > 1


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


def test_groups_that_do_not_fit_are_refused():
    q, k, v, _ = operands((2, 6, 7, 8), (2, 6, 7, 8))
    with pytest.raises(ValueError, match=r"^value must have the 2 heads of key, not 3$"):
        attend(q, k[:, :2], v[:, :3], dropout_p=0.5, enable_gqa=True)
    with pytest.raises(RuntimeError):
        attend(q, k[:, :2], v[:, :2], torch.ones(2, 2, 7, 7), 0.5, enable_gqa=True)
