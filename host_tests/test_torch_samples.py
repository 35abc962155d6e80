# SPDX-License-Identifier: BSD-3-Clause
"""The samples with which torch tests its own dropout functions and modules (OpInfo, ModuleInfo), on ours."""

import copy
import warnings

import pytest
import torch
from torch import nn

import fastdrop.torch as ft
from fastdrop import reference
from torch_judge import DTYPES, Draws, reference_mask, same_bits, seeded, to_numpy

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*dropout2d takes three axes", "ignore:.*nested", "ignore:enable_nested"
)
OPS = {op.formatted_name: op for op in op_db if op.name.startswith("nn.functional.")}
FUNCTIONS = {
    "nn_functional_dropout": ft.dropout,
    "nn_functional_dropout2d": ft.dropout2d,
    "nn_functional_dropout3d": ft.dropout3d,
    "nn_functional_alpha_dropout": ft.alpha_dropout,
    "nn_functional_feature_alpha_dropout_with_train": ft.feature_alpha_dropout,
    "nn_functional_feature_alpha_dropout_without_train": ft.feature_alpha_dropout,
}
MODULES = {
    info.module_cls: info
    for info in module_db
    if info.module_cls.__name__.startswith(("Transformer", "MultiheadAttention"))
}


def test_torch_has_no_other_samples_of_dropout():
    assert {name for name in OPS if "dropout" in name} == set(FUNCTIONS)
    assert not any("Dropout" in info.module_cls.__name__ for info in module_db)
    assert len(MODULES) == 5


def shared_axes(function, x):
    """The axes along which the definition of a kind shares its decisions."""
    if function is ft.feature_alpha_dropout or (function is ft.dropout2d and x.dim() == 3):
        return range(2, x.dim())
    return {ft.dropout2d: (-2, -1), ft.dropout3d: (-3, -2, -1)}.get(function, ())


def judged(function, x, p, values):
    axes = {axis % x.dim() for axis in shared_axes(function, x)}
    noise_shape = [1 if axis in axes else length for axis, length in enumerate(x.shape)]
    mask = reference_mask(x.shape, p, noise_shape)
    if function in (ft.alpha_dropout, ft.feature_alpha_dropout):
        applied = reference.alpha_applied if values is x else reference.alpha_dropout_backward
        return applied(to_numpy(values), mask)
    return mask.apply(to_numpy(values))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_samples_of_functions(name, dtype):
    function, count = FUNCTIONS[name], 0
    default = function not in (ft.alpha_dropout, ft.feature_alpha_dropout)
    for sample in OPS[name].sample_inputs("cpu", dtype, requires_grad=True):
        x, options = sample.input, sample.kwargs
        y = seeded(function, x, *sample.args, **options)
        p = options.get("p", 0.5)
        if not options.get("training", default) or p == 0:
            assert y is x
        else:
            dy = torch.randn(x.shape).to(dtype)
            assert same_bits(y, judged(function, x, p, x))
            assert same_bits(torch.autograd.grad(y, x, dy)[0], judged(function, x, p, dy))
        count += 1
    assert count >= 7


def test_samples_of_attention():
    torchs = nn.functional.scaled_dot_product_attention
    for sample in OPS["nn_functional_scaled_dot_product_attention"].sample_inputs("cpu", torch.float64):
        options = sample.kwargs | {"dropout_p": 0.0}
        found = ft.scaled_dot_product_attention(
            sample.input, *sample.args, **sample.kwargs | {"dropout_p": 1e-15}
        )
        torch.testing.assert_close(found, torchs(sample.input, *sample.args, **options))
        with Draws() as draws:
            y = ft.scaled_dot_product_attention(
                sample.input, *sample.args, **sample.kwargs | {"dropout_p": 0.5}
            )
        assert (draws.ours, draws.torchs) == (1, 0)
        assert y.shape == found.shape


def test_samples_of_attention_modules_as_functions():
    op = OPS["nn_functional_multi_head_attention_forward"]
    for sample in op.sample_inputs("cpu", torch.float32):
        with Draws() as draws, ft.replace_functional():
            op.op(sample.input, *sample.args, **sample.kwargs)
        assert draws.torchs == 0


def set_p(model, p):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = p
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = p


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", MODULES, ids=lambda kind: kind.__name__)
def test_samples_of_modules(kind, training):
    info = MODULES[kind]
    samples = info.module_inputs_func(
        info, device="cpu", dtype=torch.float64, requires_grad=True, training=training
    )
    for sample in samples:
        model = kind(*sample.constructor_input.args, **sample.constructor_input.kwargs).double()
        model.train(training)
        given = sample.forward_input
        set_p(model, 0.0)
        wanted = model(*given.args, **given.kwargs)
        ours = copy.deepcopy(model)
        ft.replace_dropout(ours)
        torch.testing.assert_close(ours(*given.args, **given.kwargs), wanted, rtol=0, atol=0, equal_nan=True)
        set_p(ours, 0.5)
        with Draws() as draws:
            y = ours(*given.args, **given.kwargs)
        assert draws.torchs == 0
        assert (draws.ours > 0) == training
        assert (y[0] if isinstance(y, tuple) else y).shape == (
            wanted[0] if isinstance(wanted, tuple) else wanted
        ).shape
    assert len(samples) >= 35
