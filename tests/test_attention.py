# SPDX-License-Identifier: BSD-3-Clause
"""Attention and its gradients against the textbook: every mask, shape, dtype and layout."""

import itertools
import math

import numpy as np
import pytest

import attention_formulas as formulas
import fastdrop
from arrays import same_bytes
from attention_cases import (
    BATCH,
    HEADS,
    KEYS,
    LEADING,
    OWN_SIZE,
    QUERIES,
    WEIGHTS,
    attend,
    check,
    every_dtype,
    exact,
    normal,
    operands,
    triangle,
)


def judge(query, key, value, dy, mask=None, attn_mask=None, is_causal=False, scale=None, **textbook):
    """That results and gradients are those of the textbook, which are returned with them."""
    leading = np.broadcast_shapes(*(array.shape[:-2] for array in (query, key, value)))
    mask = fastdrop.Mask((*leading, query.shape[-2], key.shape[-2]), 0.25, seed=3) if mask is None else mask
    options = {"mask": mask, "attn_mask": attn_mask, "is_causal": is_causal, "scale": scale}
    results = attend(query, key, value, dy, **options)
    wanted = exact(query, key, value, dy, mask, scale=scale, **textbook)
    check(results, wanted, query.dtype)
    return results, wanted


# --- Values -------------------------------------------------------------------------------------------------

MASKS = {
    "p": fastdrop.Mask(WEIGHTS, 0.5, seed=1),
    "nothing": fastdrop.Mask(WEIGHTS, 0.0, seed=1),
    "most": fastdrop.Mask(WEIGHTS, 0.9, seed=1),
    "everything": fastdrop.Mask(WEIGHTS, 1.0, seed=1),
    "keys": fastdrop.Mask(WEIGHTS, 0.5, seed=1, noise_shape=(None, None, 1, None)),
    "rows": fastdrop.Mask(WEIGHTS, 0.5, seed=1, noise_shape=(1, None, None, 1)),
    "window": fastdrop.Mask((3, 5, 9, 20), 0.5, seed=1)[1:, 1:4, 2:, 3:12],
    "stored": fastdrop.Mask.from_array(normal(1, "float32", WEIGHTS) > 0, 0.25),
    "stored, broadcast": fastdrop.Mask.from_array(normal(1, "float32", (QUERIES, 1)) > 0, 0.25),
    "not inverted": fastdrop.Mask(WEIGHTS, 0.5, seed=1, inverted=False),
}

# T, S, d, dv.
SIZES = [(7, 9, 8, 5), (9, 7, 8, 8), (1, 9, 8, 5), (7, 1, 8, 5), (1, 1, 1, 1), (7, 9, 1, 1), (33, 70, 16, 3)]


@every_dtype
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sizes(sizes, is_causal, dtype):
    query, key, value, dy = operands(dtype, *sizes)
    seen = triangle(*sizes[:2]) if is_causal else None
    judge(query, key, value, dy, seen=seen, is_causal=is_causal)


@every_dtype
@pytest.mark.parametrize("form", MASKS)
def test_masks(form, dtype):
    results, _ = judge(*operands(dtype), mask=MASKS[form])
    if form == "everything":
        assert all((result == 0).all() for result in results)


@every_dtype
def test_p_may_vary_along_any_axis(dtype):
    arrays = operands(dtype)
    for shape in itertools.product(*([1, length] for length in WEIGHTS)):
        p = np.linspace(0, 0.9, math.prod(shape)).reshape(shape)
        _, saved = fastdrop.attention(*arrays[:3], p, rng=5)
        assert saved.mask == fastdrop.Mask(WEIGHTS, p, seed=5)
        textbook = formulas.Attention(
            *arrays[:3], saved.mask.to_numpy(), np.broadcast_to(1 / (1 - p), WEIGHTS)
        )
        check(attend(*arrays, p=p, rng=5), [textbook.y, *textbook.backward(arrays[3])], dtype)


@every_dtype
@pytest.mark.parametrize("scale", [0.3, -1.0, 0.0, 2.0**-30])
def test_scales(scale, dtype):
    judge(*operands(dtype), scale=scale)


@every_dtype
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(
    "shape", [(KEYS,), (QUERIES, 1), (QUERIES, KEYS), (BATCH, 1, 1, KEYS), WEIGHTS], ids=str
)
def test_attn_masks(shape, is_causal, dtype):
    """Of floats and of bool; some queries see nothing."""
    query, key, value, dy = operands(dtype)
    causal = triangle(QUERIES, KEYS) if is_causal else np.True_
    added = normal(8, dtype, shape)
    wide = np.broadcast_to(added, WEIGHTS).astype(fastdrop.reference.computed_with(dtype))
    judge(query, key, value, dy, attn_mask=added, added=wide, seen=causal, is_causal=is_causal)
    may_attend = normal(9, dtype, shape) > 0
    if shape[-1] > 1:
        may_attend[..., 0] = False
    if shape[-2:-1] == (QUERIES,):
        may_attend[..., 2, :] = False
    seen = np.broadcast_to(may_attend, WEIGHTS) & causal
    results, wanted = judge(query, key, value, dy, attn_mask=may_attend, seen=seen, is_causal=is_causal)
    sees_nothing = ~seen.any(-1)
    assert sees_nothing.any() == (is_causal or QUERIES in shape)
    assert (results[0][sees_nothing] == 0).all()
    assert (results[1][sees_nothing] == 0).all()
    infinite = np.where(may_attend, added.dtype.type(0), added.dtype.type(-np.inf))
    mask = fastdrop.Mask(WEIGHTS, 0.25, seed=3)
    check(attend(query, key, value, dy, mask=mask, attn_mask=infinite, is_causal=is_causal), wanted, dtype)


@every_dtype
def test_keys_that_are_masked_may_hold_anything_finite(dtype):
    """Padding: their values are multiplied by 0, and their scores do not count."""
    query, key, value, dy = operands(dtype)
    may_attend = np.ones(KEYS, bool)
    may_attend[6:] = False
    _, wanted = judge(query, key, value, dy, attn_mask=may_attend, seen=may_attend)
    large = 240.0 if dtype == "float16" else 1e30
    key[..., 6:, :], value[..., 6:, :] = large, -large
    options = {"mask": fastdrop.Mask(WEIGHTS, 0.25, seed=3), "attn_mask": may_attend}
    check(attend(query, key, value, dy, **options), wanted, dtype)


@every_dtype
def test_of_nothing_to_attend_to_there_is_nothing(dtype):
    query, key, value, dy = operands(dtype)
    for options in ({"attn_mask": False}, {"attn_mask": np.full(KEYS, -np.inf, dtype)}):
        y, saved = fastdrop.attention(query, key, value, 0.25, rng=1, **options)
        assert not y.any()
        assert not any(gradient.any() for gradient in fastdrop.attention_backward(dy, saved))
        assert np.isposinf(saved.lse).all()
    y, saved = fastdrop.attention(query, key[..., :0, :], value[..., :0, :], 0.25, rng=1)
    assert same_bytes(y, np.zeros((*LEADING, QUERIES, OWN_SIZE), dtype))
    dquery, dkey, dvalue = fastdrop.attention_backward(dy, saved)
    assert not dquery.any()
    assert (dkey.shape, dvalue.shape) == (saved.key.shape, saved.value.shape)
    for queries, leading in ((0, LEADING), (QUERIES, (0, HEADS)), (QUERIES, (2, 0))):
        query, key, value, dy = operands(dtype, queries, leading=leading)
        y, saved = fastdrop.attention(query, key, value, 0.25, rng=1)
        assert same_bytes(y, np.zeros(dy.shape, dtype))
        gradients = fastdrop.attention_backward(dy, saved)
        for gradient, operand in zip(gradients, (query, key, value), strict=True):
            assert same_bytes(gradient, np.zeros(operand.shape, dtype))


# --- Leading axes -------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize(
    "axes",
    [
        ((), (), ()),
        ((4,), (4,), (4,)),
        ((2, 3, 2), (2, 3, 1), (2, 3, 1)),  # heads of a group share keys
        ((4,), (), ()),
        ((), (4,), (2, 1)),
        ((1, 3), (2, 1), (2, 3)),
        ((2, 3), (1, 3), (2, 1)),
        ((2, 1, 3), (1, 2, 3), (2, 2, 1)),
        ((1, 1), (1,), (1, 1)),
    ],
    ids=str,
)
def test_leading_axes_are_broadcast_and_gradients_summed(axes, dtype):
    query, key, value, _ = operands(dtype, leading=())
    leading = np.broadcast_shapes(*axes)
    shapes = ((*own, *like.shape) for own, like in zip(axes, (query, key, value), strict=True))
    given = [normal(seed, dtype, shape) for seed, shape in enumerate(shapes)]
    dy = normal(3, dtype, (*leading, QUERIES, OWN_SIZE))
    judge(*given, dy)
    judge(*given, dy, is_causal=True, seen=triangle(QUERIES, KEYS))


# --- Slopes -------------------------------------------------------------------------------------------------


def textbook(query, key, value, keep, scale, seen):
    """y of complex numbers, by the shortest formula."""
    powers = np.where(seen, np.exp(query @ key.swapaxes(-1, -2) / np.sqrt(np.longdouble(query.shape[-1]))), 0)
    return np.where(keep, powers / powers.sum(-1, keepdims=True) * scale, 0) @ value


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("at", range(3))
def test_gradients_are_slopes(at, is_causal):
    """By complex steps (Squire and Trapp, SIAM Review 40, 1998): ``f(x + i h d)`` is ``f(x) + i h <f', d>``.

    What is left out is of the order of h^2. Complex longdoubles lose 2^-11 of what the bounds of float64 are.
    """
    *arrays, dy = operands("float64")
    mask, seen = fastdrop.Mask(WEIGHTS, 0.5, seed=3), triangle(QUERIES, KEYS) if is_causal else np.True_
    _, saved = fastdrop.attention(*arrays, mask=mask, is_causal=is_causal)
    gradient = fastdrop.attention_backward(dy, saved)[at]
    error = formulas.Attention(*arrays, mask.to_numpy(), 2.0, seen=seen).backward(dy)[at].error
    step = np.longdouble(2) ** -200
    for seed in range(3):
        direction = normal(seed + 10, "float64", arrays[at].shape)
        moved = [array.astype(np.clongdouble) for array in arrays]
        moved[at] = moved[at] + 1j * step * direction
        slope = (textbook(*moved, mask.to_numpy(), 2, seen).imag / step * dy).sum()
        bound = 1.01 * (error * abs(direction)).sum()
        assert abs((gradient.astype(np.longdouble) * direction).sum() - slope) <= bound
        assert bound < 1e-10 * abs(slope)  # the bound says something
