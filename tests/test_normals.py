# SPDX-License-Identifier: BSD-3-Clause
"""The normal numbers of Gaussian noise: their arithmetic against exact functions, and their statistics.

Of each statistic, what counts is a two-sided tail probability, as in test_statistics.py: it fails below
``FALSE_ALARM = 1e-9``, and there are fewer than 200 of them. Each check is also fed numbers with a fault.
"""

import math

import numpy as np
import pytest
from numpy.polynomial import Chebyshev, Polynomial

import fastdrop
from fastdrop import reference
from noise_checks import cells, correlation, distance, lags, moments, squared_distance, tails
from tails import FALSE_ALARM

H = 2.0**-24  # the most that one rounding to float32 is off, relatively
SEED = 19580601  # Box and Muller's note; not changed since the first run

HALF_PI = math.pi / 2
LOW, HIGH = math.sqrt(0.5) - 1, math.sqrt(2) - 1
POLYNOMIALS = {  # the function, its interval, what L, P and Q may be off, whether relatively
    "LOGARITHM": (lambda t: -2 * np.log1p(t) / t, LOW, HIGH, 3.6 * H, True),
    "SINE": (lambda s: np.sin(HALF_PI * np.sqrt(s)) / np.sqrt(s), 0, 1, 1.0 * H, False),
    "COSINE": (lambda s: np.cos(HALF_PI * np.sqrt(s)), 0, 1, 1.9 * H, False),
}


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_coefficients_are_those_of_the_document(name):
    """Derived again: interpolation at the Chebyshev nodes, as powers, rounded to float32."""
    function, low, high, bound, relative = POLYNOMIALS[name]
    given = [float(coefficient) for coefficient in getattr(reference, name)]
    exact = Chebyshev.interpolate(function, len(given) - 1, domain=[low, high]).convert(kind=Polynomial)
    assert [float(np.float32(coefficient)) for coefficient in exact.coef] == given
    x = np.linspace(low, high, 1_000_001)
    x = x[np.abs(x) > 1e-9]
    wanted = function(x)
    off = np.abs(Polynomial(given)(x) - wanted)
    assert (off / np.abs(wanted) if relative else off).max() < bound


def edge_words():
    """Powers of two and their neighbours, the ends, and where the radius changes its exponent."""
    powers = [2**k + d for k in range(33) for d in (-65, -64, -2, -1, 0, 1, 2, 64)]
    root = [int(2**k * math.sqrt(0.5)) + d for k in range(8, 33) for d in range(-300, 300)]
    words = [word for word in [*powers, *root] if 0 <= word < 2**32]
    return np.array(words, np.uint32)


def many_words():
    random = np.random.default_rng(SEED).integers(0, 2**32, 2**21, np.uint32)
    return np.concatenate([edge_words(), random])


def uniform(word):
    """The uniform number of the radius as the document rounds it, exactly."""
    return ((word >> 1) | 1).astype(np.float32).astype(np.float64) / 2**31


def angle(word):
    """The angle in quarters of a turn as the document rounds it, exactly: half turns included."""
    y = ((word << np.uint32(1)) | np.uint32(1)).view(np.int32).astype(np.float32).astype(np.float64) / 2**31
    return y


def test_the_radius_is_that_of_the_logarithm():
    words = many_words()
    wanted = np.sqrt(-2 * np.log(uniform(words)))
    got = reference.radius(words)
    assert got.dtype == np.float32
    assert (np.abs(got - wanted) <= 7 * H * wanted).all()
    assert wanted.max() == pytest.approx(math.sqrt(62 * math.log(2)))  # 6.56


def test_sine_and_cosine_are_right_to_seven_roundings():
    y = reference.quarter_turns(many_words())
    np.testing.assert_array_equal(y, angle(many_words()))
    assert np.abs(y).max() <= 1
    assert (np.abs(reference.sine(y) - np.sin(HALF_PI * y.astype(float))) < 6 * H).all()
    assert (np.abs(reference.cosine(y) - np.cos(HALF_PI * y.astype(float))) < 7 * H).all()


def element_words(count, key, stream, generator):
    """Section 7, steps 1 and 2, written out: one row (v, w) for each pair of partners, and their indices."""
    counter = np.zeros((count // 4, 4), np.uint32)
    counter[:, 0] = np.arange(count // 4)
    counter[:, 1] = 2**31
    counter[:, 2:] = stream % 2**32, stream >> 32
    words = reference.GENERATORS[generator](counter, key).reshape(-1)
    first = np.arange(count).reshape(-1, 2, 16)
    return words[first[:, 0]].ravel(), words[first[:, 1]].ravel(), first[:, 0].ravel(), first[:, 1].ravel()


def test_numbers_are_those_of_box_and_muller(generator):
    """In double, from the words alone."""
    key, stream, count = reference.key_from(SEED), 2**33 + 7, 2**16
    v, w, first, second = element_words(count, key, stream, generator)
    got = reference.normals(np.arange(count), key=key, stream=stream, generator=generator)
    r, turn = np.sqrt(-2 * np.log(uniform(v))), HALF_PI * (angle(w) + 2 * (w >> 31))
    # Half a turn changes both signs of an angle; the document leaves the sine's as it is.
    sine = np.where(w >> 31, -1, 1) * np.sin(turn)
    assert (np.abs(got[first] - r * np.cos(turn)) <= 15 * H * r).all()
    assert (np.abs(got[second] - r * sine) <= 15 * H * r).all()


def test_no_counter_is_that_of_a_mask():
    """Lower halves: masks below 2^60 or, with bit 127, anything; noise from 2^63 on, without bit 127."""
    last = np.array([2**63 - 1], np.uint64)
    mask, tie = reference.counter_from(last >> np.uint64(3), 5, 0), reference.counter_from(last, 5, 1)
    noise = reference.counter_from(last >> np.uint64(2) | np.uint64(2**63), 2**63 - 1, 0)
    assert mask[0, 1] < 2**28
    assert tie[0, 3] >> 31 == 1
    assert (noise[0, 1] >> 31, noise[0, 3] >> 31) == (1, 0)


# --- Statistics -----------------------------------------------------------------------------------

SIZE = 2**22


@pytest.fixture(scope="module", params=sorted(reference.GENERATORS))
def numbers(request):
    """The normal numbers of the compiled core: factors 1 + z at p = 1/2 in float64, exactly less 1."""

    def draw(seed=SEED, stream=0, size=SIZE):
        noise = fastdrop.GaussianNoise(size, 0.5, seed=seed, stream=stream, generator=request.param)
        return noise.apply(np.ones(size)) - 1

    return draw


CHECKS = {
    "moments": moments,
    "distance": distance,
    "squared distance": squared_distance,
    "cells": cells,
    "tails": tails,
    "lags": lags,
}


# The bits are pinned by quick tests; statistics can change with the definition only.
@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_numbers_are_normal(numbers, check):
    assert min(check(numbers())) >= FALSE_ALARM


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"seed": SEED + 1}, {"stream": 1}, {"stream": 2**32}, {"stream": 2**62}])
def test_noise_of_other_seeds_and_streams_is_a_stranger(numbers, other):
    assert min(correlation(numbers(), numbers(**other))) >= FALSE_ALARM


@pytest.mark.slow
def test_noise_and_mask_of_the_same_numbers_are_strangers(numbers):
    """The same key and stream for both: the mean of z where the mask keeps is 0, its mean square 1."""
    kept = numbers()[fastdrop.Mask(SIZE, 0.5, seed=SEED).to_numpy()]
    assert min(moments(kept)) >= FALSE_ALARM


def honest(size=2**20):
    return np.random.default_rng(SEED).standard_normal(size)


def partners_share_an_angle(z):
    z = z.reshape(-1, 2, 16).copy()
    z[:, 1] = np.abs(z[:, 1]) * np.sign(z[:, 0])
    return z.ravel()


def same_radius(z):
    """Box and Muller's pair without the square of one shrinking as the other's grows: |z| is shared."""
    z = z.reshape(-1, 2, 16).copy()
    z[:, 1] = np.abs(z[:, 0]) * np.sign(z[:, 1])
    return z.ravel()


FAULTS = {
    "a mean of 1/100, by moments": lambda: moments(honest() + 0.01),
    "1 % too wide, by moments": lambda: moments(honest() * 1.01),
    "a clipped tail, by tails": lambda: tails(np.clip(honest(2**22), -3.9, 3.9)),
    "twelve uniforms, by moments": lambda: moments(
        np.random.default_rng(SEED).random((12, 2**20)).sum(axis=0) - 6
    ),
    "twelve uniforms, by cells": lambda: cells(
        np.random.default_rng(SEED).random((12, 2**20)).sum(axis=0) - 6
    ),
    "a logistic distribution, by distance": lambda: distance(
        np.random.default_rng(SEED).logistic(0, math.sqrt(3) / math.pi, 2**18)
    ),
    "1 % too wide, by squared distance": lambda: squared_distance(honest() * 1.01),
    "shared signs, by lags": lambda: lags(partners_share_an_angle(honest())),
    "a shared radius, by lags": lambda: lags(same_radius(honest())),
    "the same stream, by correlation": lambda: correlation(honest(), honest()),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_caught(check):
    assert min(check()) < FALSE_ALARM
