# SPDX-License-Identifier: BSD-3-Clause
"""The scale against fractions: every step of it correctly rounded, for one p and for an array of them."""

from fractions import Fraction

import ml_dtypes
import numpy as np

import fastdrop

DTYPES = ["float16", ml_dtypes.bfloat16, "float32", "float64"]


def probabilities(random, count):
    """Numbers from 0 to 1 without 1: even ones, of all sizes, near 1, and those that people write."""
    parts = np.array_split(np.arange(count), 4)
    small = np.ldexp(random.random(parts[1].size), -random.integers(0, 70, parts[1].size))
    near_one = 1 - np.maximum(
        np.ldexp(random.random(parts[2].size), -random.integers(0, 53, parts[2].size)), 2.0**-53
    )
    written = random.integers(0, 1000, parts[3].size) / 1000
    return np.concatenate([random.random(parts[0].size), small, near_one, written])


def exact_scales(p):
    """``1 / (1 - p)`` in two correctly rounded steps, and the worst relative error as a share of its bound.

    From p = 0.5 on the difference is exact. Below, let x be the difference, from 0.5 to 1. It is off by 2^-54
    at most, and the quotient, from 1 to 2, by 2^-53. Relatively this is ``2^-54 / x + 2^-53 x``, which is
    largest at both ends: 1.5 * 2^-53, and the product of both errors.
    """
    scales, worst = [], 0.0
    for value in p.tolist():
        left = float(1 - Fraction(value))
        scale = float(1 / Fraction(left))
        off = abs(Fraction(scale) * (1 - Fraction(value)) - 1)
        scales.append(scale)
        worst = max(worst, float(off) * 2.0**53)
    return np.array(scales), worst / 1.5 * (1 - 2.0**-50)


def different_scales(random, count):
    """How many scales are not those of fractions, how many there were, and the worst share of the bound."""
    p = probabilities(random, count)
    wanted, worst = exact_scales(p)
    of_keep_prob = np.array([float(1 / Fraction(value)) for value in (1 - p).tolist()])
    different = 0
    for name, given, scales in (("p", p, wanted), ("keep_prob", 1 - p, of_keep_prob)):
        one_by_one = [fastdrop.Mask(1, seed=0, **{name: value}).scale for value in given.tolist()]
        mask = fastdrop.Mask(count, seed=0, **{name: given})
        different += int((one_by_one != scales).sum()) + int((mask.scale != scales).sum())
        different += different_results(mask, scales)
    return different, 2 * p.size, worst


def different_results(mask, scales):
    """What becomes of ones, which is the scale rounded to the dtype, or 0."""
    different, keep = 0, mask.to_numpy()
    for dtype in DTYPES:
        own = scales if dtype == "float64" else scales.astype(np.float32)
        with np.errstate(over="ignore"):
            wanted = np.where(keep, own, 0).astype(dtype)
        for isa in fastdrop.isas():
            with fastdrop.use_isa(isa):
                different += int((mask.apply(np.ones(mask.shape, dtype)) != wanted).sum())
    return different
