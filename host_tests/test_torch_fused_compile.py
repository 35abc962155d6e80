# SPDX-License-Identifier: BSD-3-Clause
"""The fused functions in compiled, traced and exported code, under modes, and their operators."""

from itertools import cycle

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

import fastdrop
import fastdrop.torch as ft
from fastdrop import _core
from torch_fused_judge import CASES, FULL, SHAPE, both, drawn_mask, identify, is_norm, operands
from torch_judge import DTYPES, Draws, same_bits, seeded, to_numpy

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning"
)
P = 0.3
ABSENT = [case for case in CASES if not case[1] and case[2].get("activation") in (None, "relu")]


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()


def caller(case, tensors, p=P, **options):
    """A function of the values, and those."""
    name, _, activation = case

    def function(*values):
        given = {key: value * 1 for key, value in zip(tensors, values, strict=True)}
        return getattr(ft, name)(**given, p=p, **activation, **options)

    return function, list(tensors.values())


def both_passes(function, values):
    results = seeded(function, *values)
    results = results if isinstance(results, tuple) else (results,)
    loss = sum(result.sin().sum() for result in results)
    return *(y.detach() for y in results), *torch.autograd.grad(loss, values)


@pytest.mark.parametrize("case", [*FULL, *ABSENT], ids=identify)
def test_compiled_code_has_the_bits_of_eager_code(case):
    """With both results of norms, and with one; with dropping and without."""
    for p in (P, 0.0):
        options = {"prenorm": p == P} if is_norm(case[0]) else {}
        function, values = caller(case, operands(case[1], torch.float32), p, **options)
        compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
        assert all(map(torch.equal, both_passes(compiled, values), both_passes(function, values)))


@pytest.mark.parametrize(("case", "dtype"), list(zip(FULL, cycle(DTYPES), strict=False)), ids=str)
def test_dynamic_shapes(case, dtype):
    counter = CompileCounter()
    for length in (4, 5, 9):
        tensors = operands(case[1], dtype, shape=(length, 3, 11))
        function, values = caller(case, tensors, noise_shape=(None, 1, None))
        if length == 4:
            compiled = torch.compile(function, backend=counter, fullgraph=True, dynamic=True)
        assert all(map(torch.equal, both_passes(compiled, values), both_passes(function, values)))
    assert counter.frame_count == 1


def block(x, bias, residual, weight):
    t = ft.bias_dropout_add(x, bias, None, P, activation="gelu")
    y, h = ft.dropout_add_layer_norm(t, residual, weight, bias, P, x_bias=bias, prenorm=True)
    return ft.dropout_add_rms_norm(y, h, weight, P)


def test_inductor():
    """It may round otherwise around our operators, which have the same masks."""
    values = list(operands(("bias", "residual", "weight"), torch.float32).values())
    compiled = torch.compile(block, fullgraph=True)
    for found, wanted in zip(both_passes(compiled, values), both_passes(block, values), strict=True):
        torch.testing.assert_close(found, wanted)


def test_checkpoints_in_compiled_code():
    values = list(operands(("bias", "residual", "weight"), torch.float32).values())
    in_parts = torch.compile(
        lambda *values: checkpoint(block, *values, use_reentrant=False), backend="aot_eager", fullgraph=True
    )
    assert all(map(torch.equal, both_passes(in_parts, values), both_passes(block, values)))


def test_masks_are_no_constants_of_compiled_code():
    """fullgraph=True refuses, and otherwise that call runs as eager code."""
    masks, mask = fastdrop.MaskGenerator(0), fastdrop.Mask(SHAPE, P, seed=0)
    x = torch.randn(SHAPE)
    for options in ({"rng": masks, "p": P}, {"mask": mask}):
        with pytest.raises(torch._dynamo.exc.Unsupported):
            torch.compile(lambda v: ft.bias_dropout_add(v, **options) * 1, backend="eager", fullgraph=True)(x)  # noqa: B023
        with pytest.raises(TypeError, match="would become a constant"):
            make_fx(lambda v: ft.dropout_add_rms_norm(v, **options))(x)  # noqa: B023
    compiled = torch.compile(lambda v: ft.bias_dropout_add(v, mask=mask) * 1, backend="eager")
    assert torch.equal(compiled(x), ft.apply_mask(x, mask))


# --- Operators ------------------------------------------------------------------------------------


def arguments(case, dtype, key=(5, 6), noise_shape=None):
    """Those of the operator of a case."""
    name, _, activation = case
    tensors = operands(case[1], dtype)
    inputs = [tensors.get(operand.name) for operand in _core.operations[name].inputs]
    option = list(ft.fused.CODES).index(activation["activation"]) if activation else 1e-5
    wanted = [1] * len(_core.operations[name].outputs)
    return *inputs, torch.tensor(key), P, noise_shape, 1 / (1 - P), float(option), wanted


@pytest.mark.parametrize("noise_shape", [None, [3, 1, 37]])
@pytest.mark.parametrize("case", FULL, ids=identify)
def test_opcheck(case, noise_shape):
    for dtype in (torch.float32, torch.bfloat16):
        operator = getattr(torch.ops.fastdrop, case[0])
        checks = torch.library.opcheck(operator, arguments(case, dtype, noise_shape=noise_shape))
        assert set(checks.values()) == {"SUCCESS"}


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_opcheck_of_backward_operators(case):
    """They have no gradient. An output that is not wanted is empty."""
    name = case[0]
    info = _core.operations[f"{name}_backward"]
    shapes = {"full": SHAPE, "per column": SHAPE[-1:], "per row": SHAPE[:-1]}
    # y stands for x and bias with relu, see the tests of bits.
    inputs = [None if o.name == "y" else torch.rand(shapes[o.access]) + 1 for o in info.inputs]
    option = arguments(case, torch.float32)[-2:-1] if len(info.constants) == 2 else ()
    operator = getattr(torch.ops.fastdrop, f"{name}_backward")
    for wanted in (True, False):
        want = [int(wanted or not operand.optional) for operand in info.outputs]
        given = (*inputs, torch.tensor([5, 6]), P, None, 1 / (1 - P), *option, want)
        assert set(torch.library.opcheck(operator, given).values()) == {"SUCCESS"}
        sizes = [result.numel() for result in operator(*given)]
        assert [size > 0 for size in sizes] == want


def test_operators_are_functions_of_their_operands():
    case = FULL[0]
    given = arguments(case, torch.float32)
    y = torch.ops.fastdrop.bias_dropout_add(*given)
    assert torch.equal(y, torch.ops.fastdrop.bias_dropout_add(*given))
    mask = fastdrop.Mask(SHAPE, P, key=(5, 0, 6, 0))
    wanted, _ = fastdrop.bias_dropout_add(*map(to_numpy, given[:3]), mask=mask)
    assert same_bits(y, wanted)


@pytest.mark.parametrize("tracing_mode", ["real", "fake", "symbolic"])
@pytest.mark.parametrize("case", FULL, ids=identify)
def test_make_fx(case, tracing_mode):
    function, values = caller(case, operands(case[1], torch.float32, requires_grad=False))
    graph = make_fx(function, tracing_mode=tracing_mode)(*values)
    names = [str(node.target) for node in graph.graph.nodes]
    assert names.count(f"fastdrop.{case[0]}.default") == 1
    assert torch.equal(seeded(graph, *values), seeded(function, *values))
    assert not torch.equal(graph(*values), graph(*values))


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_export_and_jit_trace(case):
    function, values = caller(case, operands(case[1], torch.float32, requires_grad=False))

    class Model(torch.nn.Module):
        def forward(self, *values):
            return function(*values)

    program = torch.export.export(Model(), tuple(values))
    names = [str(node.target) for node in program.graph.nodes]
    assert names.count(f"fastdrop.{case[0]}.default") == 1
    assert torch.equal(seeded(program.module(), *values), seeded(function, *values))
    traced = torch.jit.trace(function, tuple(values), check_trace=False)
    assert [node.kind() for node in traced.graph.nodes()].count(f"fastdrop::{case[0]}") == 1
    assert torch.equal(seeded(traced, *values), seeded(function, *values))
    assert not torch.equal(traced(*values), traced(*values))


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_fake_and_meta_tensors(case):
    function, values = caller(case, operands(case[1], torch.float32))
    assert function(*(value.to("meta") for value in values)).shape == SHAPE
    with FakeTensorMode():
        fakes = [torch.empty(value.shape, requires_grad=True) for value in values]
        gradients = both_passes(function, fakes)[1:]
    assert [g.shape for g in gradients] == [value.shape for value in values]


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_modes_see_the_operators_of_the_forward_pass(case):
    tensors = operands(case[1], torch.float32)
    with Draws() as draws:
        y, _ = both(case[0], tensors, P, **case[2])
    assert (draws.ours, draws.torchs) == (1, 0)
    assert torch.equal(y, both(case[0], tensors, P, **case[2])[0])


@pytest.mark.filterwarnings("ignore:Dynamo does not know how to trace the builtin")
def test_the_backward_pass_alone_is_compiled():
    """Dynamo says that it does not, and leaves ours to eager code."""
    x, bias = operands(("bias",), torch.float32).values()
    y = seeded(ft.bias_dropout_add, x, bias, p=P)
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
        y.sum().backward()
    assert same_bits(x.grad, drawn_mask(SHAPE, P).apply(to_numpy(torch.ones(SHAPE))))
