# SPDX-License-Identifier: BSD-3-Clause
"""Attention for autograd, beside its blocks: what is composed, derivatives of any order, and memory."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

import fastdrop.torch as ft
from torch_attention_judge import CUTS, attend, operands, set_cut
from torch_judge import reference_mask, seeded

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


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"attn_mask": torch.randn(2, 4, 7, 9)}],
    ids=["none", "causal", "mask"],
)
def test_compiled_code_has_the_same_mask(options, dynamic):
    q, k, v, dy = operands((2, 4, 7, 8), (2, 4, 9, 8))
    k, v = (tensor[:, :2].detach().requires_grad_() for tensor in (k, v))

    def function(*operands):
        return attend(*operands, dropout_p=0.5, enable_gqa=True, **options)

    compiled = torch.compile(function, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    y, wanted = seeded(compiled, q, k, v), seeded(function, q, k, v)
    torch.testing.assert_close(y, wanted)
    found, exact = (torch.autograd.grad(result, (q, k, v), dy) for result in (y, wanted))
    for one, other in zip(found, exact, strict=True):
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
    for name in CUTS:
        set_cut(monkeypatch, name)
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


def test_a_mask_that_would_be_rounded_is_refused():
    """torch refuses it too, and does not compute in float64 because of a mask."""
    q, k, v, _ = operands((2, 7, 8), (2, 7, 8))
    mask = torch.zeros(7, 7, dtype=torch.float64)
    with pytest.raises(RuntimeError):
        F.scaled_dot_product_attention(q, k, v, mask, 0.5)
    with pytest.raises(TypeError, match="attn_mask must have the dtype of query"):
        attend(q, k, v, mask, 0.5)
    assert attend(q.double(), k.double(), v.double(), mask, 0.5).dtype is torch.float64


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
