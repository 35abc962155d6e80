# SPDX-License-Identifier: BSD-3-Clause
"""Softmax against exact values, its gradients against differences: bounds follow from the steps."""

import math

import ml_dtypes
import mpmath as mp
import numpy as np
import pytest

import fastdrop
from arrays import DTYPES, same_bytes
from bounded import Bounded
from fastdrop import _core, reference
from fastdrop.mask import state_and_scale
from fastdrop.reference.functions import raised_exponential_to_zero
from softmax_formulas import EXPONENTIAL_UNITS, Softmax, dropped, row_sum, through_softmax

SCALE = 0.375
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def normal(seed, dtype, shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# --- e^x and ln x -----------------------------------------------------------------------------------------


def units(exact, result, dtype):
    """By how many units of the exact value's last place a result is off; both are mpmath's."""
    unit = mp.ldexp(1, mp.frexp(exact)[1] - 1 - np.finfo(dtype).nmant)
    return abs(result - exact) / unit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_raised_powers_are_off_by_less_than_two_units(dtype):
    """Powers of e up to 1, which are times 2^64 or 2^512."""
    raised, low = (64, -104) if dtype == np.float32 else (512, -746)
    random = np.random.default_rng(1)
    x = np.concatenate([random.uniform(reach, 0, 500) for reach in (-1, -5, -20, low)]).astype(dtype)
    x = np.concatenate([x, -np.ldexp(1, -np.arange(60)).astype(dtype), np.zeros(1, dtype)])
    worst = 0
    with mp.workprec(150):
        for value, result in zip(x.tolist(), raised_exponential_to_zero(x).tolist(), strict=True):
            worst = max(worst, units(mp.exp(mp.mpf(value)) * 2**raised, mp.mpf(result), dtype))
    assert 0.5 < worst < 1.3 < EXPONENTIAL_UNITS


def test_powers_of_what_is_no_power():
    for dtype in (np.float32, np.float64):
        x = np.array([0.0, -0.0, -np.inf, -1e30, np.nan], dtype)
        raised = 2.0**64 if dtype == np.float32 else 2.0**512
        powers = raised_exponential_to_zero(x)
        assert powers[:2].tolist() == [raised] * 2
        assert np.isnan(powers[4])
        # What is below every number is below every raised one. It is lost beside the largest power.
        assert (powers[2:4] < raised * float(np.finfo(dtype).smallest_subnormal)).all()


def test_a_logarithm_is_off_by_less_than_two_units():
    random = np.random.default_rng(2)
    x = np.concatenate(
        [
            np.exp2(random.uniform(0, 60, 2000)),
            1 + np.exp2(random.uniform(-52, 0, 1000)),
            np.nextafter(2.0 ** np.arange(61), 0)[1:],
            2.0 ** np.arange(61),
            np.sqrt(0.5) * 2.0 ** np.arange(1, 60),
            random.integers(1, 2**20, 500).astype(float),
        ]
    )
    assert x.min() == 1
    with mp.workprec(150):
        for value, result in zip(x.tolist(), reference.natural_logarithm(x).tolist(), strict=True):
            exact = mp.log(mp.mpf(value))
            assert result == 0 if value == 1 else units(exact, mp.mpf(result), np.float64) < 2, value
    assert np.isnan(reference.natural_logarithm(np.array([np.nan]))).all()


# --- Weights ------------------------------------------------------------------------------------------------

SHAPES = [(3, 1), (4, 7), (2, 5, 40), (2, 3, 1000)]


def case(dtype, shape, spread):
    """Scores, what is added, and who is seen: some of every row."""
    scores, added = (spread * normal(0, "float64", shape)).astype(dtype), normal(1, dtype, shape)
    seen = normal(2, "float64", shape) > -0.5
    seen[..., 0] = True
    return scores, np.where(seen, added, added.dtype.type(-np.inf)), seen


@every_dtype
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_weights_and_results(shape, spread, dtype):
    scores, added, seen = case(dtype, shape, spread)
    own = reference.computed_with(dtype)
    mask = fastdrop.Mask(shape, 0.25, seed=3)
    state, drop_scale = state_and_scale(mask)
    for mask_given, visible in ((None, np.ones(shape, bool)), (added, seen)):
        wide = None if mask_given is None else mask_given.astype(own)
        exact = Softmax(Bounded(scores.astype(own), own), SCALE, wide, visible)
        arguments = (scores, mask_given, None, None, None, drop_scale, SCALE, math.inf)
        y, weights, lse = _core.run("softmax_dropout", state, *arguments)
        exact.weights.check(weights)
        dropped(exact.weights, mask.to_numpy(), drop_scale).check(y)
        # The shift and the logarithm are added in float64.
        logarithm = exact.logarithm()
        wanted = exact.shift + logarithm.value
        bound = logarithm.error + np.finfo(own).eps * (abs(wanted) + logarithm.error)
        assert (abs(lse - wanted[..., 0]) <= bound[..., 0]).all()
        ours, _ = fastdrop.softmax_dropout(scores, scale=SCALE, attn_mask=mask_given, mask=mask)
        assert same_bytes(ours, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 1000, 50_000])
def test_weights_add_up_to_one(length, dtype):
    """In exact arithmetic they are off by what their sum, one division and the products are."""
    weights = fastdrop.softmax(normal(0, dtype, (3, length)))
    unit = float(np.finfo(dtype).eps) / 2
    bound = 1.001 * (math.ceil(length / 32) + 5 + 2) * unit
    assert max(abs(math.fsum(row.tolist()) - 1) for row in weights) <= bound


@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logarithms(shape, dtype):
    x, own = 3 * normal(0, dtype, shape), reference.computed_with(dtype)
    x = x.astype(dtype)
    exact = Softmax(Bounded(x.astype(own), own), 1.0, None, np.ones(shape, bool))
    y = Bounded(x.astype(own), own) - exact.shift - exact.logarithm()
    y.check(fastdrop.log_softmax(x))


def test_no_score_is_too_large():
    for dtype in DTYPES:
        largest = np.array(np.finfo(np.float16).max if dtype == "float16" else 3e38, dtype)
        x = np.array([[largest, largest, -largest], [-largest, -largest, -largest]], dtype)
        wanted = np.array([[0.5, 0.5, 0], [1 / 3] * 3])
        # A third is rounded twice: as a division of 1, and as the product with the power.
        unit = 2.0**-53 if dtype == "float64" else 2.0**-24
        short = float(ml_dtypes.finfo(dtype).eps) / 2 if np.dtype(dtype).itemsize == 2 else 0
        assert (abs(fastdrop.softmax(x).astype(float) - wanted) <= wanted * (4 * unit + short)).all()
        y = fastdrop.log_softmax(x).astype(float)
        assert np.isfinite(y[1]).all()
        assert y[0, 2] < -6e4


# --- Gradients ----------------------------------------------------------------------------------------------

SHAPE = 6, 37


@every_dtype
def test_gradients_are_those_of_the_formula(dtype):
    own = reference.computed_with(dtype)
    mask = fastdrop.Mask(SHAPE, 0.25, seed=3)
    scores, dy = normal(0, dtype, SHAPE), normal(1, dtype, SHAPE)
    _, saved = fastdrop.softmax_dropout(scores, scale=SCALE, mask=mask)
    weights = Bounded(saved.weights.astype(own), own)
    gradient = dropped(Bounded(dy.astype(own), own), mask.to_numpy(), 1 / 0.75)
    exact = through_softmax(gradient, weights, SCALE)
    exact.check(fastdrop.softmax_dropout_backward(dy, saved))

    y = fastdrop.log_softmax(scores)
    wide = Bounded(y.astype(own), own)
    powers = wide.apply(np.exp, 1.0, EXPONENTIAL_UNITS)
    given = Bounded(dy.astype(own), own)
    (given - powers * row_sum(given)).check(fastdrop.log_softmax_backward(dy, y))


STEP = 2.0**-17


def multiples(seed):
    """Normal numbers, rounded to multiples of 2^-20, which steps keep exact."""
    return np.round(np.random.default_rng(seed).standard_normal(SHAPE) * 2**20) / 2**20


def directions():
    rng = np.random.default_rng(99)
    return [rng.integers(-8, 9, SHAPE) / 8 for _ in range(3)]


def third_derivative(dy, along):
    """A bound along a direction d of the third derivative of ``sum(dy * softmax)``, and of log_softmax's.

    Let m be the mean of d by the weights P, and D the largest |d|. Derivatives of m are the central moments
    of d by P: m' <= D^2, and |m''| <= 2 D m'. That of P is P (d - m), so that the third one is P ((d - m)^3 -
    3 (d - m) m' - m''), at most (8 + 6 + 2) D^3 P. That of ln P is -m''.
    """
    return 16 * abs(along).max(-1) ** 3 * abs(dy).max(-1), 2 * abs(along).max(-1) ** 3 * abs(dy).sum(-1)


def judge(function, x, dy, gradient, error, rounding, third):
    """A difference is the slope, but for h^3 / 3 times the third derivative (test_fused_gradients.py)."""
    for direction in directions():
        ends = [function(x + sign * STEP * direction).astype(np.longdouble) for sign in (-1, 1)]
        slope = (gradient.astype(np.longdouble) * direction).sum()
        truncation = STEP**3 / 3 * third(direction).sum()
        bound = 2 * rounding + 2 * STEP * (error * abs(direction)).sum() + truncation
        assert abs(((ends[1] - ends[0]) * dy).sum() - 2 * STEP * slope) <= bound
        assert bound <= 2 * STEP * 1e-6 * (abs(gradient) * abs(direction)).sum()  # the bound says something


@pytest.mark.parametrize("is_masked", [False, True])
def test_the_gradient_of_softmax_dropout_is_its_slope(is_masked):
    x, dy, mask = multiples(0), multiples(1), fastdrop.Mask(SHAPE, 0.5, seed=1)
    seen = np.tril(np.ones(SHAPE, bool)) if is_masked else np.ones(SHAPE, bool)
    options = {"scale": SCALE, "mask": mask, "is_causal": is_masked}
    _, saved = fastdrop.softmax_dropout(x, **options)
    gradient = fastdrop.softmax_dropout_backward(dy, saved)
    exact = Softmax(Bounded(x, "float64"), SCALE, None, seen)
    through = dropped(Bounded(dy, "float64"), mask.to_numpy(), 2.0)
    error = through_softmax(through, exact.weights, SCALE).error
    # At both ends weights are within e^(2 h) of those in the middle, and so is their bound.
    rounding = 1.001 * (dropped(exact.weights, mask.to_numpy(), 2.0).error * abs(dy)).sum()

    def third(direction):
        return third_derivative(2 * dy, SCALE * direction)[0]

    judge(lambda x: fastdrop.softmax_dropout(x, **options)[0], x, dy, gradient, error, rounding, third)
    assert (gradient[~seen] == 0).all()


def test_the_gradient_of_log_softmax_is_its_slope():
    x, dy = multiples(0), multiples(1)
    y = fastdrop.log_softmax(x)
    gradient = fastdrop.log_softmax_backward(dy, y)
    exact = Softmax(Bounded(x, "float64"), 1.0, None, np.ones(SHAPE, bool))
    result = Bounded(x, "float64") - exact.shift - exact.logarithm()
    powers = result.apply(np.exp, 1.0, EXPONENTIAL_UNITS)
    error = (Bounded(dy, "float64") - powers * row_sum(Bounded(dy, "float64"))).error
    rounding = 1.01 * (result.error * abs(dy)).sum()
    judge(fastdrop.log_softmax, x, dy, gradient, error, rounding, lambda d: third_derivative(dy, d)[1])
