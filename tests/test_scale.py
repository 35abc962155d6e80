# SPDX-License-Identifier: BSD-3-Clause
"""The scale, judged by exact fractions: no step of the judge is a computation with floats."""

import fractions
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdrop
from arrays import DTYPES

Fraction = fractions.Fraction
UNIT = Fraction(1, 2**53)  # how far a double may be from what it was rounded from, relatively


def nearest(value, dtype):
    """The number of a dtype that is nearest to a fraction of at least 0; of two the one that is even."""
    info = ml_dtypes.finfo(dtype)
    exponent = value.numerator.bit_length() - value.denominator.bit_length()  # or one less
    exponent = max(exponent - (Fraction(2) ** exponent > value), int(info.minexp))
    place = Fraction(2) ** (exponent - int(info.nmant))
    rounded = round(value / place) * place  # round() of a fraction rounds a half to even
    return math.inf if rounded > Fraction(float(info.max)) else rounded


def test_the_judge_rounds_as_the_standard_says():
    """IEEE 754, section 4.3.1: to nearest, ties to even, from subnormal numbers to infinity."""
    for value, dtype, wanted in [
        (Fraction(1) + UNIT, "float64", 1),
        (Fraction(1) + 3 * UNIT, "float64", 1 + 4 * UNIT),
        (Fraction(1) + UNIT + UNIT**9, "float64", 1 + 2 * UNIT),
        (Fraction(2049), "float16", 2048),
        (Fraction(2051), "float16", 2052),
        (Fraction(65519), "float16", 65504),
        (Fraction(65520), "float16", math.inf),
        (Fraction(3, 2**25), "float16", Fraction(4, 2**25)),
        (Fraction(257, 256), ml_dtypes.bfloat16, 1),
        (Fraction(1, 2**1075), "float64", 0),
    ]:
        assert nearest(value, dtype) == wanted, (value, dtype)


HARD = [0.1, 0.2, 0.3, 1 / 3, 0.5, 0.9, 0.99, 1e-3, 1e-8, 2.0**-24, 2.0**-53, 2.0**-54, 1 - 2.0**-53, 0.0]
probabilities = st.sampled_from(HARD) | st.floats(0, 1, exclude_max=True)


@given(probabilities)
def test_the_scale_of_p_is_1_over_1_minus_p_in_double_precision(p):
    """Each of the two operations is rounded once, which is what double precision means."""
    keep = nearest(1 - Fraction(p), "float64")
    scale = fastdrop.Mask(3, p, seed=0).scale
    assert scale == nearest(1 / keep, "float64")
    exact = 1 / (1 - Fraction(p))
    # (1 + d) / (1 + e) with |d|, |e| <= 2^-53: within 2 of these, and their square, of the quotient.
    assert abs(Fraction(scale) - exact) <= (2 * UNIT + 2 * UNIT**2) * exact
    if 1 - Fraction(p) == keep:
        assert scale == nearest(exact, "float64")


@given(st.floats(2.0**-1022, 1))
def test_the_scale_of_keep_prob_is_1_over_it_rounded_once(keep_prob):
    mask = fastdrop.Mask(3, keep_prob=keep_prob, seed=0)
    assert mask.scale == nearest(1 / Fraction(keep_prob), "float64")


COMPUTED_WITH = {"float16": "float32", ml_dtypes.bfloat16: "float32", "float32": "float32"}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(p=probabilities, x=st.lists(st.floats(2.0**-10, 2.0**10), min_size=1, max_size=9))
def test_what_is_kept_is_the_product_with_the_rounded_scale_rounded_once(dtype, p, x):
    """Also of 16 bits, which are multiplied as float32: then the product is rounded twice."""
    values = np.array(x, dtype)
    with np.errstate(over="ignore"):
        kept = fastdrop.Mask.from_array(np.ones(values.shape, bool), p=p).apply(values)
    scale = nearest(1 / nearest(1 - Fraction(p), "float64"), "float64")
    computed = COMPUTED_WITH.get(dtype, "float64")
    factor = nearest(scale, computed)
    for value, result in zip(values, kept, strict=True):
        product = nearest(Fraction(float(value)) * factor, computed)
        assert float(result) == (product if product == math.inf else nearest(product, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_way_to_say_p_has_that_scale(dtype):
    """The fast way of the core, an array of p, and a window of it."""
    ones, p = np.ones(2000, dtype), 0.3
    computed = COMPUTED_WITH.get(dtype, "float64")
    factor = nearest(nearest(1 / nearest(1 - Fraction(p), "float64"), "float64"), computed)
    wanted = float(nearest(factor, dtype))
    rates = np.full(2000, p)
    rates[0] = 0.25
    for y in (
        fastdrop.dropout(ones, p, rng=fastdrop.MaskGenerator(0))[0],
        fastdrop.dropout(ones, p, rng=0)[0],
        fastdrop.dropout(ones, rates, rng=0)[0][1:],
        fastdrop.Mask(2000, rates, seed=0)[1:].apply(ones[1:]),
        fastdrop.Dropout(p, rng=0)(ones),
    ):
        assert set(y.astype(np.float64).tolist()) == {0.0, wanted}
