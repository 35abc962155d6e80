# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian dropout: its numbers, its streams, its noise as a value, its mean and variance, its refusals."""

import math

import numpy as np
import pytest
from scipy import stats

import fastdrop
from arrays import same_bytes
from copies import copies
from fastdrop import reference
from refusal import refuse
from tails import FALSE_ALARM


def test_instruction_sets_and_dtypes_have_the_same_normal_numbers(isa):
    """At p = 1/2 the float64 factor is exactly 1 + z, and the float32 one that, rounded."""
    noise = fastdrop.GaussianNoise(10_000, 0.5, seed=1)
    z = reference.normals(np.arange(10_000), key=noise.key)
    double = noise.apply(np.ones(10_000))
    np.testing.assert_array_equal(double, 1 + z.astype(np.float64))
    np.testing.assert_array_equal(noise.to_numpy(), double.astype(np.float32))


def test_a_generator_hands_out_its_next_stream():
    masks, x = fastdrop.MaskGenerator(0), np.ones(100, np.float32)
    first, noise = fastdrop.gaussian_dropout(x, 0.5, rng=masks)
    second, other = fastdrop.gaussian_dropout(x, 0.5, rng=masks)
    assert (noise.stream, other.stream) == (0, 1)
    assert not (first == second).any()
    assert same_bytes(first, reference.gaussian_dropout(x, 0.5, rng=0)[0])
    assert noise == fastdrop.GaussianNoise(100, 0.5, seed=0)
    assert noise.generator == masks.generator
    assert fastdrop.gaussian_dropout(x, rng=7)[1] == fastdrop.gaussian_dropout(x, rng=7)[1]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_mean_and_variance_are_those_of_dropout(p):
    """Keras: N(1, p / (1 - p)). A sum of such numbers is normal, and the sum of their squares chi-square."""
    n, deviation = 2**20, math.sqrt(p / (1 - p))
    y, noise = fastdrop.gaussian_dropout(np.ones(n), p, rng=20140601)
    z = (y - 1) / deviation
    assert noise.standard_deviation == deviation
    assert abs(z.sum()) / math.sqrt(n) < stats.norm.isf(FALSE_ALARM)
    assert stats.chi2(n).ppf(FALSE_ALARM) < (z**2).sum() < stats.chi2(n).isf(FALSE_ALARM)


def test_noise_is_a_value():
    noise = fastdrop.GaussianNoise((3, 4), 0.25, seed=1, stream=5, generator="philox4x32-10")
    same = fastdrop.GaussianNoise((3, 4), 0.25, seed=1, stream=5, generator="philox4x32-10")
    assert (noise == same, hash(noise) == hash(same)) == (True, True)
    assert noise != fastdrop.GaussianNoise((3, 4), 0.25, seed=1, stream=6, generator="philox4x32-10")
    assert noise != fastdrop.Mask((3, 4), 0.25, seed=1, stream=5, generator="philox4x32-10")
    assert all(other == noise for other in copies(noise))
    assert (noise.shape, noise.ndim, noise.size, noise.p, noise.stream) == ((3, 4), 2, 12, 0.25, 5)
    assert noise.key == fastdrop.Mask(1, seed=1).key
    assert "GaussianNoise shape=(3, 4), p=0.25" in repr(noise)


def test_evaluation_returns_x_and_noise_that_changes_nothing():
    x = np.ones(3)
    y, noise = fastdrop.gaussian_dropout(x, training=False)
    assert y is x
    assert same_bytes(fastdrop.gaussian_dropout_backward(x, noise), x)
    y, _ = fastdrop.gaussian_dropout(x, training=False, out=np.zeros(3))
    assert same_bytes(y, x)


def test_a_layer_has_the_noise_of_its_last_forward_pass():
    layer, x = fastdrop.GaussianDropout(0.3, rng=0), np.ones(50, np.float32)
    assert layer.noise is None
    y = layer(x)
    assert same_bytes(layer.noise.to_numpy(), y)
    assert same_bytes(layer.backward(x), y)
    assert not (layer(x) == y).any()


X = np.ones(4, np.float32)
REFUSED = {
    "p = 1": (lambda: fastdrop.gaussian_dropout(X, 1.0), ValueError, "p must be less than 1", "p / (1 - p)"),
    "p = 1 of noise": (lambda: fastdrop.GaussianNoise(4, 1), ValueError, "p must be less than 1"),
    "p = 1 of a layer": (lambda: fastdrop.GaussianDropout(1.0), ValueError, "p must be less than 1"),
    "p = 1 set later": (
        lambda: setattr(fastdrop.GaussianDropout(), "p", 1.0), ValueError, "p must be less than 1",
    ),
    "p = 1 of a state": (
        lambda: (layer := fastdrop.GaussianDropout()).load_state_dict(layer.state_dict() | {"p": 1.0}),
        ValueError, "p must be less than 1",
    ),
    "p that varies": (
        lambda: fastdrop.GaussianNoise(4, np.full(4, 0.5)), TypeError, "p must be one real number",
    ),
    "p": (lambda: fastdrop.gaussian_dropout(X, "0.5"), TypeError, "p must be a real number"),
    "x": (lambda: fastdrop.gaussian_dropout([1, 2]), TypeError, "x must be an array of", "int64"),
    "noise": (
        lambda: fastdrop.gaussian_dropout_backward(X, fastdrop.Mask(4, 0.5, seed=0)),
        TypeError, "noise must be", "GaussianNoise", "Mask",
    ),
    "dy": (
        lambda: fastdrop.GaussianDropout().backward(), TypeError, "GaussianDropout.backward() missing",
    ),
    "backward": (lambda: fastdrop.GaussianDropout().backward(X), ValueError, "backward needs"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_gaussian_dropout_refuses(name):
    refuse(*REFUSED[name])


def test_an_out_that_is_refused_stays_as_it_was():
    out = np.ones(5, np.float32)
    refuse(lambda: fastdrop.gaussian_dropout(X, out=out), ValueError, "out must have the shape of x")
    assert (out == 1).all()
