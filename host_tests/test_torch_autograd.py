# SPDX-License-Identifier: BSD-3-Clause
"""Gradients: of every kind and order, batched, twice, under hooks, with checkpoints."""

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

import fastdrop
import fastdrop.torch as ft
from torch_judge import DTYPES, KINDS, ours, reference_mask, seeded

# torch scripts some formulas of its own for forward derivatives.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
X = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
PATHS = ["plain", "operator"]


def functions(kind, path):
    """The same mask at every call; the operator is what modes, compilers and transforms see."""
    if path == "plain":
        return lambda x: seeded(ours, kind, x)

    def through_the_dispatcher(x):
        with torch.device("cpu"):
            return seeded(ours, kind, x)

    return through_the_dispatcher


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", KINDS)
def test_first_second_and_forward_derivatives(kind, path):
    small = [min(length, 2) for length in KINDS[kind][0]]
    x = torch.randn(small, dtype=torch.float64, requires_grad=True)
    function = functions(kind, path)
    assert gradcheck(function, x, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, x, check_batched_grad=True)
    # Linear functions have no second derivative: with a square behind them there is one to check.
    assert gradgradcheck(lambda v: function(v).square(), x, check_fwd_over_rev=True, check_rev_over_rev=True)


def test_derivatives_of_masks_and_of_masks_generators():
    mask = fastdrop.Mask((4, 6), 0.5, seed=0)
    for function in (
        lambda x: ft.apply_mask(x, mask).square(),
        lambda x: ft.dropout(x, rng=fastdrop.MaskGenerator(0)).square(),
    ):
        assert gradcheck(function, X, check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(function, X)


def test_forward_derivative_is_the_mask_on_the_tangent():
    tangent = torch.randn_like(X)
    with forward_ad.dual_level():
        y = seeded(ft.dropout, forward_ad.make_dual(X.detach(), tangent))
        value, change = forward_ad.unpack_dual(y)
    mask = reference_mask(X.shape)
    assert torch.equal(value, torch.from_numpy(mask.apply(X.detach().numpy())))
    assert torch.equal(change, torch.from_numpy(mask.apply(tangent.numpy())))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_batched_gradients(dtype):
    x = torch.randn(4, 6).to(dtype).requires_grad_()
    y = seeded(ft.dropout, x, 0.3)
    batch = torch.randn(5, 4, 6).to(dtype)
    (found,) = torch.autograd.grad(y, x, batch, is_grads_batched=True, retain_graph=True)
    wanted = [torch.autograd.grad(y, x, dy, retain_graph=True)[0] for dy in batch]
    assert torch.equal(found, torch.stack(wanted))


def test_jacobian_and_hessian_of_torch_autograd():
    diagonal = torch.from_numpy(reference_mask((24,)).to_numpy()) * 2.0
    x = X.detach().flatten()
    for vectorize in (False, True):
        jacobian = torch.autograd.functional.jacobian(functions("dropout", "plain"), x, vectorize=vectorize)
        assert torch.equal(jacobian, diagonal.double().diag())
        hessian = torch.autograd.functional.hessian(
            lambda v: seeded(ft.dropout, v).square().sum(), x, vectorize=vectorize
        )
        assert torch.equal(hessian, 2 * diagonal.double().square().diag())


def test_a_graph_is_used_twice():
    y = seeded(ft.dropout, X)
    first = torch.autograd.grad(y.sum(), X, retain_graph=True)
    second = torch.autograd.grad(y.sum(), X)
    assert torch.equal(first[0], second[0])


@pytest.mark.parametrize(
    "gradient",
    [
        lambda y: torch.ones(()).double().expand(y.shape),
        lambda y: torch.randn(6, 4).double().t(),
        lambda y: torch.randn(4, 12).double()[:, ::2],
        lambda y: torch.randn(1, 6).double().expand(y.shape),
    ],
    ids=["scalar", "transposed", "sliced", "row"],
)
def test_gradients_of_any_layout(gradient):
    y = seeded(ft.dropout, X)
    dy = gradient(y)
    (dx,) = torch.autograd.grad(y, X, dy)
    assert torch.equal(dx, torch.from_numpy(reference_mask((4, 6)).apply(dy.numpy())))


def test_hooks_see_gradients_that_nobody_else_changes():
    x, kept = X.detach().clone().requires_grad_(), []
    y = seeded(ft.dropout, x)
    y.register_hook(lambda dy: kept.append(dy) or dy * 3)
    x.register_hook(lambda dx: kept.append(dx))
    y.sum().backward()
    scale = torch.from_numpy(reference_mask((4, 6)).to_numpy()) * 2.0
    assert torch.equal(kept[0], torch.ones_like(y))
    assert torch.equal(kept[1], 3 * scale.double())
    kept[0].zero_()  # is not the memory of the other one
    assert torch.equal(x.grad, 3 * scale.double())


def test_nothing_is_recorded_without_need():
    for x in (X.detach(), torch.ones(3)):
        assert ft.dropout(x).grad_fn is None
    with torch.no_grad():
        assert not ft.dropout(X).requires_grad
    with torch.inference_mode():
        y = ft.dropout(X)
        assert y.is_inference()
    assert torch.equal(seeded(ft.dropout, y), seeded(ft.dropout, y.clone()))
    # An inference tensor is memory, but autograd must not keep it: dropout keeps no tensor at all.
    w = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert ft.dropout(w + y).requires_grad


def test_nothing_is_saved_for_the_backward_pass():
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda t: t):
        ft.dropout(X)
    assert saved == []


@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:Error detected")
def test_anomaly_mode():
    with torch.autograd.detect_anomaly():
        ft.dropout(X).sum().backward(inputs=[X])
        y = ft.dropout(X, 0.1)
        with pytest.raises(RuntimeError, match=r"_RecordedBackward"):
            y.backward(torch.full_like(y, torch.nan))


# --- Checkpoints ----------------------------------------------------------------------------------


def network(x, weights, drop):
    for weight in weights:
        x = drop(torch.sin(x @ weight))
    return x


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("segments", [1, 2])
def test_checkpoints_have_the_gradients_of_the_whole(use_reentrant, segments):
    weights = [torch.randn(6, 6, dtype=torch.float64, requires_grad=True) for _ in range(4)]

    def gradients(in_parts):
        for tensor in (X, *weights):
            tensor.grad = None
        torch.manual_seed(3)
        h = X
        for part in range(segments):
            of_part = weights[part * 4 // segments : (part + 1) * 4 // segments]
            if in_parts:
                h = checkpoint(network, h, of_part, ft.dropout, use_reentrant=use_reentrant)
            else:
                h = network(h, of_part, ft.dropout)
        h.sum().backward()
        return [tensor.grad for tensor in (X, *weights)]

    assert all(map(torch.equal, gradients(True), gradients(False)))


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_mask_generator_in_a_checkpoint_is_refused(use_reentrant):
    weights = [torch.randn(6, 6, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    masks = fastdrop.MaskGenerator(0)
    y = checkpoint(network, X, weights, lambda x: ft.dropout(x, rng=masks), use_reentrant=use_reentrant)
    with pytest.raises(RuntimeError, match="rng would draw another mask"):
        y.sum().backward()


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_a_mask_in_a_checkpoint_is_the_same_mask(use_reentrant):
    mask, weights = fastdrop.Mask((4, 6), 0.5, seed=0), [torch.randn(6, 6, dtype=torch.float64)]
    apply = lambda x: ft.apply_mask(x, mask)  # noqa: E731
    found = []
    for function in (network, lambda *a: checkpoint(network, *a, use_reentrant=use_reentrant)):
        x = X.detach().clone().requires_grad_()
        function(x, weights, apply).sum().backward()
        found.append(x.grad)
    assert torch.equal(*found)
