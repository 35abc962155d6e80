# SPDX-License-Identifier: BSD-3-Clause
"""NumPy's masks for torch's tensors: rng=MaskGenerator, and apply_mask."""

import copy

import numpy as np
import pytest
import torch

import fastdrop
import fastdrop.torch as ft
from torch_judge import DTYPES, KINDS, ours, same_bits, to_numpy

X = torch.randn(4, 6, requires_grad=True)
KEEP = np.random.default_rng(0).random((4, 6)) < 0.5
MASKS = {
    "drawn": lambda: fastdrop.Mask((4, 6), 0.3, seed=0),
    "philox": lambda: fastdrop.Mask((4, 6), 0.3, seed=0, generator="philox4x32-10"),
    "window": lambda: fastdrop.Mask((10, 12), 0.3, seed=0)[1:9:2, 3:9],
    "rates": lambda: fastdrop.Mask((4, 6), np.linspace(0, 1, 6), seed=0),
    "rows": lambda: fastdrop.Mask((4, 6), 0.3, noise_shape=(4, 1), seed=0),
    "not inverted": lambda: fastdrop.Mask((4, 6), 0.3, seed=0, inverted=False),
    "keep_prob": lambda: fastdrop.Mask((4, 6), keep_prob=0.1, seed=0),
    "stored": lambda: fastdrop.Mask.from_array(KEEP, p=0.5),
    "stored, rates": lambda: fastdrop.Mask.from_array(KEEP, p=np.linspace(0, 0.9, 6)),
    "drops nothing": lambda: fastdrop.Mask((4, 6), 0.0, seed=0),
    "drops all": lambda: fastdrop.Mask((4, 6), 1.0, seed=0),
}


@pytest.mark.parametrize("path", ["plain", "composed"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", MASKS)
def test_apply_mask_is_mask_apply_in_both_passes(name, dtype, path):
    mask = MASKS[name]()
    x, dy = (torch.randn(4, 6).to(dtype) for _ in range(2))
    # torch rounds NaN to bfloat16 in its own ways.
    x[0, 0], x[1, 1] = torch.inf, -torch.inf if path == "composed" else torch.nan
    x.requires_grad_()
    if path == "plain":
        y = ft.apply_mask(x, mask)
        (dx,) = torch.autograd.grad(y, x, dy)
    else:  # a mode watches
        with torch.device("cpu"):
            y = ft.apply_mask(x, mask)
            (dx,) = torch.autograd.grad(y, x, dy)
    assert same_bits(y, mask.apply(to_numpy(x)))
    assert same_bits(dx, mask.apply(to_numpy(dy)))
    z = x.detach().clone()
    assert ft.apply_mask(z, mask, inplace=True) is z
    assert same_bits(z, mask.apply(to_numpy(x)))


def test_layouts():
    mask = MASKS["drawn"]()
    for x in (torch.randn(6, 4).t(), torch.randn(4, 12)[:, ::2], torch.randn(1, 6).expand(4, 6)):
        y = ft.apply_mask(x, mask)
        assert same_bits(y, mask.apply(x.numpy()))
        with torch.device("cpu"):  # a mode: in operations of torch
            z = ft.apply_mask(x, mask)
        assert torch.equal(z, y)
        assert z.stride() == y.stride() == torch.empty_like(x).stride()


@pytest.mark.parametrize("generator", ["ars4x32-7", "philox4x32-10"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_generator_hands_out_the_masks_of_numpy(kind, generator):
    shape, noise_shape = KINDS[kind]
    masks, numpys = (fastdrop.MaskGenerator(5, generator=generator) for _ in range(2))
    x = torch.randn(shape)
    before = torch.get_rng_state()
    for _ in range(3):
        y = ours(kind, x, 0.3, rng=masks)
        if kind == "alpha_dropout":
            wanted, _ = fastdrop.alpha_dropout(x.numpy(), 0.3, rng=numpys)
        elif kind == "feature_alpha_dropout":
            wanted, _ = fastdrop.feature_alpha_dropout(x.numpy(), 0.3, rng=numpys)
        else:
            wanted, _ = fastdrop.dropout(x.numpy(), 0.3, rng=numpys, noise_shape=noise_shape)
        assert same_bits(y, wanted)
    assert torch.equal(torch.get_rng_state(), before)
    assert masks.state == numpys.state


def test_modules_share_generators_as_in_numpy():
    masks, numpys = fastdrop.MaskGenerator(5), fastdrop.MaskGenerator(5)
    model = torch.nn.Sequential(ft.Dropout(0.3, rng=masks), ft.Dropout(0.5, rng=masks))
    x = torch.randn(4, 6)
    wanted = fastdrop.dropout(fastdrop.dropout(x.numpy(), 0.3, rng=numpys)[0], 0.5, rng=numpys)[0]
    assert same_bits(model(x), wanted)
    assert "rng=<MaskGenerator seed=5, stream=2>" in repr(model)
    twin = copy.deepcopy(model)  # a copy of a generator hands out the same masks
    assert twin[0].rng is twin[1].rng is not masks
    assert torch.equal(twin(x), model(x))
    assert model.state_dict() == {}
    model.eval()
    assert model(x) is x
    assert masks.state["stream"] == 4


def test_gradients_of_a_generator_are_of_the_mask_of_the_forward_pass():
    masks = fastdrop.MaskGenerator(5)
    first, second = (ft.dropout(X, 0.3, rng=masks) for _ in range(2))
    for y in (second, first):
        (dx,) = torch.autograd.grad(y.sum(), X)
        assert torch.equal(dx == 0, y == 0)


def test_alpha_dropout_under_a_mode_needs_torchs_generator():
    with torch.device("cpu"), pytest.raises(TypeError, match="alpha_dropout with rng= takes plain tensors"):
        ft.alpha_dropout(X, training=True, rng=fastdrop.MaskGenerator(0))
