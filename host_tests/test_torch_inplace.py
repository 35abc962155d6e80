# SPDX-License-Identifier: BSD-3-Clause
"""inplace=True writes over the input, and autograd knows it."""

import pytest
import torch
import torch.nn.functional as F

import fastdrop.torch as ft
from torch_judge import KINDS, ours, seeded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_recorded", [False, True])
def test_the_values_are_those_of_a_new_tensor(kind, is_recorded):
    x = torch.randn(KINDS[kind][0], requires_grad=is_recorded)
    wanted, z = seeded(ours, kind, x), x.clone()
    version = z._version
    assert seeded(ours, kind, z, inplace=True) is z
    assert torch.equal(z, wanted)
    assert z._version == version + 1
    if is_recorded:
        dy = torch.randn_like(x)
        assert all(map(torch.equal, torch.autograd.grad(z, x, dy), torch.autograd.grad(wanted, x, dy)))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_it_returns_the_input_itself(context):
    leaf = torch.ones(8, requires_grad=True)
    for x in (leaf, leaf * 1, leaf.view(2, 4)):
        with context():
            assert ft.dropout(x, inplace=True) is x
        assert x.requires_grad


LAYOUTS = {
    "transposed": lambda x: x.t(),
    "sliced": lambda x: x[:, ::2],
    "rows": lambda x: x[1:3],
    "permuted and cut": lambda x: x.t()[1:, :2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("is_recorded", [False, True])
def test_views_change_their_base_and_nothing_else(layout, is_recorded):
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=is_recorded)
    base = x.clone()
    view = LAYOUTS[layout](base)
    wanted = seeded(ft.dropout, LAYOUTS[layout](x).detach())
    seeded(ft.dropout, view, inplace=True)
    assert torch.equal(view, wanted)
    untouched = torch.ones(4, 6, dtype=torch.bool)
    LAYOUTS[layout](untouched).fill_(False)
    assert torch.equal(base[untouched], x[untouched])
    if is_recorded:
        (dx,) = torch.autograd.grad(base.sum(), x)
        scale = torch.ones(4, 6, dtype=torch.float64)
        LAYOUTS[layout](scale).copy_((wanted != 0) * 2.0)
        assert torch.equal(dx, scale)


def test_a_leaf_is_refused_before_it_is_touched():
    x = torch.ones(8, requires_grad=True)
    for refused in (x, x[2:], x.view(2, 4)):
        with pytest.raises(RuntimeError, match="leaf"):
            ft.dropout(refused, inplace=True)
        with pytest.raises(RuntimeError, match="leaf"), torch.device("cpu"):  # by the operator
            ft.dropout(refused, inplace=True)
    assert (x == 1).all()
    with torch.no_grad():
        ft.dropout(x, inplace=True)
    assert set(x.tolist()) <= {0, 2}
    assert x._version == 1


def test_what_is_needed_for_the_backward_pass_is_seen():
    x = torch.randn(8, requires_grad=True)
    y = x.exp()  # keeps its result
    ft.dropout(y, inplace=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("function", [ft.dropout, F.dropout])
def test_elements_that_share_memory_are_refused(function):
    x = torch.ones(1, 8).expand(3, 8)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        function(x, inplace=True)
    assert (x == 1).all()


@pytest.mark.parametrize("function", [ft.dropout, F.dropout])
def test_tensors_of_inference_mode(function):
    with torch.inference_mode():
        x = torch.ones(64)
        y = function(x, inplace=True)
        assert y is x
        assert set(x.tolist()) == {0, 2}
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor"):
        function(x, inplace=True)


@pytest.mark.parametrize("function", [ft.dropout, F.dropout])
def test_one_of_several_views_is_refused(function):
    part, _ = torch.randn(2, 8, requires_grad=True).clone().unbind()
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        function(part, inplace=True)


def test_in_the_middle_of_a_network():
    """After an operation that does not keep its result."""
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)

    def network(inplace):
        return seeded(ft.dropout, x * 2, inplace=inplace).square().sum()

    (first,), (second,) = (torch.autograd.grad(network(inplace), x) for inplace in (False, True))
    assert torch.equal(first, second)
