# SPDX-License-Identifier: BSD-3-Clause
"""The fused functions of fastdrop.torch have the bits of NumPy's, which the reference judges."""

import pytest
import torch

import fastdrop
import fastdrop.torch as ft
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
    of_numpy,
    operands,
)
from torch_judge import DTYPES, same_bits, seeded, to_numpy


def check(case, tensors, p, path, mask=None, dy=None, **options):
    """Both passes: results and the gradients of all operands are those of NumPy, bit for bit."""
    name, _, activation = case
    options |= activation
    x = tensors["x"]
    y, h = both(name, tensors, p, path, **options)
    generator = torch.Generator().manual_seed(9)
    if dy is None:
        dy = torch.randn(y.shape, generator=generator).to(y.dtype)
    # Where h is x itself, the gradients of both uses are added by autograd, which rounds in between.
    dh = torch.randn(y.shape, generator=generator).to(y.dtype) if is_norm(name) and h is not x else None
    found = torch.autograd.grad(
        [y] if dh is None else [y, h], list(tensors.values()), [dy] if dh is None else [dy, dh]
    )
    options = {key: value for key, value in options.items() if key in ("activation", "eps")}
    wanted_y, wanted_h, gradients = of_numpy(
        name, tensors, drawn_mask(x.shape, p) if mask is None else mask, dy, dh, **options
    )
    assert same_bits(y, wanted_y)
    if is_norm(name):
        assert same_bits(h, wanted_h)
    for gradient, (key, tensor) in zip(found, tensors.items(), strict=True):
        assert gradient.dtype is tensor.dtype
        assert same_bits(gradient, gradients[key]), key


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=identify)
def test_both_passes_have_the_bits_of_numpy(case, dtype, path):
    tensors = operands(case[1], dtype)
    for p in (0.0, 0.3, 1.0):
        check(case, tensors, p, path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", FULL, ids=identify)
def test_parameters_of_float32_for_data_of_16_bits(case, dtype, path):
    check(case, operands(case[1], dtype, torch.float32), 0.3, path)


LAYOUTS = {
    "rows apart": lambda x: x.repeat_interleave(2, 0)[::2],
    "axes turned": lambda x: x.transpose(0, x.dim() // 2).contiguous().transpose(0, x.dim() // 2),
    "features apart": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "features first": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "expanded": lambda x: x[:1].expand(x.shape),
    "expanded features": lambda x: x[..., :1].expand(x.shape),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", FULL, ids=identify)
def test_any_layout(case, layout, path):
    tensors = operands(case[1], torch.float32, requires_grad=False)
    laid = {key: LAYOUTS[layout](tensor).requires_grad_() for key, tensor in tensors.items()}
    dy = LAYOUTS[layout](torch.randn(SHAPE))
    check(case, laid, 0.3, path, dy=dy)
    y = getattr(ft, case[0])(**laid, p=0.3)
    assert y.is_contiguous()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", [(7,), (1,), (0,), (0, 4), (3, 0), (2, 1, 5), (200, 33)], ids=str)
@pytest.mark.parametrize("case", FULL, ids=identify)
def test_shapes(case, shape, path):
    check(case, operands(case[1], torch.float32, shape=shape), 0.3, path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", FULL, ids=identify)
def test_eps_and_noise_shape(case, path):
    tensors = operands(case[1], torch.float32)
    mask = fastdrop.Mask(SHAPE, 0.3, noise_shape=(None, 1, None), key=drawn_mask(SHAPE, 0.3).key)
    options = {"eps": 0.25} if is_norm(case[0]) else {}
    for noise_shape in ((None, 1, None), [3, 1, 37]):
        check(case, tensors, 0.3, path, mask, noise_shape=noise_shape, **options)


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_masks_of_numpy(case):
    """Given, drawn from a generator, stored and broadcast, and with a p that varies."""
    tensors = operands(case[1], torch.float32)
    given = fastdrop.Mask(SHAPE, 0.3, seed=5)
    rates = fastdrop.Mask(SHAPE, given.to_numpy()[:, :, :1] * 0.4 + 0.1, noise_shape=None, seed=6)
    stored = fastdrop.Mask.from_array(given.to_numpy()[:1, :, :1], 0.25)
    for mask in (given, rates, given[::1], stored):
        name, _, activation = case
        y = getattr(ft, name)(**tensors, mask=mask, **activation)
        wanted, _, gradients = of_numpy(name, tensors, mask, dy := torch.randn(SHAPE), **activation)
        assert same_bits(y, wanted)
        for key, found in zip(tensors, torch.autograd.grad(y, tensors.values(), dy), strict=True):
            assert same_bits(found, gradients[key])
    masks = fastdrop.MaskGenerator(0)
    y = getattr(ft, name)(**tensors, p=0.3, rng=fastdrop.MaskGenerator(0), **activation)
    assert same_bits(y, of_numpy(name, tensors, masks.mask(SHAPE, 0.3), dy, **activation)[0])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", FULL, ids=identify)
def test_without_training_nothing_is_dropped_or_drawn(case, path):
    name, given, activation = case
    tensors = operands(given, torch.float32)
    before = torch.get_rng_state()
    with PATHS[path]():
        y = getattr(ft, name)(**tensors, p=0.3, training=False, **activation)
        same = getattr(ft, name)(**tensors, p=0.0, **activation)
    assert torch.equal(torch.get_rng_state(), before)
    wanted = of_numpy(name, tensors, drawn_mask(SHAPE, 0.0), torch.ones(SHAPE), **activation)[0]
    assert same_bits(y, wanted)
    assert same_bits(same, wanted)
    mask, rng = fastdrop.Mask(SHAPE, 0.3, seed=0), fastdrop.MaskGenerator(0)
    assert same_bits(getattr(ft, name)(**tensors, mask=mask, training=False, **activation), wanted)
    assert same_bits(getattr(ft, name)(**tensors, p=0.3, rng=rng, training=False, **activation), wanted)
    assert rng.state == fastdrop.MaskGenerator(0).state


@pytest.mark.parametrize("name", [name for name in OPTIONAL if is_norm(name)])
def test_h_is_x_itself_where_nothing_is_changed(name):
    x = torch.randn(SHAPE, requires_grad=True)
    for options in ({"p": 0.0}, {"training": False}):
        y, h = getattr(ft, name)(x, prenorm=True, **options)
        assert h is x
        dy, dh = torch.randn(2, *SHAPE)
        wanted = torch.autograd.grad(y, x, dy, retain_graph=True)[0] + dh
        assert torch.equal(torch.autograd.grad([y, h], x, [dy, dh])[0], wanted)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [name for name in OPTIONAL if is_norm(name)])
def test_h_alone_is_used(name, path):
    """Then the gradient is that of dropout and sum."""
    tensors = operands(("residual", "x_bias"), torch.float32)
    _, h = both(name, tensors, 0.3, path)
    dh = torch.randn(SHAPE)
    dx, dresidual, _ = torch.autograd.grad(h, list(tensors.values()), dh)
    assert torch.equal(dresidual, dh)
    assert same_bits(dx, drawn_mask(SHAPE, 0.3).apply(dh.numpy()))


def test_the_masks_of_a_seed_are_those_of_dropout():
    x = torch.ones(SHAPE)
    y = seeded(ft.bias_dropout_add, x, p=0.3)
    assert torch.equal(y, seeded(ft.dropout, x, 0.3))
    assert torch.equal(torch.rand(3), (seeded(ft.dropout, x, 0.3), torch.rand(3))[1])


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_a_residual_of_another_dtype_is_added_as_torch_adds_it(case):
    name, given, activation = case
    tensors = operands(given, torch.bfloat16, torch.float32)
    tensors["residual"] = tensors["residual"].detach().float().requires_grad_()
    y = seeded(getattr(ft, name), **tensors, p=0.3, **activation)
    assert y.dtype is torch.float32
    wide = tensors | {"x": tensors["x"].detach().float().requires_grad_()}
    assert same_bits(y, to_numpy(seeded(getattr(ft, name), **wide, p=0.3, **activation)))
    y.sum().backward()
    assert tensors["x"].grad.dtype is torch.bfloat16
    assert tensors["residual"].grad.dtype is torch.float32


@pytest.mark.parametrize("case", FULL, ids=identify)
def test_autocast_leaves_dtypes_as_they_are(case):
    """As with torch's own dropout and layer_norm on a CPU."""
    name, given, activation = case
    for dtype in (torch.bfloat16, torch.float32):
        tensors = operands(given, dtype, torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            y = seeded(getattr(ft, name), **tensors, p=0.3, **activation)
        assert y.dtype is dtype
        assert same_bits(y, to_numpy(seeded(getattr(ft, name), **tensors, p=0.3, **activation)))
