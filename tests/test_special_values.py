# SPDX-License-Identifier: BSD-3-Clause
"""Every value of 16 bits, NaNs, infinities, zeros and the ends of p, for every operation.

The judges of the 16-bit values are NumPy's and ml_dtypes' own conversions.
"""

import ml_dtypes
import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, HALVES, nans, same_bytes, special_values, unsigned
from fastdrop import reference
from operations import PUBLIC, SEED, WITH_INPUTS, twins
from processes import run

EVERY = np.arange(2**16, dtype=np.uint16)
# Scales 1 + 2^-23, 1.111, 1.333, 1.5 (ties), 2, 3 (ties), 100, and 2^53 (nearly all infinite).
PROBABILITIES = [2.0**-23, 0.1, 0.25, 1 / 3, 0.5, 2 / 3, 0.99, 1 - 2.0**-53]


def scaled(x, p):
    """What is kept, from conversions that are not fastdrop's: bits, but for those of NaNs."""
    with np.errstate(all="ignore"):
        return (x.astype(np.float32) * np.float32(1 / (1 - p))).astype(x.dtype).view(np.uint16)


def is_nan(x):
    """As numpy.isnan, which warns of signalling NaNs."""
    with np.errstate(invalid="ignore"):
        return np.isnan(x)


def quiet(x):
    """The bits of x with the first bit of the fraction set."""
    bits = unsigned(x.dtype)
    return x.view(bits) | bits.type(1 << (ml_dtypes.finfo(x.dtype).nmant - 1))


# --- Every value of 16 bits -----------------------------------------------------------------------


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("dtype", HALVES)
def test_dropout_rounds_every_value_as_others_do(isa, dtype, p):
    x = EVERY.view(dtype)
    wanted = np.where(is_nan(x), quiet(x), scaled(x, p))
    seen = np.zeros(x.size, bool)
    for stream in range(12):
        mask = fastdrop.Mask(x.size, p, seed=0, stream=stream)
        keep = mask.to_numpy()
        assert np.array_equal(mask.apply(x).view(np.uint16), np.where(keep, wanted, 0))
        seen |= keep
    if p <= 0.25:
        assert seen.all()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("dtype", HALVES)
def test_alpha_and_gaussian_dropout_round_every_value_as_others_do(isa, dtype, p):
    """Forward and backward: each step in float32, and one conversion."""
    x, one = EVERY.view(dtype), np.float32(1)
    y, mask = fastdrop.alpha_dropout(x, p, rng=0)
    dx = fastdrop.alpha_dropout_backward(x, mask)
    noisy, noise = fastdrop.gaussian_dropout(x, p, rng=0)
    a, b, dropped = map(np.float32, reference.affine(p))
    z = reference.normals(np.arange(x.size), key=noise.key)
    keep = mask.to_numpy()
    with np.errstate(all="ignore"):
        wide = x.astype(np.float32)
        affine, linear = np.where(keep, wide * a + b, dropped), np.where(keep, wide * a, np.float32(0))
        product = wide * (one + np.float32(noise.standard_deviation) * z)
        for got, result, nan in ((y, affine, keep), (dx, linear, keep), (noisy, product, True)):
            wanted = np.where(is_nan(x) & nan, quiet(x), result.astype(dtype).view(np.uint16))
            assert np.array_equal(got.view(np.uint16), wanted)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", WITH_INPUTS)
def test_every_operation_does_to_every_value_what_the_reference_does(isa, name, dtype):
    operation, (mask, slow) = WITH_INPUTS[name], twins(EVERY.size)
    inputs = [EVERY.view(dtype), *operation.inputs(EVERY.shape, dtype)[1:]]
    assert same_bytes(operation.call(mask, inputs), operation.reference(slow, inputs))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_does_to_every_value_what_the_reference_does(isa, name, dtype):
    x = EVERY.view(dtype)
    for p in PROBABILITIES:
        y, _ = getattr(fastdrop, name)(x, p, rng=SEED)
        assert same_bytes(y, getattr(reference, name)(x, p, rng=SEED)[0]), p


@pytest.mark.parametrize("factor", [1.0, 1.0625, 1.5, 4 / 3, 1e-3, 2.0**-20, 2.0**-40, -3.0, 1e30])
@pytest.mark.parametrize("dtype", HALVES)
def test_the_reference_rounds_as_others_do(dtype, factor):
    """Also into the subnormal numbers, where no scale of a dropout leads."""
    x = EVERY.view(dtype)
    with np.errstate(all="ignore"):
        other = (x.astype(np.float32) * np.float32(factor)).astype(x.dtype)
        ours = reference.scaled(x, np.float32(factor))
    assert ours.dtype == x.dtype
    number = ~is_nan(x)
    assert np.array_equal(ours.view(np.uint16)[number], other.view(np.uint16)[number])
    assert np.array_equal(is_nan(ours), is_nan(x))


@pytest.mark.parametrize("dtype", HALVES)
def test_the_reference_rounds_no_nan_to_a_number(dtype):
    """Its lower half may be all ones, where parameters are of float32."""
    assert is_nan(reference.rounded(nans("float32"), np.dtype(dtype))).all()


# --- The ends of p --------------------------------------------------------------------------------


def every_value(dtype):
    """Every value of 16 bits; of the others special ones, and NaNs, which are what arithmetic changes."""
    return EVERY.view(dtype) if dtype in HALVES else special_values(1000, dtype)


def results(function, x, p):
    """The result in a new array, in `out` and in place, and what was drawn."""
    out, in_place = np.full_like(x, 7), x.copy()
    y, drawn = function(x, p, rng=0)
    function(x, p, rng=0, out=out)
    function(in_place, p, rng=0, out=in_place)
    return [y, out, in_place], drawn


# Gaussian dropout has no p of 1.
ENDS = [
    (fastdrop.dropout, fastdrop.dropout_backward, [0.0, 1.0]),
    (fastdrop.alpha_dropout, fastdrop.alpha_dropout_backward, [0.0, 1.0]),
    (fastdrop.gaussian_dropout, fastdrop.gaussian_dropout_backward, [0.0]),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("forward", "backward", "ends"), ENDS)
def test_p_zero_copies_bits_and_p_one_gives_positive_zero(isa, forward, backward, ends, dtype):
    """In both passes."""
    x = every_value(dtype)
    for p in ends:
        ys, drawn = results(forward, x, p)
        wanted = np.zeros_like(x) if p else x
        assert all(same_bytes(y, wanted) for y in [*ys, backward(x, drawn)]), p


# --- NaNs, infinities, zeros ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_nan_keeps_its_sign_and_fraction_and_becomes_quiet(isa, dtype):
    """Where it is kept; a dropped one becomes 0."""
    x = np.resize(nans(dtype), 1000)
    mask, slow = twins(x.size)
    wanted = np.where(slow.to_numpy(), quiet(x), 0).astype(unsigned(dtype)).view(dtype)
    assert same_bytes(mask.apply(x), wanted)
    assert same_bytes(slow.apply(x), wanted)


def test_gaussian_dropout_selects_nothing(isa):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0] * 40, np.float32)
    y = fastdrop.GaussianNoise(200, 0.01, seed=0).apply(x)  # factors are positive: ten deviations from 0
    np.testing.assert_array_equal(y, x)
    assert (np.signbit(y) == np.signbit(x))[x == 0].all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinity_times_zero_is_the_nan_that_arithmetic_makes(isa, dtype):
    """Whatever its bits are here: also when it is rounded to 16 of them."""
    z = reference.normals(np.arange(100), key=reference.key_from(0))
    p = 1 / (1 + float(z[z < 0][0]) ** 2)  # so that s z = -1
    x = np.full(100, np.inf, dtype)
    y, _ = fastdrop.gaussian_dropout(x, p, rng=0)
    assert same_bytes(y, reference.gaussian_dropout(x, p, rng=0)[0])
    if dtype != "float64":  # whose s z is not rounded as much
        assert np.isnan(y).any()


# --- Dtypes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_do_not_depend_on_the_dtype(isa, generator, dtype):
    mask = fastdrop.Mask((77, 131), 0.4, seed=3, generator=generator)
    assert np.array_equal(mask.apply(np.ones(mask.shape, dtype)) != 0, mask.to_numpy())


def test_ml_dtypes_is_not_imported():
    code = "import sys, numpy, fastdrop; fastdrop.dropout(numpy.ones(3, 'f2'))"
    assert run(f"{code}; print('ml_dtypes' in sys.modules)") == "False"
