# SPDX-License-Identifier: BSD-3-Clause
"""Tensors that are more than memory of the CPU, or something else: subclasses, signs, other layouts."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing._internal.two_tensor import TwoTensor

import fastdrop
import fastdrop.torch as ft
from torch_judge import KINDS, Draws, ours, reference_mask, seeded

X = torch.randn(4, 6)
NESTED = "ignore:The PyTorch API of nested tensors:UserWarning"


class Marked(torch.Tensor):
    """Stands for the many subclasses that keep torch's __torch_function__."""


@pytest.mark.parametrize("kind", KINDS)
def test_subclasses_stay_what_they_are(kind):
    x = torch.randn(KINDS[kind][0])
    marked = x.clone().as_subclass(Marked).requires_grad_()
    y = seeded(ours, kind, marked)
    assert type(y) is Marked
    assert torch.equal(y.as_subclass(torch.Tensor), seeded(ours, kind, x))
    y.sum().backward()
    x.requires_grad_()
    assert torch.equal(marked.grad, torch.autograd.grad(seeded(ours, kind, x).sum(), x)[0])


def test_a_subclass_in_attention_draws_ours():
    attention, x = ft.MultiheadAttention(8, 2, dropout=0.5, batch_first=True), torch.randn(2, 5, 8)
    for need_weights in (False, True):
        with Draws() as draws:
            y, _ = seeded(attention, *[x.as_subclass(Marked)] * 3, need_weights=need_weights)
        assert (draws.ours, draws.torchs) == (1, 0)
        wanted, _ = seeded(attention, x, x, x, need_weights=need_weights)
        torch.testing.assert_close(y.as_subclass(torch.Tensor), wanted)  # in blocks


def test_subclasses_with_a_dispatcher_of_their_own():
    """A tensor of two tensors: both have the mask of the key."""
    pair = TwoTensor(torch.ones(64), torch.full((64,), 3.0))
    y = seeded(ft.dropout, pair)
    keep = torch.from_numpy(reference_mask((64,)).to_numpy())
    assert torch.equal(y.a, keep * 2.0)
    assert torch.equal(y.b, keep * 6.0)


def test_parameters_give_tensors():
    y = ft.dropout(torch.nn.Parameter(X.clone()))
    assert type(y) is torch.Tensor
    assert y.requires_grad


@pytest.mark.parametrize("inplace", [False, True])
def test_a_lazy_sign(inplace):
    x = torch.randn(4, 6, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    wanted = seeded(ft.dropout, x.resolve_neg().contiguous())
    assert torch.equal(seeded(ft.dropout, x, inplace=inplace), wanted)
    assert torch.equal(x, wanted) == inplace


def test_copy_on_write():
    x = X.clone()
    lazy = torch._lazy_clone(x)
    wanted = seeded(ft.dropout, X)
    assert torch.equal(seeded(ft.dropout, lazy, inplace=True), wanted)
    assert torch.equal(lazy, wanted)
    assert torch.equal(x, X)


def outcome(function, x, **options):
    try:
        return seeded(function, x, 0.5, True, **options)
    except (RuntimeError, NotImplementedError) as error:
        return type(error), str(error)


@pytest.mark.filterwarnings(NESTED, "ignore:Sparse CSR:UserWarning", "ignore:.*quantiz")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(8, dtype=torch.int64),
        lambda: torch.ones(8, dtype=torch.bool),
        lambda: torch.ones(8, dtype=torch.complex64),
        lambda: torch.ones(8, dtype=torch.complex128).conj(),
        lambda: torch.ones(8).to(torch.float8_e4m3fn),
        lambda: torch.ones(8).to_sparse(),
        lambda: torch.ones(4, 4).to_sparse_csr(),
        lambda: torch.ones(4, 4).to_mkldnn(),
        lambda: torch.quantize_per_tensor(torch.ones(8), 0.1, 0, torch.quint8),
        lambda: torch.ones(8, device="meta"),
    ],
    ids=["int64", "bool", "complex64", "conjugate", "float8", "sparse", "csr", "mkldnn", "quantized", "meta"],
)
@pytest.mark.parametrize("kind", ["dropout", "alpha_dropout"])
def test_torch_does_what_fastdrop_does_not(kind, make):
    found, wanted = outcome(getattr(ft, kind), make()), outcome(getattr(F, kind), make())
    if isinstance(wanted, tuple):
        assert found == wanted
    else:
        assert (found.dtype, found.layout, found.device) == (wanted.dtype, wanted.layout, wanted.device)
        assert found.is_meta or torch.equal(found, wanted)


def test_noise_shape_and_masks_need_memory():
    x = torch.ones(4, 6, device="meta")
    with pytest.raises(TypeError, match=r"^noise_shape needs a tensor of .* in CPU memory, not .* on meta"):
        ft.dropout(x, noise_shape=(4, 1))


@pytest.mark.filterwarnings(NESTED)
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_torchs(layout):
    parts = [torch.ones(5, 8), torch.ones(3, 8)]
    x = torch.nested.nested_tensor(parts, layout=layout, requires_grad=True)
    y, wanted = seeded(ft.dropout, x), seeded(F.dropout, x)
    assert all(map(torch.equal, y.unbind(), wanted.unbind()))
    y.backward(torch.ones_like(y))
    assert all(map(torch.equal, x.grad.unbind(), y.unbind()))


def test_default_devices():
    """A device context is a mode, in which all calls go through the dispatcher. Keys stay on the CPU."""
    wanted, mask = seeded(ft.dropout, X), fastdrop.Mask((4, 6), seed=0)
    for device in ("meta", "cpu"):
        with torch.device(device):
            assert torch.equal(seeded(ft.dropout, X), wanted)
            assert torch.equal(ft.apply_mask(X, mask), torch.from_numpy(mask.apply(X.numpy())))
            assert ft.draw_mask(3).shape == (3,)
            z = X.clone()
            assert seeded(ft.dropout, z, inplace=True) is z
            assert torch.equal(z, wanted)
    torch.set_default_device("cpu")
    try:
        assert torch.equal(seeded(ft.dropout, X), wanted)
    finally:
        torch.set_default_device(None)
