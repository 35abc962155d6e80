# SPDX-License-Identifier: BSD-3-Clause
"""Gradients of the fused functions: beside torch's own of the composition, in checkpoints and transforms."""

import pytest
import torch
import torch.nn.functional as F
from torch import func
from torch.autograd import forward_ad, gradcheck
from torch.utils.checkpoint import checkpoint

import fastdrop
import fastdrop.torch as ft
import fused_formulas as formulas
from bounded import Bounded
from torch_fused_judge import (
    CASES,
    FULL,
    OPTIONAL,
    PATHS,
    SHAPE,
    both,
    drawn_mask,
    identify,
    is_norm,
    operands,
)
from torch_judge import seeded, to_numpy

# torch scripts some formulas of its own for forward derivatives.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
P, EPS = 0.3, 1e-5
TORCHS = {
    None: lambda t: t,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda t: F.gelu(t, approximate="tanh"),
    "silu": F.silu,
}


def composed(name, x, bias=None, residual=None, weight=None, x_bias=None, activation=None):
    """The definition in torch's own functions, with the mask of seed 3 times the scale for dropout."""
    factors = torch.from_numpy(drawn_mask(x.shape, P).to_numpy()).to(x.dtype) / (1 - P)
    if is_norm(name):
        h = factors * (x if x_bias is None else x + x_bias)
    else:
        h = factors * TORCHS[activation](x if bias is None else x + bias)
    h = h if residual is None else residual + h
    if name == "dropout_add_layer_norm":
        return F.layer_norm(h, h.shape[-1:], weight, bias, EPS), h
    return (F.rms_norm(h, h.shape[-1:], weight, EPS) if is_norm(name) else h), h


def bounds(name, tensors, dy, dh, activation=None):
    """What `composed` and its gradients are, with the errors that the core's steps may make."""
    wide = {key: Bounded(tensor.detach().double().numpy(), "float32") for key, tensor in tensors.items()}
    absent = {key: Bounded(1.0 if key == "weight" else -0.0, "float32") for key in OPTIONAL[name]}
    given = absent | wide
    keep = drawn_mask(SHAPE, P).to_numpy()
    scale = Bounded(1.0, "float32") / (1 - P)  # rounded once
    dy, dh = (Bounded(change.double().numpy(), "float32") for change in (dy, dh))
    before = given["x_bias" if is_norm(name) else "bias"]
    h = formulas.bias_dropout_add(given["x"], before, given["residual"], keep, scale, activation)
    if not is_norm(name):
        dx = dy * scale
        t = given["x"] + before
        if activation == "relu":
            dx = dx.where(t.value > 0)
        elif activation is not None:
            dx = dx * formulas.derivative(t, activation)
        dx = dx.where(keep)
        return {"y": h, "x": dx, "bias": formulas.column_sums(dx), "residual": dy}
    info = torch.finfo(tensors["x"].dtype)
    if info.bits == 16:  # h is a result, which what follows reads
        h = Bounded(h.value, h.dtype, h.error + info.eps / 2 * (abs(h.value) + h.error) + info.tiny)
    norm = "layer" if name == "dropout_add_layer_norm" else "rms"
    xhat, _, rstd = formulas.normalized(norm, h, EPS)
    y = xhat * given["weight"]
    dresidual = dh + formulas.through_norm(norm, dy * given["weight"], xhat, rstd)
    dx = (dresidual * scale).where(keep)
    return {
        "y": y + given["bias"] if norm == "layer" else y,
        "x": dx,
        "residual": dresidual,
        "weight": formulas.column_sums(dy * xhat),
        "bias": formulas.column_sums(dy),
        "x_bias": formulas.column_sums(dx),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=identify)
def test_results_and_gradients_are_those_of_the_composition(case, dtype):
    """torch computes it in float64, whose own errors are 2^-29 of the bound's: the 1.001 covers them."""
    name, given, activation = case
    tensors = operands(given, dtype, torch.float32)
    wide = {key: tensor.detach().double().requires_grad_() for key, tensor in tensors.items()}
    dy, dh = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1)).to(dtype)

    y, h = both(name, tensors, P, **activation)
    wanted_y, wanted_h = composed(name, **wide, **activation)
    used = ([y, h], [dy, dh]) if is_norm(name) else ([y], [dy])
    found = torch.autograd.grad(used[0], list(tensors.values()), used[1])
    used = (
        ([wanted_y, wanted_h], [dy.double(), dh.double()]) if is_norm(name) else ([wanted_y], [dy.double()])
    )
    wanted = torch.autograd.grad(used[0], list(wide.values()), used[1])

    bound = bounds(name, tensors, dy, dh, **activation)
    for key, ours, torchs in zip(("y", *tensors), (y, *found), (wanted_y, *wanted), strict=True):
        error = bound[key].error
        Bounded(torchs.detach().numpy(), "float32", error * 1.001).check(to_numpy(ours))
        if dtype is torch.float32:  # the bound says something
            assert error.mean() < 1e-4 * abs(torchs).mean()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", CASES, ids=identify)
def test_gradcheck(case, path):
    """Of y, and of h where there is one."""
    name, given, activation = case
    tensors = operands(given, torch.float64, shape=(2, 3))

    def function(*values):
        results = both(name, dict(zip(tensors, values, strict=True)), P, path, **activation)
        return tuple(result for result in results if result is not None)

    assert gradcheck(function, tuple(tensors.values()))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", FULL, ids=identify)
def test_only_what_is_asked_for_has_a_gradient(case, path):
    name, given, activation = case
    whole = operands(given, torch.float32)
    dy = torch.randn(SHAPE)
    wanted = torch.autograd.grad(both(name, whole, P, path, **activation)[0], list(whole.values()), dy)
    for key, gradient in zip(whole, wanted, strict=True):
        some = {k: tensor.detach().requires_grad_(k == key) for k, tensor in whole.items()}
        both(name, some, P, path, **activation)[0].backward(dy)
        assert torch.equal(some[key].grad, gradient)
        assert all(tensor.grad is None for k, tensor in some.items() if k != key)


def saved_by(call):
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        call()
    return saved


def test_what_is_saved():
    x, bias, residual = operands(("bias", "residual"), torch.float32).values()
    assert saved_by(lambda: ft.bias_dropout_add(x, bias, residual)) == []
    assert len(saved_by(lambda: ft.bias_dropout_add(x, bias, activation="relu"))) == 1
    for options in ({"residual": residual, "activation": "relu"}, {"activation": "gelu"}):
        kept = saved_by(lambda options=options: ft.bias_dropout_add(x, bias, **options))
        assert [tensor.data_ptr() for tensor in kept] == [x.data_ptr(), bias.data_ptr()]
    kept = saved_by(lambda: ft.dropout_add_layer_norm(x, residual, bias, bias))
    assert [tuple(tensor.shape) for tensor in kept] == [SHAPE, SHAPE[:-1], SHAPE[:-1], SHAPE[-1:]]
    kept = saved_by(lambda: ft.dropout_add_rms_norm(x, None, bias, p=0.0))
    assert kept[0].data_ptr() == x.data_ptr()  # no h was made
    assert [tuple(tensor.shape) for tensor in kept] == [SHAPE, SHAPE[:-1], SHAPE[-1:]]


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_nothing_is_recorded_without_need(case):
    name, given, activation = case
    tensors = operands(given, torch.float32)
    plain = {key: tensor.detach() for key, tensor in tensors.items()}
    assert saved_by(lambda: getattr(ft, name)(**plain, **activation)) == []
    assert getattr(ft, name)(**plain, **activation).grad_fn is None
    with torch.no_grad():
        assert not getattr(ft, name)(**tensors, **activation).requires_grad
    with torch.inference_mode():
        assert getattr(ft, name)(**tensors, **activation).is_inference()


def test_what_is_saved_must_not_change():
    x, bias = operands(("bias",), torch.float32).values()
    y = ft.bias_dropout_add(x, bias, activation="gelu")
    with torch.no_grad():
        bias.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", FULL, ids=identify)
def test_a_second_derivative_is_refused(case, path):
    name, given, activation = case
    tensors = operands(given, torch.float32)
    y, _ = both(name, tensors, P, path, **activation)
    (dx,) = torch.autograd.grad(y.sum(), tensors["x"], create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated again: use"):
        dx.sum().backward()


def test_batched_gradients_are_refused():
    x = torch.randn(SHAPE, requires_grad=True)
    y = ft.bias_dropout_add(x, activation="gelu")
    with pytest.raises(RuntimeError, match="takes one gradient at a time"):
        torch.autograd.grad(y, x, torch.randn(2, *SHAPE), is_grads_batched=True)


# --- Checkpoints ----------------------------------------------------------------------------------


def network(x, bias, residual, weight):
    t = ft.bias_dropout_add(x, bias, None, P, activation="gelu")
    y, h = ft.dropout_add_layer_norm(t, residual, weight, bias, P, x_bias=bias, prenorm=True)
    return ft.dropout_add_rms_norm(y, h, weight, P)


def both_passes(function, **options):
    tensors = operands(("bias", "residual", "weight"), torch.float32)
    y = seeded(function, *tensors.values(), **options)
    y.sin().sum().backward()
    return y.detach(), *(tensor.grad for tensor in tensors.values())


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoints_have_the_gradients_of_the_whole(use_reentrant):
    def in_parts(*tensors):
        return checkpoint(network, *tensors, use_reentrant=use_reentrant)

    assert all(map(torch.equal, both_passes(in_parts), both_passes(network)))


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_masks_in_a_checkpoint(use_reentrant):
    """A given mask is the same mask; a generator would draw another one."""
    mask, masks = fastdrop.Mask(SHAPE, P, seed=0), fastdrop.MaskGenerator(0)

    def with_mask(x, bias, *_):
        return ft.bias_dropout_add(x, bias, mask=mask, activation="gelu")

    def with_rng(x, bias, *_):
        return ft.bias_dropout_add(x, bias, p=P, rng=masks, activation="gelu")

    def in_parts(function):
        return lambda *tensors: checkpoint(function, *tensors, use_reentrant=use_reentrant)

    found, wanted = both_passes(in_parts(with_mask)), both_passes(with_mask)
    assert all(torch.equal(*pair) for pair in zip(found[:3], wanted[:3], strict=True))
    with pytest.raises(RuntimeError, match="rng would draw another mask"):
        both_passes(in_parts(with_rng))


# --- Transforms of torch.func, which see a composition with the masks of eager code -----------------


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_transforms(case):
    """Of derivatives of any order, with the mask of the seed: both sides are the same steps of torch's."""
    name, given, activation = case
    tensors = operands(given, torch.float64, requires_grad=False)
    names, values = list(tensors), tuple(tensors.values())

    def ours(*tensors):
        y, h = both(name, dict(zip(names, tensors, strict=True)), P, **activation)
        return y.sin().sum() + (h.sum() if is_norm(name) else 0)

    def torchs(*tensors):
        y, h = composed(name, **dict(zip(names, tensors, strict=True)), **activation)
        return y.sin().sum() + (h.sum() if is_norm(name) else 0)

    places = tuple(range(len(values)))
    close = {"rtol": 0, "atol": 0}
    torch.testing.assert_close(func.grad(ours, places)(*values), func.grad(torchs, places)(*values), **close)
    tangents = tuple(torch.randn_like(value) for value in values)
    torch.testing.assert_close(func.jvp(ours, values, tangents), func.jvp(torchs, values, tangents), **close)

    def second(loss):
        return func.grad(lambda x: func.grad(loss)(x, *values[1:]).sin().sum())(values[0])

    torch.testing.assert_close(second(ours), second(torchs), **close)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(values[0], tangents[0])
        changes = [forward_ad.unpack_dual(loss(dual, *values[1:])).tangent for loss in (ours, torchs)]
    torch.testing.assert_close(*changes, **close)


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_vmap(case):
    name, given, activation = case
    tensors = operands(given, torch.float64, shape=(5, *SHAPE), requires_grad=False)

    def function(x, p=P):
        return getattr(ft, name)(x, **{k: shared[k] for k in given}, p=p, **activation)

    shared = {key: tensor[0] if key == "residual" else tensor for key, tensor in tensors.items()}
    found = seeded(torch.vmap(function, randomness="same"), tensors["x"])
    for y, x in zip(found, tensors["x"], strict=True):  # one mask for all
        torch.testing.assert_close(y, composed(name, **shared | {"x": x}, **activation)[0], rtol=0, atol=0)
    different = torch.vmap(function, randomness="different")(tensors["x"][:1].expand(5, *SHAPE))
    assert len({tuple(y.flatten().tolist()) for y in different}) == 5
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(function)(tensors["x"])
