# SPDX-License-Identifier: BSD-3-Clause
"""The fused layers: what they compute, their parameters and gradients, and what they refuse."""

import numpy as np
import pytest

import fastdrop as fd
from arrays import DTYPES, same_bytes
from fused_layers import (
    DH,
    DY,
    FEATURES,
    LAYERS,
    RESIDUAL,
    RESIDUAL_LAYERS,
    SEED,
    SHAPE,
    X,
    all_same,
    every_layer,
    every_residual_layer,
    make,
    results,
)
from refusal import refuse

# --- What they compute --------------------------------------------------------------------------------


def function_of(layer):
    """The function of a layer's name with its parameters and options, its backward, and its operands."""
    given, rng = layer.parameters, fd.MaskGenerator(SEED)
    drops = {"rng": rng, "p": layer.p}
    kind = type(layer).__name__
    if kind == "BiasDropoutAdd":
        options = {**given, **drops, "activation": layer.activation}
        return fd.bias_dropout_add, fd.bias_dropout_add_backward, options
    options = {**given, "eps": layer.eps, **(drops if "Add" in kind else {})}
    return {
        "DropoutAddLayerNorm": (
            fd.dropout_add_layer_norm,
            fd.dropout_add_layer_norm_backward,
            options,
        ),
        "DropoutAddRMSNorm": (fd.dropout_add_rms_norm, fd.dropout_add_rms_norm_backward, options),
        "LayerNorm": (fd.layer_norm, fd.layer_norm_backward, options),
        "RMSNorm": (fd.rms_norm, fd.rms_norm_backward, options),
    }[kind]


@every_layer
def test_a_layer_is_its_function(name):
    layer = make(name)
    forward, backward, options = function_of(layer)
    for _ in range(2):  # masks follow each other
        y, saved = forward(X, **options)
        gradients = backward(DY, saved)
        assert same_bytes(layer(X), y)
        dx = layer.backward(DY)
        assert same_bytes(dx, gradients.dx)
        assert set(layer.gradients) == set(layer.parameters) == LAYERS[name][1]
        for key, gradient in layer.gradients.items():
            assert same_bytes(gradient, getattr(gradients, f"d{key}"))


@every_residual_layer
def test_with_a_residual_its_gradient_is_returned_too(name):
    layer = make(name)
    forward, backward, options = function_of(layer)
    y, saved = forward(X, residual=RESIDUAL, **options)
    gradients = backward(DY, saved)
    assert same_bytes(layer(X, RESIDUAL), y)
    dx, dresidual = layer.backward(DY)
    assert same_bytes(dx, gradients.dx)
    if isinstance(layer, fd.BiasDropoutAdd):
        assert dresidual is DY
    else:
        assert same_bytes(dresidual, gradients.dresidual)
    assert same_bytes(layer.forward(X, residual=RESIDUAL), forward(X, residual=RESIDUAL, **options)[0])


@pytest.mark.parametrize("name", [name for name in RESIDUAL_LAYERS if "Norm" in name])
def test_h_is_there_for_networks_that_normalise_first(name):
    layer = make(name)
    assert layer.h is None
    forward, backward, options = function_of(layer)
    layer(X, RESIDUAL)
    _, saved = forward(X, residual=RESIDUAL, **options)
    assert same_bytes(layer.h, saved.h)
    gradients = backward(DY, saved, dh=DH)
    dx, dresidual = layer.backward(DY, dh=DH)
    assert same_bytes(dx, gradients.dx)
    assert same_bytes(dresidual, gradients.dresidual)


@every_layer
def test_in_evaluation_nothing_is_dropped(name):
    layer, without = make(name).eval(), make(name)
    if "Add" in name:
        without.p = 0.0
    before = layer.rng.state
    assert all_same(results(layer), results(without))
    assert layer.rng.state == before


@every_layer
def test_results_are_written_where_they_are_wanted(name):
    y, dx = results(make(name))[:2]
    layer, out, gradient = make(name), np.zeros(SHAPE, np.float32), DY.copy()
    assert layer(X, out=out) is out
    assert layer.backward(gradient, out=gradient) is gradient
    assert same_bytes(out, y)
    assert same_bytes(gradient, dx)


def test_the_gradient_of_a_residual_is_not_overwritten():
    layer = fd.BiasDropoutAdd(6, rng=0)
    layer(X, RESIDUAL)
    dy = DY.copy()
    refuse(lambda: layer.backward(dy, out=dy), ValueError, "out must not be dy after a pass with a residual")
    assert same_bytes(dy, DY)
    layer.backward(dy, out=np.empty_like(dy))


@every_layer
@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_have_the_dtype_of_the_data_or_that_of_its_arithmetic(name, dtype):
    x, dy = X.astype(dtype), DY.astype(dtype)
    for own in {str(np.dtype(dtype)), str(fd.reference.computed_with(dtype))}:
        layer = make(name, dtype=own)
        assert layer(x).dtype == x.dtype
        assert layer.backward(dy).dtype == x.dtype
        assert {p.dtype for p in layer.parameters.values()} == {np.dtype(own)}
        assert {g.dtype for g in layer.gradients.values()} == {np.dtype(own)}
    if dtype == "float64":
        layer = make(name)
        message = f"{next(iter(layer.parameters))} must have the dtype of x, float64, not float32"
        if len(layer.parameters) == 1:
            refuse(lambda: layer(x), TypeError, message)


# --- Parameters and gradients ---------------------------------------------------------------------------


@every_layer
def test_what_parameters_and_gradients_begin_as(name):
    layer = LAYERS[name][0]()
    assert set(layer.parameters) == LAYERS[name][1]
    assert layer.features == FEATURES
    for key, parameter in layer.parameters.items():
        assert same_bytes(parameter, np.full(6, float(key == "weight"), np.float32))
        assert getattr(layer, key) is parameter
    assert layer.gradients == dict.fromkeys(layer.parameters)


@every_layer
def test_parameters_may_be_changed_in_every_usual_way(name):
    """An optimiser's references stay good."""
    layer = make(name)
    kept = dict(layer.parameters)
    before = results(layer)[0]
    for key, own in kept.items():
        setattr(layer, key, getattr(layer, key) - np.float32(1))
        layer.parameters[key] += 1
        layer.parameters[key] -= 0.5
        setattr(layer, key, own.astype(np.float64) + 0.25)  # rounded to the layer's dtype
    assert all(layer.parameters[key] is own for key, own in kept.items())
    assert not same_bytes(results(layer)[0], before)


@every_layer
def test_a_parameter_that_does_not_fit_is_refused_when_it_is_set(name):
    layer = make(name)
    before = {key: value.copy() for key, value in layer.parameters.items()}
    for key in layer.parameters:
        for value in (np.ones(5), np.ones((1, 6)), 1.0):
            refuse(lambda: setattr(layer, key, value), ValueError, f"{key} must have the shape (6,)")  # noqa: B023
        for value in (np.ones(6, int), "ones", None):
            refuse(lambda: setattr(layer, key, value), TypeError, f"{key} must be an array of float16")  # noqa: B023
    assert all(same_bytes(layer.parameters[key], value) for key, value in before.items())


def test_a_parameter_that_a_layer_does_not_have():
    for layer, missing in [
        (fd.LayerNorm(6, bias=False), "bias"),
        (fd.DropoutAddLayerNorm(6), "x_bias"),
        (fd.DropoutAddRMSNorm(6), "x_bias"),
    ]:
        assert getattr(layer, missing) is None
        message = f"has no {missing}: make it with {missing}=True"
        with pytest.raises(AttributeError, match=message):
            setattr(layer, missing, np.ones(6))
    assert not hasattr(fd.RMSNorm(6), "bias")
    with pytest.raises(AttributeError):
        fd.RMSNorm(6).bias = np.ones(6)


@every_layer
def test_gradients_are_those_of_the_last_backward_pass(name):
    layer = make(name)
    first = results(layer, 1)[2:]
    kept = layer.gradients
    layer(X)
    layer.backward(np.full(SHAPE, 2, np.float32))
    assert all(map(same_bytes, kept.values(), first))  # what was taken before has not changed
    assert not any(map(same_bytes, layer.gradients.values(), first))
    with pytest.raises(ValueError, match="dy must have"):
        layer.backward(DY[:3], saved=layer.saved)
    assert not any(map(same_bytes, layer.gradients.values(), first))


@every_layer
def test_a_layer_at_several_time_steps(name):
    layer = make(name)
    refuse(lambda: layer.backward(DY), ValueError, "backward needs a forward pass before it")
    assert layer.saved is None
    kept = []
    for _ in range(2):
        layer(X)
        kept.append(layer.saved)
    refuse(
        lambda: layer.backward(DY), ValueError, "backward needs saved=, because the layer was called 2 times"
    )
    _, backward, _ = function_of(layer)
    for saved in reversed(kept):
        assert same_bytes(layer.backward(DY, saved=saved), backward(DY, saved).dx)
    wrong = {type(saved).__name__}
    refuse(lambda: layer.backward(DY, saved=7), TypeError, f"saved must be the {wrong.pop()}")


# --- Attributes and constructors ----------------------------------------------------------------------


@every_layer
def test_a_layer_has_the_attributes_of_its_class_only(name):
    layer = make(name)
    for wrong in ("weights", "gamma", "noise_shape", "__dict__"):
        assert not hasattr(layer, wrong)
        with pytest.raises(AttributeError):
            setattr(layer, wrong, 0.5)
    for fixed in ("parameters", "gradients", "features", "saved"):
        with pytest.raises(AttributeError):
            setattr(layer, fixed, None)
    slots = {slot for base in type(layer).__mro__ for slot in getattr(base, "__slots__", ())}
    assert {slot for slot in slots if not hasattr(layer, slot)} == set()


def test_what_a_constructor_refuses():
    for kind in (
        fd.BiasDropoutAdd,
        fd.DropoutAddLayerNorm,
        fd.DropoutAddRMSNorm,
        fd.LayerNorm,
        fd.RMSNorm,
    ):
        refuse(lambda: kind(0.1), TypeError, "features must be an integer, not 0.1")  # noqa: B023
        refuse(lambda: kind((6,)), TypeError, "features must be an integer, not (6,)")  # noqa: B023
        refuse(lambda: kind(0), ValueError, "features must be at least 1")  # noqa: B023
        refuse(lambda: kind(), TypeError, f"{kind.__name__}: missing a required argument: 'features'")  # noqa: B023
        for dtype in (int, None, "complex64", "no dtype"):
            refuse(lambda: kind(6, dtype=dtype), TypeError, "dtype must be float16, bfloat16, float32")  # noqa: B023
        message = f"{kind.__name__}: there is no keyword 'normalized_shape'; write features="
        refuse(lambda: kind(normalized_shape=6), TypeError, message)  # noqa: B023
    refuse(lambda: fd.LayerNorm(6, epsilon=1e-5), TypeError, "LayerNorm: there is no keyword", "write eps=")
    refuse(lambda: fd.LayerNorm(6, eps=0), ValueError, "eps must be above 0")
    refuse(lambda: fd.LayerNorm(6, bias=None), TypeError, "bias must be True or False")
    refuse(lambda: fd.DropoutAddRMSNorm(6, x_bias=np.ones(6)), TypeError, "x_bias must be True or False")
    refuse(lambda: setattr(fd.RMSNorm(6), "eps", "1e-5"), TypeError, "eps must be a real number")


@every_layer
def test_a_repr_shows_what_was_chosen(name):
    layer = make(name, dtype="float64").eval()
    text = repr(layer)
    assert text.startswith(f"{type(layer).__name__}(6")
    assert len(text) <= 110
    assert "dtype=float64" in text
    assert "training=False" in text
    assert ("bias=False" in text) == ("no bias" in name)
    assert ("x_bias=True" in text) == ("x_bias" in layer.parameters)
    assert ("rng=" in repr(LAYERS[name][0]())) == ("Add" in name)
