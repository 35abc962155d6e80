# SPDX-License-Identifier: BSD-3-Clause
"""Where the fused functions write, what they save, and that they take every form of arrays."""

import dataclasses
import pickle

import numpy as np
import pytest

import fastdrop
from arrays import ALL_LAYOUTS, DTYPES, HALVES, same_bytes
from fastdrop.reference import computed_with
from fused_functions import (
    COLUMN,
    FORWARD_AND_BACK,
    SHAPE,
    VALUES,
    X,
    bias_dropout_add,
    every_pair,
    layer_norm,
    ones,
    rms_norm,
    untouched,
)
from refusal import refuse

# --- In place -------------------------------------------------------------------------------------------

READS_X = [("gelu", None), ("gelu_tanh", None), ("silu", None), ("silu", ones()), ("relu", ones())]


@pytest.mark.parametrize(("activation", "residual"), READS_X)
def test_in_training_x_is_not_overwritten_if_the_backward_pass_reads_it(activation, residual):
    message = f"out must not be x in training with activation='{activation}'", "or write out=residual"
    call = lambda out: bias_dropout_add(out, residual=residual, activation=activation, out=out)  # noqa: E731
    untouched(call, ValueError, *message, out=ones())
    untouched(lambda out: call(out[:]), ValueError, *message, out=ones())


@pytest.mark.parametrize(("activation", "residual"), READS_X)
def test_in_evaluation_x_may_be_overwritten_but_then_nothing_goes_back(activation, residual):
    options = {"residual": residual, "activation": activation, "training": False}
    wanted, saved = bias_dropout_add(ones(), **options)
    fastdrop.bias_dropout_add_backward(X, saved)
    x = ones()
    y, saved = bias_dropout_add(x, **options, out=x)
    assert y is x
    assert same_bytes(y, wanted)
    assert saved.x is None
    message = f"saved must hold x for a backward pass with activation='{activation}'", "without out=x"
    untouched(
        lambda out: fastdrop.bias_dropout_add_backward(X, saved, out=out), ValueError, *message, out=ones()
    )


@pytest.mark.parametrize(("activation", "residual"), [(None, None), ("relu", None), (None, ones())])
def test_x_may_be_overwritten_if_the_backward_pass_does_not_read_it(activation, residual):
    options = {"residual": residual, "activation": activation}
    (wanted, before), x = bias_dropout_add(X, **options), ones()
    y, saved = bias_dropout_add(x, **options, out=x)
    assert y is x
    assert same_bytes(y, wanted)
    gradients = [fastdrop.bias_dropout_add_backward(X, each).dx for each in (before, saved)]
    assert same_bytes(*gradients)


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_the_result_may_be_written_over_the_residual(activation):
    options = {"activation": activation, "p": 0.25}
    wanted, before = bias_dropout_add(X, COLUMN, ones(), **options)
    residual = ones()
    y, saved = bias_dropout_add(X, COLUMN, residual, **options, out=residual)
    assert y is residual
    assert same_bytes(y, wanted)
    pair = [fastdrop.bias_dropout_add_backward(X, each) for each in (before, saved)]
    assert all(map(same_bytes, *pair))


@pytest.mark.parametrize("function", [layer_norm, rms_norm])
@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("out", ["x", "residual", None])
@pytest.mark.parametrize("h_out", ["x", "residual", None])
@pytest.mark.parametrize("with_residual", [True, False])
def test_norms_write_in_place(function, p, out, h_out, with_residual):
    """Also where nothing is dropped or added, and h would be x itself."""
    if (out is not None and out == h_out) or ("residual" in (out, h_out) and not with_residual):
        return

    def call(in_place):
        arrays = {"x": VALUES[0].copy()}
        if with_residual:
            arrays["residual"] = VALUES[1].copy()
        given = {"out": arrays.get(out), "h_out": arrays.get(h_out)} if in_place else {}
        y, saved = function(**arrays, p=p, **given)
        if in_place:
            assert out is None or y is arrays[out]
            assert h_out is None or saved.h is arrays[h_out]
        return y, saved.h, backward(VALUES[2], saved)

    backward = FORWARD_AND_BACK["layer_norm" if function is layer_norm else "rms_norm"][1]
    (y, h, gradients), (wanted, wanted_h, wanted_gradients) = call(True), call(False)
    assert same_bytes(y, wanted)
    assert same_bytes(h, wanted_h)
    assert same_bytes(gradients.dx, wanted_gradients.dx)


@pytest.mark.parametrize("function", [layer_norm, rms_norm])
def test_a_norm_in_evaluation_saves_no_copy_for_what_may_never_come(function):
    x = ones()
    _, saved = function(x, training=False)
    assert saved.h is x
    _, saved = function(x, training=False, out=x)
    assert saved.h is None
    backward = FORWARD_AND_BACK["layer_norm" if function is layer_norm else "rms_norm"][1]
    refuse(lambda: backward(X, saved), ValueError, "saved must hold x for a backward pass with a norm")


# --- What is taken ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@every_pair
def test_every_layout_gives_the_same_bits(forward, backward, dtype, layout):
    """In and out; a subclass must not run its own code."""
    lay = ALL_LAYOUTS[layout]
    x, residual, dy = (VALUES[i].astype(dtype) for i in range(3))
    options = {"activation": "silu"} if forward is bias_dropout_add else {}
    wanted, saved = forward(x, residual=residual, **options)
    gradients = backward(dy, saved)
    y, saved = forward(lay(x), residual=lay(residual), **options)
    assert same_bytes(y, wanted)
    assert same_bytes(backward(lay(dy), saved).dx, gradients.dx)
    if layout != "read-only":
        out = lay(np.zeros(SHAPE, dtype))
        assert forward(lay(x), residual=lay(residual), **options, out=out)[0] is out
        assert same_bytes(np.ascontiguousarray(np.asarray(out), wanted.dtype), wanted)
        out = lay(dy)
        assert backward(out, saved, out=out).dx is out
        assert same_bytes(np.ascontiguousarray(np.asarray(out), wanted.dtype), gradients.dx)


@every_pair
def test_lists_are_converted_as_by_dropout(forward, backward):
    x, column = ones("float64"), np.linspace(1, 2, 6)
    name = "bias" if forward is bias_dropout_add else "weight"
    options = {"activation": "gelu"} if forward is bias_dropout_add else {}
    wanted, first = forward(x, residual=x, **{name: column}, **options)
    y, saved = forward(x.tolist(), residual=x.tolist(), **{name: column.tolist()}, **options)
    assert same_bytes(y, wanted)
    pair = [backward(x, first), backward(x.tolist(), saved)]
    for a, b in zip(*pair, strict=True):
        assert a is b is None or same_bytes(a, b)


@pytest.mark.parametrize("dtype", HALVES)
@every_pair
def test_parameters_of_16_bits_are_widened_and_their_gradients_rounded(forward, backward, dtype):
    x, wide = VALUES[0].astype(dtype), computed_with(dtype)
    name = "bias" if forward is bias_dropout_add else "weight"
    options = {"activation": "gelu"} if forward is bias_dropout_add else {}
    column = np.linspace(-1, 1, 6).astype(dtype)
    results = []
    for parameter in (column, column.astype(wide)):
        y, saved = forward(x, **{name: parameter}, **options)
        assert getattr(saved, name) is parameter
        results.append((y, backward(VALUES[1].astype(dtype), saved)))
    (y, short), (wanted, long) = results
    assert same_bytes(y, wanted)
    assert same_bytes(short.dx, long.dx)
    assert same_bytes(getattr(short, f"d{name}"), getattr(long, f"d{name}").astype(dtype))


@pytest.mark.parametrize(
    "shape", [(6,), (1, 6), (2, 3, 6), (2, 1, 2, 3, 6), (0, 6), (4, 1), (4, 0), (3, 200)]
)
@every_pair
def test_any_leading_axes(forward, backward, shape):
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    column = np.ones(shape[-1:], np.float32)
    options = {"activation": "silu"} if forward is bias_dropout_add else {}
    flat = rows.reshape(int(np.prod(shape[:-1])), shape[-1])
    results = []
    for x in (rows, flat):
        y, saved = forward(x, column, **options) if options else forward(x, None, column)
        results.append((y, *backward(x, saved)))
    for a, b in zip(*results, strict=True):
        assert a is b is None or same_bytes(a.reshape(b.shape), b)
        assert a is None or a.shape in (shape, shape[-1:])


# --- What is saved ----------------------------------------------------------------------------------------


def test_only_what_the_backward_pass_reads_is_saved_and_nothing_is_copied():
    x, bias, residual = ones(), COLUMN.copy(), ones()
    table = {
        (None, None): (None, None),
        (None, "residual"): (None, None),
        ("relu", None): (None, "y"),
        ("relu", "residual"): ("x", None),
        ("gelu", None): ("x", None),
        ("silu", "residual"): ("x", None),
    }
    for (activation, added), (saves_x, saves_y) in table.items():
        y, saved = bias_dropout_add(x, bias, residual if added else None, activation=activation)
        assert saved.x is (x if saves_x else None)
        assert saved.y is (y if saves_y else None)
        assert saved.bias is bias
        assert saved.has_residual == bool(added)
    weight = np.ones(6, np.float32)
    _, saved = layer_norm(x, residual, weight, bias, x_bias=weight)
    assert saved.weight is weight
    assert saved.bias is bias
    assert saved.x_bias is weight
    assert fastdrop.layer_norm(x, weight)[1].h is x
    assert fastdrop.rms_norm(x, weight)[1].h is x
    assert layer_norm(x, p=0.0)[1].h is x
    assert layer_norm(x, p=0.5)[1].h is not x


@every_pair
def test_what_is_saved_is_frozen_and_can_be_pickled(forward, backward):
    y, saved = forward()
    for field in dataclasses.fields(saved):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(saved, field.name, None)
    assert not isinstance(saved, tuple)
    assert repr(saved).startswith(f"{type(saved).__name__}(mask=<Mask of shape (4, 6)>")
    assert len(repr(saved)) <= 110
    restored = pickle.loads(pickle.dumps(saved))
    assert same_bytes(backward(y, restored).dx, backward(y, saved).dx)


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
def test_the_gradient_of_the_residual_goes_where_it_is_wanted(norm):
    forward = getattr(fastdrop, f"dropout_add_{norm}")
    backward = getattr(fastdrop, f"dropout_add_{norm}_backward")
    x, residual, dy, dh = np.random.default_rng(0).standard_normal((4, 7, 6), np.float32)
    _, saved = forward(x, residual, p=0.3, rng=0)
    wanted = backward(dy, saved, dh=dh)
    over_dy, over_dh, transposed = dy.copy(), dh.copy(), np.empty((6, 7), np.float32).T
    found = backward(over_dy, saved, dh=over_dh, out=over_dy, dresidual_out=over_dh)
    assert found.dx is over_dy
    assert found.dresidual is over_dh
    for one in (found, backward(dy, saved, dh=dh, dresidual_out=transposed)):
        assert same_bytes(np.ascontiguousarray(one.dx), wanted.dx)
        assert same_bytes(np.ascontiguousarray(one.dresidual), wanted.dresidual)
    for overlapping in (saved.h, dy):
        before = overlapping.copy()
        with pytest.raises(ValueError, match="dresidual_out must not overlap"):
            backward(dy, saved, out=dy, dresidual_out=overlapping)
        assert same_bytes(overlapping, before)
    _, saved = forward(x, p=0.3, rng=0)
    with pytest.raises(ValueError, match="dresidual_out must be None after a forward pass without"):
        backward(dy, saved, dresidual_out=dh)
