# SPDX-License-Identifier: BSD-3-Clause
"""What the fused functions refuse, with `out` untouched."""

import numpy as np
import pytest

import fastdrop
from arrays import HALVES, same_bytes
from fused_functions import (
    COLUMN,
    DRAWN,
    FORWARD_AND_BACK,
    FUNCTIONS,
    SHAPE,
    X,
    bias_dropout_add,
    every_function,
    every_pair,
    layer_norm,
    ones,
    rms_norm,
    untouched,
)
from refusal import refuse, without_address

# --- x ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        bias_dropout_add,
        layer_norm,
        rms_norm,
        fastdrop.layer_norm,
        fastdrop.rms_norm,
        fastdrop.relu,
        fastdrop.gelu,
        fastdrop.silu,
        lambda x: fastdrop.relu_backward(x, x),
        lambda x: fastdrop.gelu_backward(x, x),
    ],
)
def test_an_x_without_an_axis_or_of_another_dtype_is_refused(function):
    for x in (3.0, np.float32(3), np.array(3.0)):
        with pytest.raises(ValueError, match="must have at least one axis, that of the features"):
            function(x)
    for x in (np.ones(SHAPE, int), np.ones(SHAPE, complex), [["a"]]):
        with pytest.raises(TypeError, match="must be an array of float16, bfloat16, float32 or float64"):
            function(x)
    with pytest.raises(TypeError, match="whose mask would be lost"):
        function(np.ma.array([[1.0]]))


# --- Operands -----------------------------------------------------------------------------------------

FEATURE_WISE = "must be an array of one value for each feature of x"
COLUMNS = {
    "bias": (bias_dropout_add, "bias"),
    "layer norm's weight": (layer_norm, "weight"),
    "layer norm's bias": (layer_norm, "bias"),
    "layer norm's x_bias": (layer_norm, "x_bias"),
    "rms norm's weight": (rms_norm, "weight"),
    "rms norm's x_bias": (rms_norm, "x_bias"),
}


@pytest.mark.parametrize(("function", "name"), COLUMNS.values(), ids=COLUMNS)
def test_a_parameter_that_does_not_fit_is_refused(function, name):
    def with_(value):
        return lambda out: function(**{name: value}, out=out)

    wrong = [
        (np.zeros(5, np.float32), ValueError, f"{FEATURE_WISE}, (6,), not (5,)"),
        (np.zeros((1, 6), np.float32), ValueError, f"(6,), not (1, 6); write {name}.reshape(-1)"),
        (np.zeros((4, 1), np.float32), ValueError, "the features are the last axis of x: transpose it"),
        (np.zeros(4, np.float32), ValueError, "the features are the last axis of x"),
        (X, ValueError, f"{FEATURE_WISE}, (6,), not (4, 6)"),
        (
            np.zeros(6),
            TypeError,
            f"the dtype of x, float32, not float64; write numpy.asarray({name}, x.dtype)",
        ),
        ([0.0] * 6, TypeError, "the dtype of x, float32, not float64"),
        (COLUMN.astype("f2"), TypeError, "the dtype of x, float32, not float16"),
        (np.zeros(6, int), TypeError, "of float16, bfloat16, float32 or float64, not of int64"),
        (np.ma.array(COLUMN), TypeError, "whose mask would be lost"),
        (
            0.1,
            TypeError,
            f"{FEATURE_WISE}, not 0.1 of type float; a number goes by its name, such as p=",
        ),
        (np.float32(0.25), TypeError, "a number goes by its name"),
        (True, TypeError, f"{FEATURE_WISE}, not True"),
        (6, TypeError, f"{FEATURE_WISE}, not 6 of type int"),
        ((6,), TypeError, "the last axis is normalised, whose length need not be given"),
        (DRAWN, TypeError, "Mask"),
    ]
    for value, kind, *fragments in wrong:
        untouched(with_(value), kind, f"{name} must", *fragments, out=ones())


@every_function
def test_a_residual_that_does_not_fit_is_refused(function):
    remedy = "; write numpy.broadcast_to(residual, x.shape)"
    wrong = [
        (np.zeros((1, 6), np.float32), ValueError, f"of the shape of x, (4, 6), not (1, 6){remedy}"),
        (COLUMN, ValueError, f"of the shape of x, (4, 6), not (6,){remedy}"),
        (X.T, ValueError, "of the shape of x, (4, 6), not (6, 4)"),
        (X[np.newaxis], ValueError, "of the shape of x, (4, 6), not (1, 4, 6)"),
        (ones("float64"), TypeError, "the dtype of x, float32, not float64"),
        (
            0.5,
            TypeError,
            "of the shape of x, not 0.5 of type float",
            "; a number goes by its name, such as p=",
        ),
    ]
    for value, kind, *fragments in wrong:
        untouched(
            lambda out, value=value: function(residual=value, out=out),
            kind,
            "residual must",
            *fragments,
            out=ones(),
        )
    y, _ = function(residual=np.broadcast_to(np.float32(2), SHAPE), p=0.0)  # the remedy
    assert same_bytes(y, function(residual=np.full(SHAPE, 2, np.float32), p=0.0)[0])


def test_residuals_and_parameters_of_16_bits_may_not_be_mixed():
    x = ones("float16")
    refuse(lambda: bias_dropout_add(x, residual=X), TypeError, "residual must have the dtype of x, float16,")
    wanted = "bias must have the dtype of x, float16 or float32, not float64"
    refuse(lambda: bias_dropout_add(x, np.zeros(6)), TypeError, wanted)


# --- Names and numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "kind", "fragments"),
    [
        ("GELU", ValueError, ("not 'GELU'", "; write 'gelu'")),
        ("ReLU", ValueError, ("; write 'relu'",)),
        ("swish", ValueError, ("; write 'silu'",)),
        ("linear", ValueError, ("; write None",)),
        ("gelu_new", ValueError, ("; write 'gelu_tanh'",)),
        ("tanh", ValueError, ("None or one of 'relu', 'gelu', 'gelu_tanh', 'silu', not 'tanh'",)),
        (np.tanh, TypeError, ("; write its name, or call it beside bias_dropout_add",)),
        (fastdrop.relu, TypeError, ("; write its name",)),
        (["relu"], TypeError, ("not ['relu'] of type list",)),
        (False, TypeError, ("not False",)),
        (1, TypeError, ("not 1 of type int",)),
        (b"relu", TypeError, ("of type bytes",)),
    ],
    ids=without_address,
)
def test_an_activation_that_is_none_of_the_names_is_refused(activation, kind, fragments):
    call = "activation must be None or one of", *fragments
    untouched(lambda out: bias_dropout_add(activation=activation, out=out), kind, *call, out=ones())
    refuse(lambda: fastdrop.BiasDropoutAdd(6, activation=activation), kind, *call)
    refuse(lambda: setattr(fastdrop.BiasDropoutAdd(6), "activation", activation), kind, *call)


@pytest.mark.parametrize("approximate", ["erf", "Tanh", True, None])
def test_an_approximation_that_is_none_is_refused(approximate):
    kind = ValueError if isinstance(approximate, str) else TypeError
    refuse(lambda: fastdrop.gelu(X, approximate=approximate), kind, "approximate must be")
    refuse(lambda: fastdrop.gelu_backward(X, X, approximate=approximate), kind, "approximate must be")


@pytest.mark.parametrize("function", [layer_norm, rms_norm, fastdrop.layer_norm, fastdrop.rms_norm])
def test_an_eps_that_is_not_above_0_is_refused(function):
    for eps in (0, 0.0, -1e-5, float("nan"), float("inf"), np.float32(0)):
        wanted = "eps must be above 0 and finite, not"
        untouched(lambda out, eps=eps: function(X, eps=eps, out=out), ValueError, wanted, out=ones())
    for eps in ("1e-5", None, True, 1j, np.array([1e-5])):
        refuse(lambda eps=eps: function(X, eps=eps), TypeError, "eps must be a real number")
    assert same_bytes(function(X, eps=1)[0], function(X, eps=np.float32(1))[0])


@pytest.mark.parametrize("function", [fastdrop.dropout_add_layer_norm, fastdrop.dropout_add_rms_norm])
def test_an_eps_that_is_refused_takes_no_mask(function):
    masks = fastdrop.MaskGenerator(0)
    before = masks.state
    refuse(lambda: function(X, rng=masks, eps=0.0), ValueError, "eps must be above 0")
    assert masks.state == before


@every_function
def test_rates_and_flags_are_checked_as_by_dropout(function):
    untouched(lambda out: function(p=1.5, out=out), ValueError, "p must be from 0 to 1", out=ones())
    refuse(lambda: function(p="0.5"), TypeError, "p must be a real number")
    refuse(lambda: function(p=50, training=False), ValueError, "p must be from 0 to 1", "write 0.5")
    refuse(lambda: function(training="test"), TypeError, "training must be True or False", "mode == 'train'")
    refuse(lambda: function(noise_shape=(3, 1)), ValueError, "noise_shape must have for every axis")
    refuse(lambda: function(rng="0"), TypeError, "rng must be")


@every_function
def test_a_mask_that_does_not_fit_is_refused(function):
    wide = fastdrop.Mask((2, *SHAPE), 0.5, seed=0)
    own = fastdrop.Mask.from_array(np.ones(5, bool), 0.5)
    wrong = [
        (wide, ValueError, "mask must have the shape of x, (4, 6), not (2, 4, 6)"),
        (DRAWN[:3], ValueError, "mask must have the shape of x, (4, 6), not (3, 6)"),
        (own, ValueError, "mask must have the shape of x, (4, 6), not (5,)"),
        (
            DRAWN[0],
            ValueError,
            "x must have the shape (6,), not (4, 6): only a mask of your own is broadcast",
        ),
        (X > 0, TypeError, "mask must be a fastdrop.Mask, not", "; make a mask of an array with"),
        ((X > 0).tolist(), TypeError, "mask must be a fastdrop.Mask, not", "Mask.from_array(keep, p)"),
        (0.5, TypeError, "mask must be a fastdrop.Mask, not 0.5"),
        (fastdrop.GaussianNoise(SHAPE), TypeError, "mask must be a fastdrop.Mask, not"),
    ]
    for mask, kind, *fragments in wrong:
        untouched(lambda out, mask=mask: function(mask=mask, rng=None, out=out), kind, *fragments, out=ones())
        refuse(lambda mask=mask: function(mask=mask, rng=None, training=False), kind, *fragments)
    for name, value in {"p": 0.5, "rng": 0, "noise_shape": (None, 1)}.items():
        options = {"rng": None, "mask": DRAWN, name: value}
        wanted = f"mask must not be given together with {name}"
        refuse(lambda options=options: function(**options), ValueError, wanted)


# --- What is written to -----------------------------------------------------------------------------------


@every_function
def test_an_out_that_does_not_fit_is_refused(function):
    larger = np.zeros((8, 6), np.float32)
    untouched(lambda out: function(out=out), TypeError, "out must have the dtype of x", out=ones("float64"))
    untouched(lambda out: function(out=out), ValueError, "out must have the shape of x", out=ones()[:3])
    refuse(lambda: function(out=[1]), TypeError, "out must be a numpy.ndarray")
    refuse(lambda: function(out=False), TypeError, "out must be a numpy.ndarray, not False")
    if function is not bias_dropout_add:
        refuse(lambda: function(h_out=False), TypeError, "h_out must be a numpy.ndarray or None, not False")
    read_only = ones()
    read_only.flags.writeable = False
    untouched(lambda out: function(out=out), ValueError, "out must be writeable", out=read_only)
    x = larger[:4]
    for name in ("x", "residual"):
        operands = {"x": X, name: x}
        message = f"out must be {name} itself or not overlap it"
        call = lambda out: function(**operands, out=out)  # noqa: B023, E731
        untouched(call, ValueError, message, out=larger[1:5])
    one_value = np.broadcast_to(np.float32(1), SHAPE)
    refuse(lambda: function(out=one_value), ValueError, "out must be writeable")


@pytest.mark.parametrize(("function", "name"), COLUMNS.values(), ids=COLUMNS)
def test_a_result_may_not_overlap_a_parameter(function, name):
    """Not even where it has the same memory: rows after the first would read the result."""
    for x in (np.ones(6, np.float32), np.ones((1, 6), np.float32)):
        parameter = np.ones(6, np.float32)
        call = lambda out: function(x, **{name: parameter}, out=out)  # noqa: B023, E731
        message = f"out must not overlap {name}, which is read again for every row"
        untouched(call, ValueError, message, out=parameter.reshape(x.shape))


@pytest.mark.parametrize("function", [layer_norm, rms_norm])
def test_an_h_out_that_does_not_fit_is_refused(function):
    call = lambda h_out: function(h_out=h_out)  # noqa: E731
    untouched(call, TypeError, "h_out must have the dtype of x", h_out=ones("float64"))
    untouched(call, ValueError, "h_out must have the shape of x", h_out=ones()[:3])
    both = np.zeros((8, 6), np.float32)
    message = "h_out must not overlap out: both are results"
    for out, h_out in [(both[:4], both[:4]), (both[:4], both[2:6])]:
        untouched(lambda **outputs: function(**outputs), ValueError, message, out=out, h_out=h_out)
    weight = np.ones(6, np.float32)
    message = "h_out must not overlap weight"
    refuse(
        lambda: function(np.ones((1, 6), np.float32), weight=weight, h_out=weight[None]), ValueError, message
    )


# --- Backward passes --------------------------------------------------------------------------------------


@every_pair
def test_a_backward_pass_refuses_what_does_not_fit(forward, backward):
    options = {"activation": "silu"} if forward is bias_dropout_add else {}
    y, saved = forward(ones(), **options)
    name = type(saved).__name__
    others = [each()[1] for each in FUNCTIONS.values() if each is not forward]
    for wrong in (None, DRAWN, (y, saved), *others):
        refuse(lambda wrong=wrong: backward(y, wrong), TypeError, f"saved must be the {name} that")
    swapped = "; the arguments are swapped: write the gradient first and saved second"
    refuse(lambda: backward(saved, y), TypeError, f"saved must be the {name} that", swapped)
    refuse(lambda: backward(y, (y, saved)), TypeError, "saved must", "; take saved out of the result")

    def going_back(dy):
        return lambda out: backward(dy, saved, out=out)

    message = "dy must have the dtype of x, float32, not float64; write numpy.asarray(dy, x.dtype)"
    untouched(going_back(ones("float64")), TypeError, message, out=ones("float64"))
    untouched(going_back(ones()[:3]), ValueError, "dy must have the shape (4, 6), not (3, 6)", out=ones()[:3])
    refuse(lambda: backward(np.ones(SHAPE, int), saved), TypeError, "dy must be an array of float16")
    refuse(lambda: backward(1.0, saved), TypeError, "dy must have the dtype of x, float32, not float64")
    refuse(lambda: backward(np.float32(1), saved), ValueError, "dy must have", "(4, 6), not ()")
    untouched(going_back(X), TypeError, "out must have the dtype of dy", out=ones("float16"))
    kept = saved.x if forward is bias_dropout_add else saved.h
    message = f"out must not overlap saved.{'x' if forward is bias_dropout_add else 'h'}"
    untouched(going_back(X), ValueError, message, out=kept)
    untouched(going_back(X), ValueError, message, out=kept[::-1])


def test_a_gradient_of_h_that_does_not_fit_is_refused():
    for forward, backward in list(FORWARD_AND_BACK.values())[1:]:
        _, saved = forward()
        back = lambda dh: lambda: backward(X, saved, dh=dh)  # noqa: B023, E731
        refuse(back(COLUMN), ValueError, "dh must be an array of the shape of dy, (4, 6), not (6,)")
        refuse(back(ones("float64")), TypeError, "dh must have the dtype of dy, float32, not float64")


def test_activations_backward_refuse_what_does_not_fit():
    for backward, name in [
        (fastdrop.relu_backward, "y"),
        (fastdrop.gelu_backward, "x"),
        (fastdrop.silu_backward, "x"),
    ]:
        refuse(lambda: backward(ones("float64"), X), TypeError, f"dy must have the dtype of {name}")  # noqa: B023
        refuse(lambda: backward(X[:3], X), ValueError, "dy must have the shape (4, 6), not (3, 6)")  # noqa: B023
        saved = ones()
        untouched(
            lambda out: backward(X, out, out=out),  # noqa: B023
            ValueError,
            f"out must not overlap {name}, which a backward pass reads",
            out=saved,
        )


# --- join_sums --------------------------------------------------------------------------------------------


def test_sums_that_cannot_be_joined_are_refused():
    part = np.ones(3, np.float32)
    refuse(lambda: fastdrop.join_sums([]), ValueError, "parts must hold at least one array")
    for parts in (3, None, np.array(1.0)):
        refuse(lambda parts=parts: fastdrop.join_sums(parts), TypeError, "parts must be a sequence of arrays")
    refuse(lambda: fastdrop.join_sums([part, None]), TypeError, "each of parts must be an array of float16")
    for other in (part.astype(float), part[:2]):
        wanted = "each of parts must have the shape and dtype of the first, (3,) and float32"
        refuse(lambda other=other: fastdrop.join_sums([part, other]), ValueError, wanted)
    for dtype in HALVES:
        wanted = "each of parts must be of float32 or float64", "give the shards a float32 parameter"
        half = part.astype(dtype)
        refuse(lambda half=half: fastdrop.join_sums([half, half]), TypeError, *wanted)


def test_joined_sums_are_new_and_the_parts_stay():
    parts = [np.full(2, n, np.float32) for n in range(5)]
    assert fastdrop.join_sums(iter(parts)).tolist() == [10, 10]
    assert [part[0] for part in parts] == [0, 1, 2, 3, 4]
    single = fastdrop.join_sums(parts[:1])
    assert not np.may_share_memory(single, parts[0])
    assert same_bytes(single, parts[0])
