# SPDX-License-Identifier: BSD-3-Clause
"""What functions and modules refuse, and which error says so."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

import fastdrop
import fastdrop.torch as ft
from torch_judge import KINDS, ours, same_bits, seeded, to_numpy

X = torch.randn(2, 3, 4, 5, requires_grad=True)
BAD_P = [
    (math.nan, ValueError),
    (-0.1, ValueError),
    (1.5, ValueError),
    (30, ValueError),
    ("0.5", TypeError),
    (True, TypeError),
    (None, TypeError),
    (torch.tensor(0.5), TypeError),
    (np.array([0.1, 0.2]), TypeError),
]


@pytest.mark.parametrize(("p", "error"), BAD_P, ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_p(kind, training, p, error):
    with pytest.raises(error, match=r"^p must be "):
        getattr(ft, kind)(torch.ones(KINDS[kind][0]), p, training)


@pytest.mark.parametrize(("p", "error"), BAD_P, ids=str)
@pytest.mark.parametrize("module", [ft.Dropout, ft.Dropout2d, ft.FeatureAlphaDropout])
def test_p_of_modules(module, p, error):
    with pytest.raises(error, match=r"^p must be "):
        module(p)


@pytest.mark.parametrize("p", [np.float64(0.25), np.float32(0.25), np.array(0.25)], ids=repr)
def test_numbers_of_numpy_are_numbers(p):
    assert torch.equal(seeded(ft.dropout, X, p), seeded(ft.dropout, X, 0.25))
    assert type(ft.Dropout(p).p) is float


def test_training_and_inplace():
    for word in ("test", None, 2, torch.tensor([True])):
        with pytest.raises(TypeError, match=r"^training must be True or False"):
            ft.dropout(X, 0.5, word)
        with pytest.raises(TypeError, match=r"^inplace must be True or False"):
            ft.dropout(X, 0.5, True, word)
        with pytest.raises(TypeError, match=r"^inplace must be True or False"):
            ft.Dropout(0.5, word)
    assert ft.dropout(X, 0.5, 0) is X


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "given", [np.ones((2, 3, 4)), [1.0], None, 1.0], ids=["array", "list", "None", "float"]
)
def test_what_is_no_tensor(kind, given):
    with pytest.raises(TypeError, match=r"^input must be a torch.Tensor, not "):
        getattr(ft, kind)(given, 0.5, True)


@pytest.mark.parametrize(
    ("kind", "ndim"),
    [
        ("dropout1d", 1),
        ("dropout1d", 4),
        ("dropout2d", 2),
        ("dropout2d", 5),
        ("dropout3d", 3),
        ("dropout3d", 6),
    ],
)
def test_numbers_of_axes(kind, ndim):
    with pytest.raises(ValueError, match=rf"^input must have .* axes for {kind}, not {ndim}"):
        getattr(ft, kind)(torch.ones((2,) * ndim))


def test_axes_without_a_batch():
    for kind, shape in (("dropout1d", (30, 4)), ("dropout3d", (30, 2, 3, 4))):
        y = ours(kind, torch.ones(shape)).flatten(1)
        assert (y == y[:, :1]).all()
        assert y.unique().tolist() == [0, 2]
    with pytest.raises(ValueError, match="two axes or more"):
        ft.feature_alpha_dropout(torch.ones(3), 0.5, True)


def test_dropout2d_takes_three_axes_as_torch_does():
    x = torch.ones(20, 4, 5)
    with pytest.warns(UserWarning, match="dropout2d takes three axes as"):
        y = seeded(ft.dropout2d, x)
    assert torch.equal(y, seeded(ft.dropout1d, x))


PATHS = {"plain": nullcontext, "operator": lambda: torch.device("cpu")}  # a mode takes the dispatcher


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("noise_shape", "error"),
    [
        ((2, 3), ValueError),
        ((2, 3, 4, 5, 1), ValueError),
        ((2, 2, 4, 5), ValueError),
        (1, TypeError),
        ((2, 3, 4, True), TypeError),
        ((2, 3, 4, 1.0), TypeError),
        ("abcd", TypeError),
    ],
)
def test_noise_shape(noise_shape, error, path):
    with pytest.raises(error, match="noise_shape"), PATHS[path]():
        ft.dropout(X, noise_shape=noise_shape)


def test_generators_and_masks():
    for rng in (0, np.random.default_rng(0), torch.Generator(), fastdrop.Mask(3, 0.5, seed=0)):
        with pytest.raises(TypeError, match=r"^rng must be a fastdrop.MaskGenerator, or None"):
            ft.dropout(X, rng=rng)
        with pytest.raises(TypeError, match=r"^rng must be a fastdrop.MaskGenerator, or None"):
            ft.Dropout(rng=rng)
    mask = fastdrop.Mask((2, 3), 0.5, seed=0)
    with pytest.raises(TypeError, match=r"^mask must be a fastdrop.Mask"):
        ft.apply_mask(X, X > 0)
    with pytest.raises(TypeError, match=r"^input must be a torch.Tensor"):
        ft.apply_mask(mask, X)
    with pytest.raises(ValueError, match=r"^input must have the mask's shape \(2, 3\), not \(3, 2\)"):
        ft.apply_mask(torch.ones(3, 2), mask)
    for x in (torch.ones(2, 3, dtype=torch.int32), torch.ones(2, 3, device="meta")):
        with pytest.raises(TypeError, match=r"a tensor of float16, bfloat16, .* in CPU memory"):
            ft.apply_mask(x, mask)
        with pytest.raises(TypeError, match=r"a tensor of float16, bfloat16, .* in CPU memory"):
            ft.dropout(x, rng=fastdrop.MaskGenerator(0))


def test_modules_have_the_names_of_torchs():
    for name in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"):
        module, torchs = getattr(ft, name)(0.3, True), getattr(nn, name)(0.3, True)
        assert isinstance(module, type(torchs))
        assert repr(module) == repr(torchs)
        assert (module.p, module.inplace, module.training) == (0.3, True, True)


@pytest.mark.parametrize("kind", KINDS)
def test_modules_call_their_function(kind):
    names = {"alpha_dropout": "AlphaDropout", "feature_alpha_dropout": "FeatureAlphaDropout"}
    module = getattr(ft, names.get(kind, kind.capitalize()))(0.3)
    x = torch.randn(KINDS[kind][0])
    assert same_bits(seeded(module, x), to_numpy(seeded(ours, kind, x, 0.3)))
    assert module.eval()(x) is x
