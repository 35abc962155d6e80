# SPDX-License-Identifier: BSD-3-Clause
"""replace_functional: torch's functions are ours within the statement, and nowhere else."""

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import fastdrop.torch as ft
from torch_judge import KINDS, Draws, ours, seeded

X = torch.randn(4, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind):
    x = torch.randn(KINDS[kind][0])
    wanted = seeded(ours, kind, x)
    with ft.replace_functional():
        assert torch.equal(seeded(getattr(F, kind), x, 0.5, True), wanted)
        assert torch.equal(seeded(getattr(F, kind), input=x, p=0.5, training=True), wanted)
        z = x.clone()
        assert seeded(getattr(F, kind), z, p=0.5, training=True, inplace=True) is z
        assert torch.equal(z, wanted)
        assert getattr(F, kind)(x, training=False) is x


@pytest.mark.parametrize("kind", ["dropout", "alpha_dropout", "feature_alpha_dropout"])
def test_functions_of_torch_without_default_values(kind):
    x = torch.randn(KINDS[kind][0])
    wanted = seeded(ours, kind, x)
    function, inplace = getattr(torch, kind), getattr(torch, f"{kind}_")
    with ft.replace_functional():
        assert torch.equal(seeded(function, x, 0.5, True), wanted)
        assert torch.equal(seeded(function, x, p=0.5, train=True), wanted)
        assert function(x, 0.5, False) is x
        z = x.clone()
        assert seeded(inplace, z, 0.5, True) is z
        assert torch.equal(z, wanted)


def test_torchs_own_modules_within_the_statement():
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout1d(0.5))
    with Draws() as draws, ft.replace_functional():
        model(torch.ones(2, 3, 4))
    assert (draws.ours, draws.torchs) == (2, 0)


def test_the_statement_ends_and_may_be_nested():
    torchs, own = seeded(F.dropout, X), seeded(ft.dropout, X)
    mode = ft.replace_functional()
    with mode:
        with ft.replace_functional():
            assert torch.equal(seeded(F.dropout, X), own)
        assert torch.equal(seeded(F.dropout, X), own)
    assert torch.equal(seeded(F.dropout, X), torchs)
    with pytest.raises(KeyError), mode:
        raise KeyError
    assert torch.equal(seeded(F.dropout, X), torchs)


def test_other_threads_are_not_concerned():
    wanted, found = seeded(F.dropout, X), []
    with ft.replace_functional():
        other = threading.Thread(target=lambda: found.append(seeded(F.dropout, X)))
        other.start()
        other.join()
    assert torch.equal(found[0], wanted)


def test_errors_name_the_argument():
    with ft.replace_functional():
        with pytest.raises(ValueError, match=r"^p must be"):
            F.dropout(X, 1.5)
        with pytest.raises(ValueError, match=r"^dropout_p must be"):
            F.scaled_dot_product_attention(*[X[None]] * 3, dropout_p=1.5)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoints_within_the_statement(use_reentrant):
    weight = torch.randn(6, 6, requires_grad=True)

    def function(v):
        return F.dropout(torch.sin(v @ weight)) @ weight

    def gradient(call):
        x = X.clone().requires_grad_()
        weight.grad = None
        with ft.replace_functional(), Draws() as draws:
            seeded(call, x).sum().backward()
        assert draws.torchs == 0
        return x.grad, weight.grad

    whole = gradient(function)
    parts = gradient(lambda v: checkpoint(function, v, use_reentrant=use_reentrant))
    assert all(map(torch.equal, whole, parts))


def test_what_has_no_dropout_is_untouched():
    with ft.replace_functional():
        assert torch.equal(torch.sin(X), X.sin())
        assert F.dropout(torch.ones(3, dtype=torch.complex64), training=False).dtype is torch.complex64
