# SPDX-License-Identifier: BSD-3-Clause
"""Compiled, traced and exported code has our operators in it, and the masks of eager code."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

import fastdrop
import fastdrop.torch as ft
from torch_judge import KINDS, Draws, ours, seeded

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning"
)
OPERATORS = {"dropout": torch.ops.fastdrop.dropout, "alpha_dropout": torch.ops.fastdrop.alpha_dropout}


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()


def graphs_of(function, **options):
    """The function compiled, and the graphs that torch.compile makes of it."""
    found = []

    def backend(graph, inputs):
        found.append(graph)
        return graph.forward

    return torch.compile(function, backend=backend, fullgraph=True, **options), found


def targets(graph):
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def both_passes(function, x):
    y = seeded(function, x)
    return (y.detach(), *torch.autograd.grad(y.sum(), x))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_those_of_eager_code(kind, dynamic):
    x = torch.randn(KINDS[kind][0], requires_grad=True)

    def function(v):
        return ours(kind, v.sin(), 0.3) * v

    compiled = torch.compile(function, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for example in (x, torch.cat([x, x]).detach().requires_grad_()):
        assert all(map(torch.equal, both_passes(compiled, example), both_passes(function, example)))


@pytest.mark.parametrize("kind", ["dropout", "dropout2d", "alpha_dropout"])
def test_inductor(kind):
    """Its own loops fuse and round otherwise, so that what is dropped is compared, and the rest nearly."""
    x = torch.rand(KINDS[kind][0]).add(1).requires_grad_()

    def function(v):
        return ours(kind, v * 2, 0.3) * 2

    compiled = torch.compile(function, fullgraph=True)
    for found, wanted in zip(both_passes(compiled, x), both_passes(function, x), strict=True):
        assert torch.equal(found == 0, wanted == 0)
        torch.testing.assert_close(found, wanted)


def test_the_graph_has_the_operator_and_the_draw():
    compiled, graphs = graphs_of(lambda x: ft.dropout(x).exp())
    compiled(torch.ones(3))
    assert [name for name in targets(graphs[0]) if "dropout" in name or "random" in name] == [
        "aten.random",
        "fastdrop.dropout",
    ]
    first, second = (compiled(torch.ones(64)) for _ in range(2))
    assert not torch.equal(first, second)


def test_recompiled_for_p_and_training_only():
    counter, module = CompileCounter(), ft.Dropout(0.5)
    compiled = torch.compile(lambda x: module(x) * 1, backend=counter, fullgraph=True, dynamic=True)

    def check(frames):
        for length in (30, 40, 50):
            x = torch.ones(length, 7)
            assert torch.equal(seeded(compiled, x), seeded(module, x))
        assert counter.frame_count == frames

    check(1)
    module.p = 0.25
    check(2)
    module.eval()
    check(3)
    module.train()
    check(3)
    module.p = 1.0
    check(4)
    module.p = 0.0
    check(5)


def test_wrong_arguments_are_named():
    compiled = torch.compile(ft.dropout, backend="eager")
    for p, error in ((1.5, ValueError), ("0.5", TypeError), (float("nan"), ValueError)):
        with pytest.raises(error, match=r"^p must be"):
            compiled(torch.ones(3), p)


def test_in_place():
    compiled = torch.compile(lambda x: ft.dropout(x, inplace=True) + 1, backend="aot_eager", fullgraph=True)
    x = torch.ones(64)
    y = seeded(compiled, x)
    assert torch.equal(x, seeded(ft.dropout, torch.ones(64)))
    assert torch.equal(y, x + 1)


def test_masks_are_no_constants_of_compiled_code():
    """fullgraph=True refuses, and otherwise that call runs as eager code."""
    masks, mask, x = fastdrop.MaskGenerator(0), fastdrop.Mask(64, seed=0), torch.ones(64)
    for function in (lambda v: ft.dropout(v, rng=masks) * 1, lambda v: ft.apply_mask(v, mask) * 1):
        with pytest.raises(torch._dynamo.exc.Unsupported):
            torch.compile(function, backend="eager", fullgraph=True)(x)
    compiled = torch.compile(lambda v: ft.dropout(v, rng=masks) * 1, backend="eager")
    masks.state = fastdrop.MaskGenerator(0).state
    wanted = [ft.dropout(x, rng=fastdrop.MaskGenerator(0)) for _ in range(1)]
    assert torch.equal(compiled(x), wanted[0])
    assert not torch.equal(compiled(x), wanted[0])


def layer():
    made = seeded(nn.TransformerEncoderLayer, 8, 2, 16, 0.5, batch_first=True)
    ft.replace_dropout(made)
    return made


def test_attention_and_modes():
    model, x = layer(), torch.randn(2, 5, 8)
    compiled, graphs = graphs_of(model)
    torch.testing.assert_close(seeded(compiled, x), seeded(model, x))
    assert targets(graphs[0]).count("fastdrop.dropout") == 4

    def function(v):
        with ft.replace_functional():
            return F.dropout(v) + F.scaled_dot_product_attention(v, v, v, dropout_p=0.5)

    compiled, graphs = graphs_of(function)
    torch.testing.assert_close(seeded(compiled, x), seeded(function, x))
    assert targets(graphs[0]).count("fastdrop.dropout") == 2


def test_a_compiled_model_is_replaced():
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
    compiled, x = torch.compile(model, backend="aot_eager"), torch.randn(2, 8)
    before = seeded(compiled, x)
    replaced = ft.replace_dropout(compiled)
    assert list(replaced.modules) == ["_orig_mod.1"]
    assert torch.equal(seeded(compiled, x), seeded(ft.dropout, model[0](x)))
    replaced.undo()
    assert torch.equal(seeded(compiled, x), before)


def test_the_backward_pass_alone_is_compiled():
    x = torch.randn(64, requires_grad=True)
    y = seeded(ft.dropout, x)
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
        y.sum().backward()
    assert torch.equal(x.grad, (y != 0) * 2.0)


# --- Operators ------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise_shape", [None, [3, 1]])
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(
    "x", [torch.randn(3, 4), torch.randn(4, 3).double().t(), torch.randn(3, 8)[:, ::2].half()]
)
def test_opcheck(name, noise_shape, x):
    constants = (2.0,) if name == "dropout" else (0.9, 0.8, -0.8)
    arguments = (x.requires_grad_(), torch.tensor([5, 6]), 0.5, *constants, noise_shape)
    assert set(torch.library.opcheck(OPERATORS[name], arguments).values()) == {"SUCCESS"}


def test_operators_are_functions_of_their_operands():
    x, key = torch.randn(64), torch.tensor([5, 6])
    y = OPERATORS["dropout"](x, key, 0.5, 2.0, None)
    assert torch.equal(y, OPERATORS["dropout"](x, key, 0.5, 2.0, None))
    mask = fastdrop.Mask(64, 0.5, key=(5, 0, 6, 0))
    assert torch.equal(y, torch.from_numpy(mask.apply(x.numpy())))


@pytest.mark.parametrize("pre_dispatch", [False, True])
@pytest.mark.parametrize("tracing_mode", ["real", "fake", "symbolic"])
def test_make_fx(tracing_mode, pre_dispatch):
    x = torch.randn(2, 3, 4, 5)
    graph = make_fx(lambda v: ft.dropout2d(v), tracing_mode=tracing_mode, pre_dispatch=pre_dispatch)(x)
    assert targets(graph).count("fastdrop.dropout.default") == 1
    assert torch.equal(seeded(graph, x), seeded(ft.dropout2d, x))
    assert not torch.equal(graph(x), graph(x))


@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects")
@pytest.mark.parametrize("strict", [False, True])
def test_export(strict):
    model, x = layer(), torch.randn(2, 5, 8)
    program = torch.export.export(model, (x,), strict=strict)
    assert targets(program.graph_module).count("fastdrop.dropout.default") == 4
    torch.testing.assert_close(seeded(program.module(), x), seeded(model, x))


def test_jit_trace_records_the_operator_and_no_mask():
    model, x = layer(), torch.randn(2, 5, 8)
    traced = torch.jit.trace(model, x, check_trace=False)
    assert [node.kind() for node in traced.inlined_graph.nodes()].count("fastdrop::dropout") == 4
    torch.testing.assert_close(seeded(traced, x), seeded(model, x))
    assert not torch.equal(traced(x), traced(x))
    mask = fastdrop.Mask(64, seed=0)
    with pytest.raises(TypeError, match="would become a constant"):
        torch.jit.trace(lambda v: ft.apply_mask(v, mask), torch.ones(64))
    with pytest.raises(TypeError, match="would become a constant"):
        make_fx(lambda v: ft.apply_mask(v, mask))(torch.ones(64))


@pytest.mark.parametrize("kind", KINDS)
def test_fake_and_meta_tensors(kind):
    shape = KINDS[kind][0]
    assert ours(kind, torch.ones(shape, device="meta")).device.type == "meta"
    with FakeTensorMode():
        x = torch.ones(shape, requires_grad=True)
        y = ours(kind, x)
        y.sum().backward()
    assert y.shape == x.grad.shape == shape


def test_modes_see_the_operators():
    with Draws() as draws:
        ft.dropout(torch.ones(3))
        ft.alpha_dropout(torch.ones(3), training=True)
    assert (draws.ours, draws.torchs) == (2, 0)
    seen = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), keywords=None):
            seen.append(str(function))
            return function(*arguments, **(keywords or {}))

    with Watch():
        ft.dropout(torch.ones(3))
    assert "fastdrop.dropout" in seen


def test_checkpoints_in_compiled_code():
    weight = torch.randn(6, 6, requires_grad=True)

    def function(x):
        return ft.dropout(torch.sin(ft.dropout(x @ weight) @ weight))

    def gradient(call):
        weight.grad = None
        seeded(call, torch.ones(4, 6)).sum().backward()
        return weight.grad

    def in_parts(x):
        return checkpoint(function, x, use_reentrant=False)

    compiled = torch.compile(in_parts, backend="aot_eager", fullgraph=True)
    assert torch.equal(gradient(compiled), gradient(function))
