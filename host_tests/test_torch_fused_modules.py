# SPDX-License-Identifier: BSD-3-Clause
"""The fused modules of fastdrop.torch, what goes to torch's own functions, and what is refused."""

import copy
import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fastdrop
import fastdrop.torch as ft
from torch_fused_judge import FULL, OPTIONAL, SHAPE, identify, is_norm, operands
from torch_judge import Draws, seeded

MODULES = {
    "bias_dropout_add": lambda **options: ft.BiasDropoutAdd(37, 0.3, "gelu", **options),
    "dropout_add_layer_norm": lambda **options: ft.DropoutAddLayerNorm(37, 0.3, 0.25, x_bias=True, **options),
    "dropout_add_rms_norm": lambda **options: ft.DropoutAddRMSNorm(37, 0.3, 0.25, x_bias=True, **options),
}


def filled(module):
    """With parameters that are no ones and zeros."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(0.5, 1.5)
    return module


@pytest.mark.parametrize("name", MODULES)
def test_modules_call_their_function(name):
    module, options = filled(MODULES[name]()), {"eps": 0.25} if is_norm(name) else {"activation": "gelu"}
    parameters = dict(module.named_parameters())
    assert set(parameters) == set(OPTIONAL[name]) - {"residual"}
    x, residual = torch.randn(2, *SHAPE)
    function = getattr(ft, name)
    for added in (residual, None):
        wanted = seeded(function, x, residual=added, p=0.3, **parameters, **options)
        assert torch.equal(seeded(module, x, added), wanted)
        assert torch.equal(seeded(module, x, residual=added), wanted)
    module.eval()
    assert torch.equal(module(x, residual), function(x, residual=residual, p=0.0, **parameters, **options))
    if is_norm(name):
        module.prenorm = True
        y, h = module(x, residual)
        assert torch.equal(y, module(x, residual)[0])
        assert torch.equal(h, residual + (x + parameters["x_bias"]))


@pytest.mark.parametrize("name", MODULES)
def test_modules_can_be_copied_saved_and_loaded(name):
    module = filled(MODULES[name](rng=fastdrop.MaskGenerator(0)))
    x = torch.randn(SHAPE)
    store = io.BytesIO()
    torch.save(module, store)
    store.seek(0)
    others = [copy.deepcopy(module), torch.load(store, weights_only=False)]
    fresh = MODULES[name](rng=fastdrop.MaskGenerator(0))
    fresh.load_state_dict(module.state_dict())
    y = module(x)
    for other in (*others, fresh):
        assert torch.equal(other(x), y)
        assert repr(other) == repr(others[0])


def test_parameters_begin_as_those_of_torch_and_load_them():
    layer, rms = nn.LayerNorm(6), nn.RMSNorm(6, eps=1e-5)
    ours, ours_rms = ft.DropoutAddLayerNorm(6, 0.0), ft.DropoutAddRMSNorm(6, 0.0)
    for module, torchs in ((ours, layer), (ours_rms, rms)):
        assert list(module.state_dict()) == list(torchs.state_dict())
        assert all(map(torch.equal, module.state_dict().values(), torchs.state_dict().values()))
        module.load_state_dict(filled(torchs).state_dict())
        x = torch.randn(4, 6, dtype=torch.float64)
        torch.testing.assert_close(module.double()(x), torchs.double()(x), rtol=1e-13, atol=1e-13)
    linear = nn.Linear(6, 6)
    bias = ft.BiasDropoutAdd(6, 0.0, dtype=torch.float32)
    bias.bias = linear.bias
    x = torch.randn(4, 6)
    assert torch.equal(bias(x @ linear.weight.t()), x @ linear.weight.t() + linear.bias)


def test_options_of_modules():
    assert repr(ft.BiasDropoutAdd(6, bias=False)) == "BiasDropoutAdd(6, p=0.5, activation=None, bias=False)"
    assert list(ft.BiasDropoutAdd(6, bias=False).parameters()) == []
    norm = ft.DropoutAddLayerNorm(6, 0.1, bias=False, x_bias=True, dtype=torch.bfloat16, device="meta")
    assert [name for name, _ in norm.named_parameters()] == ["weight", "x_bias"]
    assert {parameter.dtype for parameter in norm.parameters()} == {torch.bfloat16}
    assert norm.weight.is_meta
    rng = fastdrop.MaskGenerator(0)
    assert repr(ft.DropoutAddRMSNorm(6, rng=rng)).endswith(f"prenorm=False, rng={rng})")
    weight = filled(norm.to_empty(device="cpu")).weight
    norm.reset_parameters()
    assert weight.tolist() == [1.0] * 6
    assert norm.x_bias.tolist() == [0.0] * 6


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ft.BiasDropoutAdd(0), ValueError, "^features must be"),
        (lambda: ft.DropoutAddLayerNorm((6,)), TypeError, "^features must be"),
        (lambda: ft.BiasDropoutAdd(6, 1.5), ValueError, "^p must be"),
        (lambda: ft.BiasDropoutAdd(6, activation="swish"), ValueError, "^activation must be .* write 'silu'"),
        (lambda: ft.BiasDropoutAdd(6, activation=F.gelu), TypeError, "^activation must be .*its name"),
        (lambda: ft.BiasDropoutAdd(6, bias="no"), TypeError, "^bias must be True or False"),
        (lambda: ft.DropoutAddLayerNorm(6, eps=0.0), ValueError, "^eps must be"),
        (lambda: ft.DropoutAddLayerNorm(6, x_bias=None), TypeError, "^x_bias must be True or False"),
        (lambda: ft.DropoutAddRMSNorm(6, prenorm=2), TypeError, "^prenorm must be True or False"),
        (lambda: ft.DropoutAddRMSNorm(6, rng=0), TypeError, "^rng must be a fastdrop.MaskGenerator"),
    ],
)
def test_what_modules_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


# --- A network ------------------------------------------------------------------------------------


class Block(nn.Module):
    """A transformer block that normalises first: each norm takes the branch before it."""

    def __init__(self, features):
        super().__init__()
        self.norm1 = ft.DropoutAddLayerNorm(features, 0.1, prenorm=True)
        self.attention = ft.MultiheadAttention(features, 2, dropout=0.1, batch_first=True)
        self.norm2 = ft.DropoutAddLayerNorm(features, 0.1, prenorm=True)
        self.widen = nn.Linear(features, 4 * features, bias=False)
        self.activate = ft.BiasDropoutAdd(4 * features, 0.1, "gelu")
        self.narrow = nn.Linear(4 * features, features)

    def forward(self, branch, residual=None):
        x, residual = self.norm1(branch, residual)
        branch, _ = self.attention(x, x, x, need_weights=False)
        x, residual = self.norm2(branch, residual)
        return self.narrow(self.activate(self.widen(x))), residual


class Network(nn.Module):
    def __init__(self, features=8):
        super().__init__()
        self.blocks = nn.ModuleList(Block(features) for _ in range(2))
        self.last = ft.DropoutAddRMSNorm(features, 0.1)

    def forward(self, x):
        residual = None
        for block in self.blocks:
            x, residual = block(x, residual)
        return self.last(x, residual)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_network_trains_reproducibly_without_a_draw_of_torch(autocast):
    """Under autocast branches are of bfloat16, and the residual becomes float32 with the first sum."""
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))

    def evaluated(network):
        with torch.no_grad():
            loss = (network.eval()(x) - x).square().mean().item()
        network.train()
        return loss

    def losses():
        network = seeded(Network)
        before = evaluated(network)
        optimizer, found = torch.optim.SGD(network.parameters(), 0.1), []
        with Draws() as draws:
            for _ in range(5):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                    loss = (network(x) - x).square().mean()
                loss.backward()
                optimizer.step()
                found.append(loss.item())
        assert draws.torchs == 0
        assert evaluated(network) < before
        assert all(parameter.grad is not None for parameter in network.parameters())
        return found

    first = losses()
    assert all(map(math.isfinite, first))
    assert losses() == first


def test_a_compiled_network_is_the_eager_one():
    network, x = seeded(Network), torch.randn(2, 5, 8)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    found = []
    for model in (network, compiled):
        network.zero_grad()
        seeded(model, x).square().sum().backward()
        found.append([parameter.grad for parameter in network.parameters()])
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted)


# --- What goes to torch, and what is refused --------------------------------------------------------


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_tensors_of_other_devices_go_to_torch(case):
    name, given, activation = case
    tensors = {key: tensor.to("meta") for key, tensor in operands(given, torch.float32).items()}
    with Draws() as draws:
        y = getattr(ft, name)(**tensors, **activation)
    assert (y.shape, y.device.type, draws.torchs, draws.ours) == (SHAPE, "meta", 1, 0)
    for options in ({"noise_shape": (None, 1, None)}, {"rng": fastdrop.MaskGenerator(0)}):
        with pytest.raises(TypeError, match="a tensor of float16, bfloat16"):
            getattr(ft, name)(**tensors, **activation, **options)
    with pytest.raises(TypeError, match="a tensor of float16, bfloat16"):
        getattr(ft, name)(**tensors, **activation, mask=fastdrop.Mask(SHAPE, 0.5, seed=0))


def test_other_dtypes_go_to_torch():
    x = torch.randn(4, 6, dtype=torch.complex64)
    assert torch.equal(ft.bias_dropout_add(x, x[0], x, 0.0), x + (x + x[0]))
    with pytest.raises(RuntimeError):  # torch's own words
        ft.dropout_add_layer_norm(torch.ones(4, 6, dtype=torch.int32))


X, BIAS = torch.randn(4, 6), torch.randn(6)
MASK = fastdrop.Mask((4, 6), 0.5, seed=0)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones((4, 6)),), {}, TypeError, "^x must be a torch.Tensor, not"),
        ((X, 0.1), {}, TypeError, "^bias must be a torch.Tensor, not"),
        ((X, None, [1.0]), {}, TypeError, "^residual must be a torch.Tensor, not"),
        ((torch.tensor(1.0),), {}, ValueError, "^x must have at least one axis"),
        (
            (X, BIAS[:5]),
            {},
            ValueError,
            r"^bias must be .* one value for each feature of x, \(6,\), not \(5,\)",
        ),
        ((X, BIAS[None]), {}, ValueError, r"^bias must be .* \(6,\), not \(1, 6\)"),
        ((X, None, X[:1]), {}, ValueError, r"^residual must be .* the shape of x, \(4, 6\), not \(1, 6\)"),
        ((X, BIAS.double()), {}, TypeError, "^bias must have the dtype of x, torch.float32"),
        ((X, BIAS.int()), {}, TypeError, "^bias must be a tensor of float16"),
        ((X, BIAS.to("meta")), {}, TypeError, "^bias must be a tensor .* on meta"),
        ((X, None, X.int()), {}, TypeError, "^residual must be a tensor of float16"),
        ((X,), {"p": 1.5}, ValueError, "^p must be"),
        ((X,), {"p": torch.tensor(0.5)}, TypeError, "^p must be"),
        ((X,), {"training": "test"}, TypeError, "^training must be True or False"),
        ((X,), {"activation": "tanh"}, ValueError, "^activation must be"),
        ((X,), {"activation": F.gelu}, TypeError, "^activation must be"),
        ((X,), {"rng": 0}, TypeError, "^rng must be a fastdrop.MaskGenerator"),
        ((X,), {"noise_shape": (2, 6)}, ValueError, "noise_shape"),
        ((X,), {"mask": X > 0}, TypeError, "^mask must be a fastdrop.Mask"),
        ((X,), {"mask": MASK, "p": 0.1}, ValueError, "^mask must not be given together with p"),
        ((X,), {"mask": MASK, "rng": fastdrop.MaskGenerator(0)}, ValueError, "^mask must not .* with rng"),
        ((X[:3],), {"mask": MASK}, ValueError, r"must have the shape .*\(4, 6\)"),
    ],
)
def test_what_functions_refuse(arguments, options, error, message):
    with pytest.raises(error, match=message):
        ft.bias_dropout_add(*arguments, **options)


@pytest.mark.parametrize("name", [name for name in OPTIONAL if is_norm(name)])
def test_what_norms_refuse(name):
    function = getattr(ft, name)
    with pytest.raises(ValueError, match=r"^eps must be"):
        function(X, eps=0.0)
    with pytest.raises(TypeError, match=r"^eps must be"):
        function(X, eps=None)
    with pytest.raises(TypeError, match=r"^prenorm must be True or False"):
        function(X, prenorm=1.5)
    with pytest.raises(ValueError, match=r"^weight must be"):
        function(X, None, BIAS[:2])
    with pytest.raises(ValueError, match=r"^x_bias must be"):
        function(X, x_bias=X)
