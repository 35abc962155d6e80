# SPDX-License-Identifier: BSD-3-Clause
"""Alpha dropout: PyTorch's and Keras's definition, mean and variance kept, channels that share a decision."""

import itertools
import math
import pickle
from decimal import Decimal, getcontext

import numpy as np
import pytest
from scipy import integrate, stats

import fastdrop
from arrays import same_bytes, special_values
from copies import copies
from fastdrop import reference
from refusal import refuse
from tails import FALSE_ALARM

SELU_ALPHA, SELU_SCALE = "1.6732632423543772848170429916717", "1.0507009873554804934193349852946"

# --- The definition -------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [2.0**-64, 1e-6, 0.05, 0.1, 0.5, 0.9, 0.999])
def test_constants_are_right_to_50_digits(p):
    """In 50 digits. Of a sum of two terms of opposite sign a rounding of the larger is left.

    alpha' is the product of the two constants in double, as PyTorch and Keras have it: three roundings, each
    off by 2**-53 at most, times 1.7, 1.1 and 1.
    """
    getcontext().prec = 50
    alpha_prime, exact = Decimal(reference.ALPHA_PRIME), Decimal(p)
    assert -float(SELU_ALPHA) * float(SELU_SCALE) == reference.ALPHA_PRIME == -1.7580993408473766
    assert abs(alpha_prime + Decimal(SELU_ALPHA) * Decimal(SELU_SCALE)) < Decimal(2.0**-51)
    a = 1 / ((1 - exact) * (1 + exact * alpha_prime**2)).sqrt()
    b = -a * exact * alpha_prime
    got = reference.affine(p)
    for value, wanted, size in zip(got, (a, b, a * alpha_prime + b), (a, b, a * alpha_prime), strict=True):
        assert abs(Decimal(value) - wanted) <= Decimal(8 * 2.0**-53) * abs(size)


def torch_definition(x, keep, p):
    """torch.nn.functional.alpha_dropout (ATen/native/Dropout.cpp), its operations in its order."""
    positive = 1.7580993408473766
    a = 1.0 / math.sqrt((positive * positive * p + 1) * (1 - p))
    noise = keep.astype(x.dtype)
    b = (noise - 1) * (positive * a) + positive * a * p
    return x * (noise * a) + b


def keras_definition(x, keep, p):
    """keras.layers.AlphaDropout.call."""
    alpha_p = -float(SELU_ALPHA) * float(SELU_SCALE)
    a = ((1 - p) * (1 + p * alpha_p**2)) ** -0.5
    b = -a * alpha_p * p
    kept = keep.astype(x.dtype)
    return a * (x * kept + alpha_p * (1 - kept)) + b


@pytest.mark.parametrize("definition", [torch_definition, keras_definition])
@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_results_are_those_of_the_definitions_of_others(definition, p):
    """Numbers below 8 a, and fewer than eight roundings each way."""
    x = np.random.default_rng(0).standard_normal((50, 40))
    y, mask = fastdrop.alpha_dropout(x, p, rng=1)
    a = reference.affine(p)[0]
    np.testing.assert_allclose(y, definition(x, mask.to_numpy(), p), rtol=0, atol=16 * 8 * a * 2.0**-53)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9])
def test_mean_and_variance_are_kept_exactly(p):
    """Of the map itself: for an x of mean 0 and variance 1, whatever its distribution."""
    a, b, dropped = reference.affine(p)
    mean = (1 - p) * b + p * dropped
    variance = (1 - p) * (a**2 + b**2) + p * dropped**2 - mean**2
    assert abs(mean) < 8 * 2.0**-53 * a
    assert variance == pytest.approx(1, abs=16 * 2.0**-53 * a**2)


def test_what_is_dropped_goes_to_zero_as_p_goes_to_one():
    """As p goes to 1 all are dropped, and what they become goes to 0: that is what p = 1 means."""
    dropped = [reference.affine(1 - 2.0**-k)[2] for k in range(2, 30)]
    assert all(less < more < 0 for less, more in itertools.pairwise(dropped))
    assert dropped[-1] > -1e-4


# --- Statistics -----------------------------------------------------------------------------------


def selu(x):
    return float(SELU_SCALE) * np.where(x > 0, x, float(SELU_ALPHA) * np.expm1(np.minimum(x, 0)))


def raw_moments(function):
    """E f(z)^k for a standard normal z, k from 0 to 4."""
    density = stats.norm.pdf
    return [
        sum(
            integrate.quad(lambda z, k=k: function(z) ** k * density(z), *side)[0]
            for side in ((-40, 0), (0, 40))
        )
        for k in range(5)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("function", [lambda z: z, selu], ids=["normal", "selu"])
def test_samples_of_mean_0_and_variance_1_keep_both(generator, function, p):
    """SELU's fixed point: normal numbers in, mean 0 and variance 1 out of SELU, and out of alpha dropout.

    For a sum of 2**22 terms the normal tail holds; the fourth moment of y, which the variance of y**2 needs,
    follows from those of x.
    """
    n = 2**22
    x = function(np.random.default_rng(0).standard_normal(n))
    moments = raw_moments(function)
    assert moments[1:3] == pytest.approx([0, 1], abs=1e-7)  # SELU's constants solve just that
    a, b, dropped = reference.affine(p)
    fourth = sum(math.comb(4, k) * a**k * moments[k] * b ** (4 - k) for k in range(5))
    fourth = (1 - p) * fourth + p * dropped**4
    y, _ = fastdrop.alpha_dropout(x, p, rng=fastdrop.MaskGenerator(1, generator=generator))
    assert 2 * stats.norm.sf(abs(y.sum()) / math.sqrt(n)) > FALSE_ALARM
    assert 2 * stats.norm.sf(abs((y**2 - 1).sum()) / math.sqrt(n * (fourth - 1))) > FALSE_ALARM
    plain, _ = fastdrop.dropout(x, p, rng=1)  # which keeps the mean only, and the test can see that
    assert 2 * stats.norm.sf(abs((plain**2 - 1).sum()) / math.sqrt(n * (fourth - 1))) < FALSE_ALARM


def test_it_drops_what_dropout_drops():
    x = np.ones(1000, np.float32)
    y, mask = fastdrop.alpha_dropout(x, 0.3, rng=8)
    plain, other = fastdrop.dropout(x, 0.3, rng=8)
    a, _, dropped = reference.affine(0.3)
    assert mask.scale == a
    np.testing.assert_array_equal(mask.to_numpy(), other.to_numpy())
    np.testing.assert_array_equal(y == np.float32(dropped), plain == 0)
    assert same_bytes(mask.apply(x), fastdrop.alpha_dropout_backward(x, mask))


# --- The mask of another function -----------------------------------------------------------------

X, RATES = np.ones((2, 3), np.float32), np.array([0.1, 0.2, 0.3])
OF_OTHERS = {
    "dropout": lambda p: fastdrop.dropout(X, p, rng=1)[1],
    "dropout, not inverted": lambda p: fastdrop.dropout(X, p, rng=1, inverted=False)[1],
    "its evaluation": lambda p: fastdrop.dropout(X, p, inverted=False, training=False)[1],
    "keep_prob": lambda p: fastdrop.dropout(X, keep_prob=(1 - p) / 2, rng=1)[1],
    "small keep_prob": lambda p: fastdrop.dropout(X, keep_prob=1e-17, rng=1)[1],
    "an array of p": lambda p: fastdrop.dropout(X, np.array([p, p, 0]), rng=1)[1],
    "its evaluation with an array": lambda p: fastdrop.dropout(
        X, np.array([p, p, 0]), inverted=False, training=False
    )[1],
    "channel_dropout": lambda p: fastdrop.channel_dropout(X, p, rng=1)[1],
    "Mask": lambda p: fastdrop.Mask((2, 3), p, seed=1),
    "Mask, not inverted": lambda p: fastdrop.Mask((2, 3), p, seed=1, inverted=False),
    "a stored mask": lambda p: fastdrop.Mask.from_array(X > 0, p),
    "drop_block": lambda _: fastdrop.drop_block(np.ones((1, 1, 9, 9)), 0.5, block_size=3, rng=1)[1][
        0, 0, :2, :3
    ],
}


@pytest.mark.parametrize("p", [0.1, 0.5, 1 - 1e-9])
@pytest.mark.parametrize("name", OF_OTHERS)
def test_a_mask_of_another_function_is_refused(name, p):
    """It has another scale, which one of the two must then ignore."""
    mask, out = OF_OTHERS[name](p), np.full_like(X, 7)
    for part in (mask, mask[:, ::-1], pickle.loads(pickle.dumps(mask))):
        refuse(
            lambda part=part: fastdrop.alpha_dropout_backward(X, part, out=out), ValueError,
            "mask must be a mask that alpha_dropout", "use dropout_backward(dy, mask)",
        )  # fmt: skip
    assert (out == 7).all()


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1 - 1e-9, 1.0])
def test_a_mask_of_alpha_dropout_is_taken_whole_in_parts_and_copied(p):
    x = special_values((6, 8), np.float32)
    for forward in (fastdrop.alpha_dropout, fastdrop.feature_alpha_dropout):
        _, mask = forward(x, p, rng=1)
        whole = fastdrop.alpha_dropout_backward(x, mask)
        for other in copies(mask):
            assert same_bytes(fastdrop.alpha_dropout_backward(x, other), whole)
        part = fastdrop.alpha_dropout_backward(x[1:, ::-2], mask[1:, ::-2])
        assert same_bytes(part, whole[1:, ::-2].copy())
        assert same_bytes(fastdrop.dropout_backward(x, mask), whole)
    _, mask = fastdrop.alpha_dropout(x, p, training=False)
    assert same_bytes(fastdrop.alpha_dropout_backward(x, mask), x)


def test_a_mask_that_scales_by_1_as_alpha_dropout_with_p_0_does_is_taken():
    keep = np.arange(6).reshape(2, 3) % 2 > 0
    for mask in (fastdrop.Mask((2, 3), 0.0, seed=0), fastdrop.Mask.from_array(keep, 0.0)):
        assert same_bytes(fastdrop.alpha_dropout_backward(X, mask), mask.apply(X))


# --- Evaluation, channels, refusals -------------------------------------------------------------


@pytest.mark.parametrize("channel_axis", [1, -1, 0, 2])
def test_channels_share_a_decision(isa, channel_axis):
    x = np.random.default_rng(0).standard_normal((5, 6, 7, 8)).astype(np.float32)
    y, mask = fastdrop.feature_alpha_dropout(x, 0.4, channel_axis=channel_axis, rng=3)
    kept_axes = {0, channel_axis % 4}
    noise_shape = tuple(length if axis in kept_axes else 1 for axis, length in enumerate(x.shape))
    assert mask.noise_shape == noise_shape
    wanted, slow = reference.feature_alpha_dropout(x, 0.4, channel_axis=channel_axis, rng=3)
    np.testing.assert_array_equal(
        slow.to_numpy(), np.broadcast_to(reference.Mask(noise_shape, 0.4, seed=3).to_numpy(), x.shape)
    )
    assert same_bytes(y, wanted)
    assert same_bytes(fastdrop.alpha_dropout_backward(x, mask), reference.alpha_dropout_backward(x, slow))


def test_an_array_without_axes_is_one_channel():
    y, mask = fastdrop.feature_alpha_dropout(np.float32(2), 0.5, channel_axis=0, rng=1)
    assert (y.shape, mask.shape) == ((), ())


def test_evaluation_returns_x_and_a_mask_that_keeps_all():
    x = np.ones(3)
    assert fastdrop.alpha_dropout(x, training=False)[0] is x
    y, mask = fastdrop.feature_alpha_dropout(x, 0.9, channel_axis=0, training=False, out=np.zeros(3))
    assert same_bytes(y, x)
    assert same_bytes(fastdrop.alpha_dropout_backward(x, mask), x)


REFUSED = {
    "p": (lambda: fastdrop.alpha_dropout(X, 1.5), ValueError, "p must be from 0 to 1"),
    "p that varies": (lambda: fastdrop.alpha_dropout(X, RATES), TypeError, "p must be one real number"),
    "p of a layer": (lambda: fastdrop.AlphaDropout(RATES), TypeError, "p must be one real number"),
    "x": (lambda: fastdrop.alpha_dropout([1, 2]), TypeError, "x must be an array of"),
    "mask": (lambda: fastdrop.alpha_dropout_backward(X, 0.5), TypeError, "mask must be", "alpha_dropout"),
    "channel_axis out of range": (
        lambda: fastdrop.feature_alpha_dropout(X, channel_axis=2),
        ValueError, "channel_axis must be an axis of an array of 2 axes",
    ),
    "channel_axis": (
        lambda: fastdrop.feature_alpha_dropout(X, channel_axis=1.0), TypeError, "channel_axis must be an int",
    ),
    "channel_axis of a layer": (
        lambda: fastdrop.FeatureAlphaDropout(channel_axis="1"), TypeError, "channel_axis must be an integer",
    ),
    "backward": (lambda: fastdrop.AlphaDropout().backward(X), ValueError, "backward needs a forward pass"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_alpha_dropout_refuses(name):
    refuse(*REFUSED[name])


def test_an_out_that_is_refused_stays_as_it_was():
    out = np.ones((3, 2), np.float32)
    refuse(lambda: fastdrop.alpha_dropout(X, out=out), ValueError, "out must have the shape of x")
    assert (out == 1).all()
