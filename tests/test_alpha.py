# SPDX-License-Identifier: BSD-3-Clause
"""Alpha dropout: the reference bit for bit, PyTorch's and Keras's definition, mean and variance kept."""

import itertools
import math
from decimal import Decimal, getcontext

import ml_dtypes
import numpy as np
import pytest
from scipy import integrate, stats

import fastdrop
from fastdrop import reference
from fastdrop import reference as reference_noise
from fastdrop.kinds import alpha
from fastdrop.mask import with_scale
from fastdrop.mask_generator import draw_mask
from floats import DTYPES, special_values
from refusal import refuse
from test_agreement import PROBABILITIES, SIZES, STARTS, same_bytes

SELU_ALPHA, SELU_SCALE = "1.6732632423543772848170429916717", "1.0507009873554804934193349852946"
FALSE_ALARM = 1e-9


class Part(fastdrop.MaskGenerator):
    """Hands out one window of one mask, so that a forward pass can be anywhere in the index space."""

    __slots__ = ("start",)


def draw_part(rng, window):
    """What `draw_mask` does, but for a `Part` its window."""
    if not isinstance(rng, Part):
        return draw_mask(rng, window)
    p, scale, _, (size,), _ = window
    mask = fastdrop.Mask(rng.start + size, p, seed=3, stream=9, generator=rng.generator)[rng.start :]
    return with_scale(mask, scale)


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    monkeypatch.setattr(alpha, "draw_mask", draw_part)


def part(start, generator):
    masks = Part(0, generator=generator)
    masks.start = start
    return masks


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_size_and_start(isa, generator, dtype, p):
    for size in SIZES:
        x = special_values(size, dtype)
        for start in STARTS:
            slow = reference.Mask(size, p, seed=3, stream=9, generator=generator)
            slow.index = slow.index + np.uint64(start)
            wanted = reference_noise.alpha_applied(x, slow)
            y, mask = fastdrop.alpha_dropout(x, p, rng=part(start, generator))
            assert same_bytes(y, wanted), (size, start)
            out = np.full_like(x, 7)
            assert fastdrop.alpha_dropout(x, p, rng=part(start, generator), out=out)[0] is out
            assert same_bytes(out, wanted), (size, start)
            in_place = x.copy()
            fastdrop.alpha_dropout(in_place, p, rng=part(start, generator), out=in_place)
            assert same_bytes(in_place, wanted), (size, start)
            dx = fastdrop.alpha_dropout_backward(x, mask)
            assert same_bytes(dx, reference_noise.alpha_dropout_backward(x, slow)), (size, start)


def both_passes(x, keep, p):
    """y and dx by NumPy's and ml_dtypes' conversions."""
    computed = reference.computed_with(x.dtype)
    a, b, dropped = np.array(reference_noise.affine(p)).astype(computed)
    product = x.astype(computed) * a
    return [np.where(keep, *pair).astype(x.dtype) for pair in ((product + b, dropped), (product, 0))]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_matter(isa, dtype, count, threads):
    size = 2**21 + 77
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    with threads(count):
        y, mask = fastdrop.alpha_dropout(x, 0.3, rng=5)
        wanted, dx = both_passes(x, mask.to_numpy(), 0.3)
        assert same_bytes(y, wanted)
        assert same_bytes(fastdrop.alpha_dropout_backward(x, mask, out=x), dx)


@pytest.mark.parametrize("dtype", DTYPES)
def test_around_the_cache(isa, dtype):
    size = 2**25 // np.dtype(dtype).itemsize + 321
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    wanted = both_passes(x, fastdrop.Mask(size, 0.3, seed=5).to_numpy(), 0.3)[0]
    out = np.full(size + 4, 7, dtype)
    for shift in (0, 1):
        y, _ = fastdrop.alpha_dropout(x, 0.3, rng=5, out=out[shift : shift + size])
        assert same_bytes(y, wanted)
        assert (out[:shift] == 7).all()
        assert (out[shift + size :] == 7).all()
        out[:] = 7


# --- The definition -------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [2.0**-64, 1e-6, 0.05, 0.1, 0.5, 0.9, 0.999])
def test_constants(p):
    """In 50 digits. Of a sum of two terms of opposite sign a rounding of the larger is left.

    alpha' is the product of the two constants in double, as PyTorch and Keras have it: three roundings, each
    off by 2**-53 at most, times 1.7, 1.1 and 1.
    """
    getcontext().prec = 50
    alpha_prime, exact = Decimal(reference_noise.ALPHA_PRIME), Decimal(p)
    assert alpha._ALPHA_PRIME == reference_noise.ALPHA_PRIME == -1.7580993408473766
    assert -float(SELU_ALPHA) * float(SELU_SCALE) == alpha._ALPHA_PRIME
    assert abs(alpha_prime + Decimal(SELU_ALPHA) * Decimal(SELU_SCALE)) < Decimal(2.0**-51)
    a = 1 / ((1 - exact) * (1 + exact * alpha_prime**2)).sqrt()
    b = -a * exact * alpha_prime
    got = alpha._affine(p)
    assert got == reference_noise.affine(p)
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
def test_definition_of_others(definition, p):
    """Numbers below 8 a, and fewer than eight roundings each way."""
    x = np.random.default_rng(0).standard_normal((50, 40))
    y, mask = fastdrop.alpha_dropout(x, p, rng=1)
    a = alpha._affine(p)[0]
    np.testing.assert_allclose(y, definition(x, mask.to_numpy(), p), rtol=0, atol=16 * 8 * a * 2.0**-53)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9])
def test_mean_and_variance_are_kept_exactly(p):
    """Of the map itself: for an x of mean 0 and variance 1, whatever its distribution."""
    a, b, dropped = alpha._affine(p)
    mean = (1 - p) * b + p * dropped
    variance = (1 - p) * (a**2 + b**2) + p * dropped**2 - mean**2
    assert abs(mean) < 8 * 2.0**-53 * a
    assert variance == pytest.approx(1, abs=16 * 2.0**-53 * a**2)


def test_limit_of_p():
    """As p goes to 1 all are dropped, and what they become goes to 0: that is what p = 1 means."""
    dropped = [alpha._affine(1 - 2.0**-k)[2] for k in range(2, 30)]
    assert all(less < more < 0 for less, more in itertools.pairwise(dropped))
    assert dropped[-1] > -1e-4
    assert alpha._affine(1.0) == (0, 0, 0)


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


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("function", [lambda z: z, selu], ids=["normal", "selu"])
def test_mean_0_and_variance_1_stay(generator, function, p):
    """SELU's fixed point: normal numbers in, mean 0 and variance 1 out of SELU, and out of alpha dropout.

    For a sum of 2**22 terms the normal tail holds; the fourth moment of y, which the variance of y**2 needs,
    follows from those of x.
    """
    n = 2**22
    x = function(np.random.default_rng(0).standard_normal(n))
    moments = raw_moments(function)
    assert moments[1:3] == pytest.approx([0, 1], abs=1e-7)  # SELU's constants solve just that
    a, b, dropped = alpha._affine(p)
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
    a, _, dropped = alpha._affine(0.3)
    assert mask.scale == a
    np.testing.assert_array_equal(mask.to_numpy(), other.to_numpy())
    np.testing.assert_array_equal(y == np.float32(dropped), plain == 0)
    # A plain mask of the same numbers serves the backward pass as well.
    assert same_bytes(fastdrop.alpha_dropout_backward(x, other), fastdrop.alpha_dropout_backward(x, mask))
    assert same_bytes(mask.apply(x), fastdrop.alpha_dropout_backward(x, mask))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_by_finite_differences(dtype):
    """y is linear in each element; numbers stay below 8, and there are four roundings."""
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((20, 25)).astype(dtype) for _ in range(2))
    for forward in (fastdrop.alpha_dropout, fastdrop.feature_alpha_dropout):
        _, mask = forward(x, 0.3, rng=4)
        dx = fastdrop.alpha_dropout_backward(dy, mask)
        for i in np.ndindex(20, 5):
            more, less = x.copy(), x.copy()
            more[i] += 1
            less[i] -= 1
            y, other = (forward(values, 0.3, rng=4)[0].astype(float) for values in (more, less))
            slope = (y - other) / (float(more[i]) - float(less[i]))
            allowed = 4 * 8 * ml_dtypes.finfo(dtype).eps * max(1, abs(float(dy[i])))
            assert abs(slope[i] * float(dy[i]) - float(dx[i])) <= allowed
            slope[i] = 0
            assert not slope.any()


# --- Features, ends, refusals, layers -------------------------------------------------------------


@pytest.mark.parametrize("channel_axis", [1, -1, 0, 2])
def test_channels_share_a_decision(isa, channel_axis):
    x = np.random.default_rng(0).standard_normal((5, 6, 7, 8)).astype(np.float32)
    y, mask = fastdrop.feature_alpha_dropout(x, 0.4, channel_axis=channel_axis, rng=3)
    kept_axes = {0, channel_axis % 4}
    noise_shape = tuple(length if axis in kept_axes else 1 for axis, length in enumerate(x.shape))
    assert mask.noise_shape == noise_shape
    wanted, slow = reference_noise.feature_alpha_dropout(x, 0.4, channel_axis=channel_axis, rng=3)
    np.testing.assert_array_equal(
        slow.to_numpy(), np.broadcast_to(reference.Mask(noise_shape, 0.4, seed=3).to_numpy(), x.shape)
    )
    assert same_bytes(y, wanted)
    assert same_bytes(
        fastdrop.alpha_dropout_backward(x, mask), reference_noise.alpha_dropout_backward(x, slow)
    )


def test_without_axes():
    y, mask = fastdrop.feature_alpha_dropout(np.float32(2), 0.5, channel_axis=0, rng=1)
    assert (y.shape, mask.shape) == ((), ())


def test_ends():
    signalling = np.array([0x7FA00000] * 4, np.uint32).view(np.float32)
    y, mask = fastdrop.alpha_dropout(signalling, 0.0, rng=0)
    assert same_bytes(y, signalling)
    assert same_bytes(fastdrop.alpha_dropout_backward(signalling, mask), signalling)
    y, mask = fastdrop.alpha_dropout(signalling, 1.0, rng=0)
    assert same_bytes(y, np.zeros(4, np.float32))
    assert same_bytes(fastdrop.alpha_dropout_backward(signalling, mask), np.zeros(4, np.float32))
    x = np.ones(3)
    assert fastdrop.alpha_dropout(x, training=False)[0] is x
    y, mask = fastdrop.feature_alpha_dropout(x, 0.9, channel_axis=0, training=False, out=np.zeros(3))
    assert same_bytes(y, x)
    assert same_bytes(fastdrop.alpha_dropout_backward(x, mask), x)


def test_what_is_refused():
    x = np.ones((2, 3), np.float32)
    refuse(lambda: fastdrop.alpha_dropout(x, 1.5), ValueError, "p must be from 0 to 1")
    rates = np.array([0.1, 0.2, 0.3])
    for call in (
        lambda: fastdrop.alpha_dropout(x, rates),
        lambda: fastdrop.AlphaDropout(rates),
        lambda: fastdrop.alpha_dropout_backward(x, fastdrop.Mask((2, 3), rates, seed=0)),
    ):
        refuse(call, TypeError, "p must be one real number")
    refuse(lambda: fastdrop.alpha_dropout([1, 2]), TypeError, "x must be an array of")
    refuse(lambda: fastdrop.alpha_dropout_backward(x, 0.5), TypeError, "mask must be", "alpha_dropout")
    refuse(
        lambda: fastdrop.feature_alpha_dropout(x, channel_axis=2),
        ValueError,
        "channel_axis must be an axis of an array of 2 axes",
    )
    refuse(
        lambda: fastdrop.feature_alpha_dropout(x, channel_axis=1.0), TypeError, "channel_axis must be an int"
    )
    refuse(
        lambda: fastdrop.FeatureAlphaDropout(channel_axis="1"), TypeError, "channel_axis must be an integer"
    )
    out = np.ones((3, 2), np.float32)
    refuse(lambda: fastdrop.alpha_dropout(x, out=out), ValueError, "out must have the shape of x")
    assert (out == 1).all()
    refuse(lambda: fastdrop.AlphaDropout().backward(x), ValueError, "backward needs the mask")


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (fastdrop.AlphaDropout(0.3, rng=0), fastdrop.alpha_dropout),
        (fastdrop.FeatureAlphaDropout(0.3, rng=0), fastdrop.feature_alpha_dropout),
    ],
)
def test_layers(layer, function):
    x = np.random.default_rng(0).standard_normal((9, 8, 7)).astype(np.float32)
    state = layer.state_dict()
    y = layer(x)
    wanted, mask = function(x, 0.3, rng=0)
    assert same_bytes(y, wanted)
    assert same_bytes(layer.backward(x), fastdrop.alpha_dropout_backward(x, mask))
    assert not (layer(x) == y).all()
    layer.load_state_dict(state)
    assert same_bytes(layer(x), y)
    assert layer.eval()(x) is x
    assert same_bytes(layer.backward(x), x)
    assert repr(layer).startswith(f"{type(layer).__name__}(p=0.3")
