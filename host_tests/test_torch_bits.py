# SPDX-License-Identifier: BSD-3-Clause
"""fastdrop.torch computes what the reference says, bit for bit: every kind, dtype and layout."""

import math

import numpy as np
import pytest
import torch

import fastdrop
import fastdrop.torch as ft
from torch_judge import DTYPES, KINDS, expected, key_words, ours, reference_mask, same_bits, seeded, to_numpy

LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "sliced": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "offset": lambda x: torch.cat([x[:1], x])[1:],
    "expanded": lambda x: x[..., :1].expand(x.shape),
    "expanded first": lambda x: x[:1].expand(x.shape),
}


def values(shape, dtype):
    """Normal numbers, and some of the special ones."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).to(dtype)
    x.view(-1)[:5] = torch.tensor([math.nan, math.inf, -math.inf, -0.0, torch.finfo(dtype).tiny / 4])
    return x


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_both_passes_are_those_of_the_reference(kind, layout, dtype):
    shape, noise_shape = KINDS[kind]
    x = LAYOUTS[layout](values(shape, dtype))
    assert same_bits(seeded(ours, kind, x), expected(kind, x))

    x = LAYOUTS[layout](values(shape, dtype).requires_grad_())
    dy = LAYOUTS[layout](values(shape, dtype).flip(0))
    y = seeded(ours, kind, x)
    assert same_bits(y, expected(kind, x))
    (dx,) = torch.autograd.grad(y, x, dy)
    mask = reference_mask(shape, 0.5, noise_shape)
    if "alpha" in kind:
        assert same_bits(dx, fastdrop.reference.alpha_dropout_backward(to_numpy(dy), mask))
    else:
        assert same_bits(dx, mask.apply(to_numpy(dy)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [0.1, 0.999, 1.0, 1])
def test_p(kind, p, dtype):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(KINDS[kind][0])).to(dtype)
    assert same_bits(seeded(ours, kind, x, p), expected(kind, x, p))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (7, 1, 5)])
def test_shapes(shape):
    x = torch.ones(shape)
    assert same_bits(seeded(ft.dropout, x), reference_mask(shape).apply(np.ones(shape, np.float32)))


def test_as_many_axes_as_numpy_has():
    x = torch.ones((1,) * 62 + (5, 7))
    y = seeded(ft.dropout, x)
    assert y.shape == x.shape
    assert torch.equal(y.view(5, 7), seeded(ft.dropout, torch.ones(5, 7)))
    with pytest.raises(ValueError, match="at most 64"):
        ft.dropout(x[None])


def test_large_tensors_of_several_threads():
    x = torch.randn(1000, 1001)
    mask = fastdrop.Mask(tuple(x.shape), 0.1, key=key_words())
    assert same_bits(seeded(ft.dropout, x, 0.1), mask.apply(x.numpy()))
    assert same_bits(seeded(ft.dropout, x.t().contiguous().t(), 0.1), mask.apply(x.numpy()))


@pytest.mark.parametrize(
    ("shape", "format"), [((2, 3, 4, 5), torch.channels_last), ((2, 3, 2, 4, 5), torch.channels_last_3d)]
)
def test_channels_last_stays_and_has_the_mask_of_the_index(shape, format):
    x = torch.randn(shape).requires_grad_()
    last = x.detach().to(memory_format=format).requires_grad_()
    y, of_last = seeded(ft.dropout, x), seeded(ft.dropout, last)
    assert of_last.is_contiguous(memory_format=format)
    assert torch.equal(y, of_last)
    of_last.backward(torch.ones_like(of_last))
    assert last.grad.is_contiguous(memory_format=format)
    assert torch.equal(last.grad, (y / x).detach().round())


def test_noise_shape_shares_decisions():
    x = torch.randn(4, 5, 6)
    for noise_shape in ((4, 1, 6), (None, 1, None), [1, 5, 1]):
        mask = reference_mask(x.shape, 0.5, noise_shape)
        assert same_bits(seeded(ft.dropout, x, noise_shape=noise_shape), mask.apply(x.numpy()))


@pytest.mark.parametrize("kind", KINDS)
def test_without_training_or_dropping_the_input_comes_back_and_nothing_is_drawn(kind):
    x = torch.randn(KINDS[kind][0])
    before = torch.get_rng_state()
    for inplace in (False, True):
        assert getattr(ft, kind)(x, 0.5, False, inplace) is x
        assert getattr(ft, kind)(x, 0.0, True, inplace) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_draw_mask_is_the_mask_of_the_next_call():
    x = torch.randn(3, 4)
    for noise_shape in (None, (None, 1)):
        y = seeded(ft.dropout, x, 0.3, noise_shape=noise_shape)
        mask = seeded(ft.draw_mask, (3, 4), 0.3, noise_shape=noise_shape)
        assert mask.key == tuple(key_words())
        assert same_bits(y, mask.apply(x.numpy()))
        assert torch.equal(torch.rand(3), (seeded(ft.dropout, x, 0.3), torch.rand(3))[1])


def test_every_draw_is_another_mask_of_the_right_rate():
    """The number of dropped elements is binomial: it lies within 6 deviations but for 2e-9 of all seeds."""
    x, p, count, draws = torch.ones(1000), 0.3, 1000, 200
    masks = seeded(lambda: torch.stack([ft.dropout(x, p) == 0 for _ in range(draws)]))
    deviation = math.sqrt(draws * count * p * (1 - p))
    assert abs(masks.sum().item() - draws * count * p) < 6 * deviation
    assert len({tuple(row.tolist()) for row in masks}) == draws
    # Neighbouring draws agree in an element with probability p^2 + (1 - p)^2.
    q = p * p + (1 - p) ** 2
    agree = (masks[::2] == masks[1::2]).sum().item()
    assert abs(agree - draws // 2 * count * q) < 6 * math.sqrt(draws // 2 * count * q * (1 - q))
