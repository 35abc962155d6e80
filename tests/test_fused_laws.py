# SPDX-License-Identifier: BSD-3-Clause
"""A fused function is the composition of its parts, bit for bit; and its mask is that of plain dropout."""

import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, same_bytes
from fastdrop.reference import computed_with
from fused_functions import every_pair

SHAPE = 5, 3, 40
WIDE = ["float32", "float64"]  # in which nothing is rounded between the steps
ACTIVATIONS = {
    "relu": fastdrop.relu,
    "gelu": fastdrop.gelu,
    "gelu_tanh": lambda x: fastdrop.gelu(x, approximate="tanh"),
    "silu": fastdrop.silu,
}


def normal(seed, dtype, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def column(seed, dtype):
    return normal(seed, computed_with(dtype), SHAPE[-1:])


# Every way to say what is dropped.
MASKS = {
    "p": {"p": 0.3, "rng": 7},
    "nothing": {"p": 0.0, "rng": 7},
    "everything": {"p": 1.0, "rng": 7},
    "noise shape": {"p": 0.3, "rng": 7, "noise_shape": (None, 1, None)},
    "p by column": {"p": np.linspace(0, 1, 40), "rng": 7},
    "p by row": {"p": np.linspace(0, 1, 5).reshape(5, 1, 1), "rng": 7},
    "p by row, shared": {
        "p": np.linspace(0, 1, 5).reshape(5, 1, 1), "rng": 7, "noise_shape": (None, 1, 1),
    },
    "evaluation": {"p": 0.3, "training": False},
    "Mask": {"mask": fastdrop.Mask(SHAPE, 0.3, seed=3)},
    "window": {"mask": fastdrop.Mask((12, 7, 90), 0.3, seed=3)[2:12:2, 1:4, 50:90]},
    "not inverted": {"mask": fastdrop.Mask(SHAPE, 0.3, seed=3, inverted=False)},
    "keep_prob": {"mask": fastdrop.Mask(SHAPE, keep_prob=0.1, seed=3)},
    "stored": {"mask": fastdrop.Mask.from_array(normal(1, float) > 0, 0.3)},
    "stored, broadcast": {"mask": fastdrop.Mask.from_array(normal(1, float)[:, :1] > 0, 0.3)},
}  # fmt: skip
every_mask = pytest.mark.parametrize("options", MASKS.values(), ids=MASKS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def plain(x, options):
    """Dropout by the package's older functions, and the mask."""
    if "mask" in options:
        return options["mask"].apply(x), options["mask"]
    return fastdrop.dropout(x, **options)


@every_mask
@every_dtype
def test_without_operands_it_is_dropout(dtype, options):
    x, dy = normal(0, dtype), normal(1, dtype)
    wanted, mask = plain(x, options)
    y, saved = fastdrop.bias_dropout_add(x, **options)
    assert same_bytes(y, wanted)
    assert not np.may_share_memory(y, x)
    assert same_bytes(fastdrop.bias_dropout_add_backward(dy, saved).dx, mask.apply(dy))
    for function in (fastdrop.dropout_add_layer_norm, fastdrop.dropout_add_rms_norm):
        assert same_bytes(function(x, **options)[1].h, wanted)


@every_pair
def test_the_mask_is_that_of_dropout(forward, backward):
    x, p = normal(0, "float32"), np.linspace(0, 1, 40)
    ours, theirs = fastdrop.MaskGenerator(5), fastdrop.MaskGenerator(5)
    for options in ({"p": 0.3}, {"p": p}, {"p": 0.3, "noise_shape": (None, 1, 1)}, {}):
        assert forward(x, rng=ours, **options)[1].mask == fastdrop.dropout(x, rng=theirs, **options)[1]
    for options in ({"training": False}, {"mask": fastdrop.Mask(SHAPE, seed=0), "rng": None}):
        forward(x, **{"rng": ours, **options})
    assert ours.state == theirs.state  # neither evaluation nor a mask that was given takes one


@every_mask
@every_pair
def test_what_was_drawn_may_be_given(forward, backward, options):
    x, dy = normal(0, "float32"), normal(1, "float32")
    y, saved = forward(x, **{"rng": None, **options})
    again, other = forward(x, mask=saved.mask, rng=None)
    assert same_bytes(again, y)
    assert same_bytes(backward(dy, other).dx, backward(dy, saved).dx)


@every_mask
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("dtype", WIDE)
def test_bias_dropout_add_is_the_composition_of_its_parts(dtype, activation, options):
    x, bias, residual, dy = normal(0, dtype), column(1, dtype), normal(2, dtype), normal(3, dtype)
    t = x + bias
    a = t if activation is None else ACTIVATIONS[activation](t)
    d, mask = plain(a, options)
    y, saved = fastdrop.bias_dropout_add(x, bias, residual, activation=activation, **options)
    assert same_bytes(y, residual + d)
    dx, dbias = fastdrop.bias_dropout_add_backward(dy, saved)
    through = mask.apply(dy)
    back = {
        None: lambda: through,
        "relu": lambda: fastdrop.relu_backward(through, a),
        "gelu": lambda: fastdrop.gelu_backward(through, t),
        "gelu_tanh": lambda: fastdrop.gelu_backward(through, t, approximate="tanh"),
        "silu": lambda: fastdrop.silu_backward(through, t),
    }[activation]()
    kept = mask.apply(np.ones(SHAPE)) != 0
    assert same_bytes(dx, np.where(kept, back, dtype_zero(dtype)))
    assert same_bytes(dbias, fastdrop.reference.column_sums(dx))


def dtype_zero(dtype):
    return np.dtype(dtype).type(0)


@every_mask
@every_dtype
def test_relu_goes_back_by_its_result_as_by_its_input(dtype, options):
    """With a residual x is saved, without one y."""
    x, bias, dy = normal(0, dtype), column(1, dtype), normal(3, dtype)
    results = []
    for residual in (None, np.zeros(SHAPE, dtype)):
        y, saved = fastdrop.bias_dropout_add(x, bias, residual, activation="relu", **options)
        results.append((y, *fastdrop.bias_dropout_add_backward(dy, saved)))
    assert all(map(same_bytes, *results))


@every_mask
@every_dtype
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_a_norm_with_dropout_is_the_norm_of_what_dropout_makes(norm, dtype, options):
    x, residual, dy, dh = (normal(seed, dtype) for seed in range(4))
    weight, bias, x_bias = (column(seed, dtype) for seed in range(4, 7))
    names = ("weight", "bias", "x_bias") if norm == "layer" else ("weight", "x_bias")
    parameters = dict(
        zip(names, (weight, bias, x_bias) if norm == "layer" else (weight, x_bias), strict=True)
    )
    fused = getattr(fastdrop, f"dropout_add_{norm}_norm")
    y, saved = fused(x, residual, **parameters, **options)
    h, before = fastdrop.bias_dropout_add(x, x_bias, residual, **options)
    added = (bias,) if norm == "layer" else ()
    wanted, after = getattr(fastdrop, f"{norm}_norm")(h, weight, *added)
    assert same_bytes(saved.h, h)
    assert same_bytes(y, wanted)

    gradients = getattr(fastdrop, f"dropout_add_{norm}_norm_backward")(dy, saved, dh=dh)
    alone = getattr(fastdrop, f"{norm}_norm_backward")(dy, after)
    assert same_bytes(gradients.dweight, alone.dweight)
    assert norm == "rms" or same_bytes(gradients.dbias, alone.dbias)
    if dtype in WIDE:  # of 16 bits, what goes from one function to the other would be rounded
        assert same_bytes(gradients.dresidual, dh + alone.dx)
        dx, dx_bias = fastdrop.bias_dropout_add_backward(gradients.dresidual, before)
        assert same_bytes(gradients.dx, dx)
        assert same_bytes(gradients.dx_bias, dx_bias)


@every_dtype
@every_pair
def test_in_evaluation_it_is_as_if_nothing_were_dropped(forward, backward, dtype):
    x, dy = normal(0, dtype), normal(1, dtype)
    results = []
    given = {"training": False, "mask": fastdrop.Mask(SHAPE, 0.9, seed=0), "rng": None}
    for options in ({"training": False}, {"p": 0.0}, {"training": False, "p": 0.9, "rng": None}, given):
        y, saved = forward(x, residual=dy, **options)
        results.append((y, backward(dy, saved).dx))
    for other in results[1:]:
        assert all(map(same_bytes, results[0], other))


@pytest.mark.parametrize("rows", [64, 128])
@every_pair
def test_shards_have_the_bits_of_the_whole(forward, backward, rows):
    """Their results are parts of it, and their sums join to its sums."""
    shape = 5 * 64 + 9, 24
    x, dy, mask = normal(0, "float32", shape), normal(1, "float32", shape), fastdrop.Mask(shape, 0.3, seed=1)
    parameter = np.linspace(-1, 1, 24, dtype=np.float32)
    named = {"bias": parameter} if forward.__name__ == "bias_dropout_add" else {"weight": parameter}

    def step(part):
        y, saved = forward(x[part], residual=dy[part], **named, mask=mask[part], rng=None)
        return y, *backward(dy[part], saved)

    whole = step(slice(None))
    shards = [step(slice(first, first + rows)) for first in range(0, shape[0], rows)]
    for result, *parts in zip(whole, *shards, strict=True):
        if result is None:
            continue
        joined = np.concatenate(parts) if result.shape == shape else fastdrop.join_sums(parts)
        assert same_bytes(joined, result)
