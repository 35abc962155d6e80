# SPDX-License-Identifier: BSD-3-Clause
"""torch.func: grad, jvp, vjp, vmap with its three kinds of randomness, jacobians and hessians."""

import pytest
import torch
from torch import func

import fastdrop.torch as ft
from torch_judge import KINDS, ours, reference_mask, same_bits, seeded

# torch scripts some formulas of its own for forward derivatives.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
X = torch.randn(4, 6, dtype=torch.float64)


def loss(x):
    return ft.dropout(x).pow(3).sum()


def test_the_mask_of_a_seed_is_that_of_eager_code():
    x = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(seeded(loss, x), x)
    assert torch.equal(seeded(func.grad(loss), X), wanted)
    value, back = seeded(func.vjp, loss, X)
    assert torch.equal(back(torch.ones_like(value))[0], wanted)
    assert torch.equal(seeded(func.grad_and_value(loss), X)[0], wanted)


def test_the_numbers_of_a_key_are_those_of_random():
    """200 seeds: a key under a transform is made by other functions of torch."""
    from fastdrop.torch._operators import draw_key

    for seed in range(200):
        key = seeded(torch.vmap(lambda _: draw_key(), randomness="same"), torch.ones(1), seed=seed)[0]
        assert torch.equal(key, seeded(draw_key, seed=seed))


@pytest.mark.parametrize("kind", KINDS)
def test_vmap(kind):
    x = torch.randn(5, *KINDS[kind][0])
    one = seeded(torch.vmap(lambda v: ours(kind, v), randomness="same"), x)
    for example, given in zip(one, x, strict=True):
        assert same_bits(example, seeded(ours, kind, given).numpy())

    each = seeded(torch.vmap(lambda v: ours(kind, v), randomness="different"), torch.ones_like(x))
    assert len({tuple(example.flatten().tolist()) for example in each}) > 1
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(lambda v: ours(kind, v))(x)


def test_axes_of_vmap():
    x = torch.randn(4, 5, 6)
    one = seeded(torch.vmap(ft.dropout, in_dims=1, out_dims=1, randomness="same"), x)
    assert same_bits(one[:, 2], seeded(ft.dropout, x[:, 2]).numpy())
    shared = seeded(torch.vmap(lambda _: ft.dropout(X), randomness="different"), x)
    assert shared.shape == (4, 4, 6)
    assert len({tuple(y.flatten().tolist()) for y in shared}) == 4
    nested = torch.vmap(torch.vmap(ft.dropout, randomness="different"), randomness="different")
    assert len({tuple(y.tolist()) for y in seeded(nested, torch.ones(4, 5, 60)).view(20, 60)}) == 20


def test_gradients_of_every_example():
    """With one mask for all: as one at a time."""
    batch = torch.randn(5, 4, 6, dtype=torch.float64)
    found = seeded(torch.vmap(func.grad(loss), randomness="same"), batch)
    assert torch.equal(found, torch.stack([seeded(func.grad(loss), x) for x in batch]))
    different = seeded(torch.vmap(func.grad(loss), randomness="different"), batch)
    assert len({tuple((g != 0).flatten().tolist()) for g in different}) == 5


def test_jvp_jacobians_and_hessian():
    keep = torch.from_numpy(reference_mask((24,)).to_numpy()).double()
    x, tangent = torch.randn(2, 24, dtype=torch.float64)
    value, change = seeded(func.jvp, ft.dropout, (x,), (tangent,))
    assert torch.equal(value, 2 * keep * x)
    assert torch.equal(change, 2 * keep * tangent)
    assert torch.equal(seeded(func.jacrev(ft.dropout), x), (2 * keep).diag())
    assert torch.equal(seeded(func.jacfwd(ft.dropout, randomness="same"), x), (2 * keep).diag())
    hessian = func.jacfwd(func.jacrev(lambda v: ft.dropout(v).square().sum()), randomness="same")
    assert torch.equal(seeded(hessian, x), (8 * keep).diag())
    with pytest.raises(RuntimeError, match="randomness"):  # as with torch's own dropout
        func.hessian(loss)(x)


def test_linearize_and_functional_calls_of_modules():
    model = torch.nn.Sequential(torch.nn.Linear(6, 6), ft.Dropout(0.5)).double()
    parameters = dict(model.named_parameters())

    def of_parameters(values, x):
        return func.functional_call(model, values, (x,)).square().sum()

    gradients = seeded(func.grad(of_parameters), parameters, X)
    wanted = torch.autograd.grad(seeded(model, X).square().sum(), list(parameters.values()))
    assert all(map(torch.equal, gradients.values(), wanted))


@pytest.mark.filterwarnings("ignore")  # Dynamo looks into much of torch that warns
def test_compiled_transforms_run_as_eager_code():
    transformed = func.grad(loss)
    with pytest.raises(torch._dynamo.exc.Unsupported):
        torch.compile(transformed, backend="aot_eager", fullgraph=True)(X)
    compiled = torch.compile(transformed, backend="aot_eager")
    assert torch.equal(seeded(compiled, X), seeded(transformed, X))
