# SPDX-License-Identifier: BSD-3-Clause
"""replace_dropout: what it replaces, what it leaves, and that all comes back."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import fastdrop
import fastdrop.torch as ft
from torch_judge import Draws, seeded

KINDS = [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout]


class Mine(nn.Dropout):
    """A subclass that somebody wrote."""


def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.3, batch_first=True)
    return seeded(nn.TransformerEncoder, layer, 2, enable_nested_tensor=False)


def classes(model):
    return [type(module) for module in model.modules()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_its_attributes(kind):
    module = kind(0.3, inplace=True)
    replaced = ft.replace_dropout(module)
    assert type(module) is getattr(ft, kind.__name__)
    assert (module.p, module.inplace, module.rng) == (0.3, True, None)
    assert repr(module) == repr(kind(0.3, inplace=True))
    assert repr(replaced) == f"<Replacement the model: {kind.__name__}>"
    assert dict(replaced.modules) == {"": module}
    replaced.undo()
    assert type(module) is kind
    assert vars(module).keys() == vars(kind()).keys()
    replaced.undo()  # once more is nothing
    assert type(module) is kind


def test_a_model_comes_back_as_it_was():
    model, twin = encoder(), encoder()
    before, tensors = classes(model), model.state_dict()
    with ft.replace_dropout(model) as replaced:
        assert len(replaced) == 8
        assert set(replaced.modules) == {
            f"layers.{layer}.{name}"
            for layer in (0, 1)
            for name in ("self_attn", "dropout", "dropout1", "dropout2")
        }
        assert not any(kind in (nn.Dropout, nn.MultiheadAttention) for kind in classes(model))
        after = model.state_dict()
        assert list(after) == list(tensors)
        assert all(after[name].data_ptr() == tensors[name].data_ptr() for name in tensors)
        # States go both ways.
        assert str(twin.load_state_dict(after)) == "<All keys matched successfully>"
        assert str(model.load_state_dict(twin.state_dict())) == "<All keys matched successfully>"
    assert classes(model) == before


def test_an_error_inside_the_statement_undoes_too():
    model = encoder()
    before = classes(model)
    with pytest.raises(KeyError), ft.replace_dropout(model):
        raise KeyError
    assert classes(model) == before


def test_what_was_ours_before_stays_ours():
    model = nn.Sequential(ft.Dropout(0.1), nn.Dropout(0.2))
    with ft.replace_dropout(model) as first:
        assert list(first.modules) == ["1"]
        with ft.replace_dropout(model) as second:
            assert len(second) == 0
        assert classes(model)[1:] == [ft.Dropout, ft.Dropout]
    assert classes(model)[1:] == [ft.Dropout, nn.Dropout]


def test_modules_that_were_exchanged_meanwhile_stay():
    model = nn.Sequential(nn.Dropout(0.1), nn.Dropout(0.2))
    replaced = ft.replace_dropout(model)
    model[0] = ft.Dropout(0.5)
    replaced.modules["1"].__class__ = Mine
    replaced.undo()
    assert classes(model)[1:] == [ft.Dropout, Mine]


def test_filter_fn():
    model, seen = encoder(), []
    replaced = ft.replace_dropout(model, lambda m, name: seen.append(m) or name.endswith("dropout2"))
    assert list(replaced.modules) == ["layers.0.dropout2", "layers.1.dropout2"]
    assert len(seen) == 8
    assert ft.Dropout not in classes(encoder())

    def fails(module, name):
        raise LookupError(name)

    with pytest.raises(LookupError):
        ft.replace_dropout(encoder(), fails)


def test_subclasses_of_others_are_left_alone():
    class Attention(nn.MultiheadAttention):
        pass

    model = nn.Sequential(Mine(0.1), Attention(8, 2, 0.1), nn.LSTM(8, 8, 2, dropout=0.1))
    before = classes(model)
    assert len(ft.replace_dropout(model)) == 0
    assert classes(model) == before


def test_modules_used_twice_are_one_module_still():
    drop = nn.Dropout(0.1)
    model = nn.Sequential(drop, nn.Linear(3, 3), drop)
    assert list(ft.replace_dropout(model).modules) == ["0"]
    assert model[0] is model[2] is drop
    assert type(drop) is ft.Dropout


def test_hooks_and_modes_stay():
    model, calls = nn.Sequential(nn.Dropout(0.5)), []
    model[0].register_forward_hook(lambda module, inputs, output: calls.append(output))
    model.eval()
    ft.replace_dropout(model)
    x = torch.ones(8)
    assert model(x) is x
    assert calls == [x]
    assert set(model.train()(x).tolist()) <= {0, 2}


@pytest.mark.parametrize("given", [nn.Dropout, "model", None, [nn.Dropout()]])
def test_what_is_no_module(given):
    with pytest.raises(TypeError, match=r"^model must be a torch.nn.Module, not "):
        ft.replace_dropout(given)


def test_copies_and_files():
    model, x = encoder(), torch.randn(2, 5, 8)
    ft.replace_dropout(model)
    wanted = seeded(model, x)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for copied in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(file, weights_only=False),
    ):
        assert classes(copied) == classes(model)
        assert torch.equal(seeded(copied, x), wanted)
    states = io.BytesIO()
    torch.save(model.state_dict(), states)
    states.seek(0)
    plain = encoder()
    plain.load_state_dict(torch.load(states, weights_only=True))
    assert torch.equal(plain.eval()(x), model.eval()(x))


def test_copies_of_modules_with_a_generator():
    module, x = ft.Dropout(0.3, rng=fastdrop.MaskGenerator(1)), torch.randn(64)
    copies = [copy.deepcopy(module), pickle.loads(pickle.dumps(module))]
    wanted = module(x)
    assert all(torch.equal(copied(x), wanted) for copied in copies)


def test_a_frozen_model_and_autocast():
    model = encoder().requires_grad_(False)
    ft.replace_dropout(model)
    x = torch.randn(2, 5, 8)
    assert not model(x).requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = seeded(model.requires_grad_(True), x)
    y.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in model.parameters())
    drop = ft.Dropout(0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # as torch's own, dropout takes what it gets
        assert drop(x).dtype is torch.float32
        assert drop(x @ x.mT).dtype is torch.bfloat16


def test_no_draw_of_torch_is_left():
    model, x = encoder(), torch.randn(2, 5, 8)
    with Draws() as draws:
        model(x)
    assert draws.torchs == 8
    ft.replace_dropout(model)
    with Draws() as draws:
        model(x).sum().backward()
    assert draws.torchs == 0
    assert draws.ours == 16


def test_replaced_models_are_not_scripted():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    ft.replace_dropout(model)
    with pytest.warns(DeprecationWarning, match="torch.jit.script"), pytest.raises(Exception, match="bool"):
        torch.jit.script(model)


def test_traced_graphs_are_replaced():
    """torch.fx keeps torch's modules, which are replaced in its graph. It cannot look into ours."""
    model, x = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)), torch.randn(4, 8)
    traced = torch.fx.symbolic_trace(model)
    assert list(ft.replace_dropout(traced).modules) == ["1"]
    wanted = seeded(traced, x)
    ft.replace_dropout(model)
    assert torch.equal(seeded(model, x), wanted)
    with pytest.raises(TypeError, match=r"^input must be a torch.Tensor, not Proxy"):
        torch.fx.symbolic_trace(model)
