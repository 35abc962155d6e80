# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian dropout: equal to the reference bit for bit, linear, and the same from every side."""

import copy
import itertools
import math
import pickle

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import fastdrop
from fastdrop import reference
from fastdrop import reference as reference_noise
from floats import DTYPES, special_values
from refusal import refuse
from test_agreement import SIZES, STARTS, same_bytes, windows

PROBABILITIES = [0.0, 2.0**-64, 0.1, 0.5, 1.0 - 2.0**-53]


def expected(x, p, start, generator):
    noise = reference_noise.Noise(x.size, p, seed=3, stream=9, generator=generator)
    noise.index = noise.index + np.uint64(start)
    return noise.apply(x)


def noise_from(size, p, start, generator):
    return fastdrop.GaussianNoise(start + size, p, seed=3, stream=9, generator=generator)[start:]


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_size_and_start(isa, generator, dtype, p):
    for size in SIZES:
        x = special_values(size, dtype)
        for start in STARTS:
            noise, y = noise_from(size, p, start, generator), expected(x, p, start, generator)
            assert same_bytes(noise.apply(x), y), (size, start)
            out = np.full_like(x, 7)
            assert noise.apply(x, out=out) is out
            assert same_bytes(out, y), (size, start)
            in_place = x.copy()
            noise.apply(in_place, out=in_place)
            assert same_bytes(in_place, y), (size, start)


# ARS shares work between 256 counters, 1,024 elements, while byte 5 of the counter stays the same: it changes
# at multiples of 2^42 elements.
@pytest.mark.parametrize("origin", [0, 2**42 - 9 * 128, 2**42 - 40 * 128, 5 * 2**42 - 3, 2**63 - 2**14])
def test_groups_of_counters(isa, generator, origin):
    for first, tiles in itertools.product((0, 1, 6, 7, 8, 9, 16), (1, 2, 3, 7, 8, 9, 17, 40)):
        size, start = 128 * tiles + 7, origin + 128 * first
        x = np.ones(size, np.float32)
        y = expected(x, 0.5, start, generator)
        assert same_bytes(noise_from(size, 0.5, start, generator).apply(x), y), (first, tiles)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_matter(isa, dtype, count, threads):
    size = 2**21 + 77
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    noise = fastdrop.GaussianNoise(size + 13, 0.3, seed=5)[13:]
    cuts = [0, *range(1000, size, 100_003), size]
    y = np.concatenate([noise[a:b].apply(x[a:b]) for a, b in itertools.pairwise(cuts)])
    with threads(count):
        assert same_bytes(noise.apply(x), y)
        noise.apply(x, out=x)
    assert same_bytes(x, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_around_the_cache(isa, dtype):
    size = 2**25 // np.dtype(dtype).itemsize + 321
    x = np.ones(size, dtype)
    noise = fastdrop.GaussianNoise(size, 0.3, seed=5)
    out = np.full(size + 4, 7, dtype)
    for shift in (0, 1, 4):
        part = out[shift : shift + size]
        noise.apply(x, out=part)
        assert all(same_bytes(part[a : a + 999], noise[a : a + 999].apply(x[:999])) for a in (0, size - 999))
        assert same_bytes(part, noise.apply(x.copy(), out=x.copy()))
        assert (out[:shift] == 7).all()
        assert (out[shift + size :] == 7).all()
        out[:] = 7


@given(windows(), st.sampled_from([0.1, 0.5]))
def test_windows_are_the_numbers_of_the_whole(isa, shape_and_chain, p):
    shape, chain = shape_and_chain
    noise, slow = fastdrop.GaussianNoise(shape, p, seed=8), reference_noise.Noise(shape, p, seed=8)
    for index in chain:
        noise, slow = noise[index], slow[index]
    x = special_values(slow.index.size, np.float32).reshape(slow.index.shape)
    assert noise.shape == x.shape
    assert same_bytes(noise.apply(x), np.asarray(slow.apply(x)))


def test_instruction_sets_and_dtypes_have_the_same_normal_numbers(isa):
    """At p = 1/2 the float64 factor is exactly 1 + z, and the float32 one that, rounded."""
    noise = fastdrop.GaussianNoise(10_000, 0.5, seed=1)
    z = reference_noise.normals(np.arange(10_000), key=noise.key)
    double = noise.apply(np.ones(10_000))
    np.testing.assert_array_equal(double, 1 + z.astype(np.float64))
    np.testing.assert_array_equal(noise.to_numpy(), double.astype(np.float32))


def test_layouts_agree(isa):
    """The noise is by logical index, whatever the memory is like."""
    x = np.random.default_rng(2).standard_normal((40, 30)).astype(np.float32)
    noise = fastdrop.GaussianNoise(x.shape, 0.2, seed=2)
    y = noise.apply(x)
    for other in (np.asfortranarray(x), x[::-1][::-1], x.astype(">f4"), np.repeat(x, 2, axis=1)[:, ::2]):
        assert same_bytes(noise.apply(other), y)


def test_the_next_noise_of_a_generator():
    masks, x = fastdrop.MaskGenerator(0), np.ones(100, np.float32)
    first, noise = fastdrop.gaussian_dropout(x, 0.5, rng=masks)
    second, other = fastdrop.gaussian_dropout(x, 0.5, rng=masks)
    assert (noise.stream, other.stream) == (0, 1)
    assert not (first == second).any()
    assert same_bytes(first, reference_noise.gaussian_dropout(x, 0.5, rng=0)[0])
    assert noise == fastdrop.GaussianNoise(100, 0.5, seed=0)
    assert noise.generator == masks.generator
    assert fastdrop.gaussian_dropout(x, rng=7)[1] == fastdrop.gaussian_dropout(x, rng=7)[1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_by_finite_differences(dtype):
    """y is linear in x, so a difference of any length gives the gradient; a power of two loses little.

    Three roundings, of y twice and of dx, each off by half an epsilon of numbers below 8 max(1, |factor|).
    """
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(500).astype(dtype) for _ in range(2))
    _, noise = fastdrop.gaussian_dropout(x, 0.3, rng=4)
    dx = fastdrop.gaussian_dropout_backward(dy, noise)
    assert same_bytes(
        dx, reference_noise.gaussian_dropout_backward(dy, reference_noise.Noise(500, 0.3, seed=4))
    )
    for i in range(0, 500, 7):
        more, less = x.copy(), x.copy()
        more[i] += 2
        less[i] -= 2
        y, other = (noise.apply(values).astype(float) for values in (more, less))
        slope = (y - other) / (float(more[i]) - float(less[i]))
        allowed = 16 * ml_dtypes.finfo(dtype).eps * (1 + abs(slope[i])) * max(1, abs(float(dy[i])))
        assert abs(slope[i] * float(dy[i]) - float(dx[i])) <= allowed
        assert not np.delete(slope, i).any()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_mean_and_variance_are_those_of_dropout(p):
    """Keras: N(1, p / (1 - p)). A sum of such numbers is normal, and the sum of their squares chi-square."""
    n, deviation = 2**20, math.sqrt(p / (1 - p))
    y, noise = fastdrop.gaussian_dropout(np.ones(n), p, rng=20140601)
    z = (y - 1) / deviation
    assert noise.standard_deviation == deviation
    assert abs(z.sum()) / math.sqrt(n) < stats.norm.isf(1e-9)
    assert stats.chi2(n).ppf(1e-9) < (z**2).sum() < stats.chi2(n).isf(1e-9)


def test_nothing_is_selected(isa):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0] * 40, np.float32)
    y = fastdrop.GaussianNoise(200, 0.01, seed=0).apply(x)  # factors are positive: ten deviations from 0
    np.testing.assert_array_equal(y, x)
    assert (np.signbit(y) == np.signbit(x))[x == 0].all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinity_times_zero(isa, dtype):
    """The NaN that arithmetic makes, whatever its bits are here: also when it is rounded to 16 of them."""
    z = reference_noise.normals(np.arange(100), key=reference.key_from(0))
    p = 1 / (1 + float(z[z < 0][0]) ** 2)  # so that s z = -1
    x = np.full(100, np.inf, dtype)
    y, _ = fastdrop.gaussian_dropout(x, p, rng=0)
    assert same_bytes(y, reference_noise.gaussian_dropout(x, p, rng=0)[0])
    if dtype != "float64":  # whose s z is not rounded as much
        assert np.isnan(y).any()


def test_ends():
    signalling = np.array([0x7FA00000] * 4, np.uint32).view(np.float32)
    y, noise = fastdrop.gaussian_dropout(signalling, 0.0, rng=0)
    assert same_bytes(y, signalling)
    assert y is not signalling
    assert noise.standard_deviation == 0
    x = np.ones(3)
    y, noise = fastdrop.gaussian_dropout(x, training=False)
    assert y is x
    assert same_bytes(fastdrop.gaussian_dropout_backward(x, noise), x)
    y, _ = fastdrop.gaussian_dropout(x, training=False, out=np.zeros(3))
    assert same_bytes(y, x)


def test_what_is_refused():
    x, mask = np.ones(4, np.float32), fastdrop.Mask(4, 0.5, seed=0)
    for call in (
        lambda: fastdrop.gaussian_dropout(x, 1.0),
        lambda: fastdrop.GaussianNoise(4, 1),
        lambda: fastdrop.GaussianDropout(1.0),
    ):
        refuse(call, ValueError, "p must be less than 1", "p / (1 - p)")
    layer = fastdrop.GaussianDropout()
    refuse(lambda: fastdrop.GaussianNoise(4, np.full(4, 0.5)), TypeError, "p must be one real number")
    state = layer.state_dict() | {"p": 1.0}
    refuse(lambda: layer.load_state_dict(state), ValueError, "p must be less than 1")
    refuse(lambda: setattr(layer, "p", 1.0), ValueError, "p must be less than 1")
    refuse(lambda: fastdrop.gaussian_dropout([1, 2]), TypeError, "x must be an array of", "int64")
    refuse(lambda: fastdrop.gaussian_dropout(x, "0.5"), TypeError, "p must be a real number")
    refuse(
        lambda: fastdrop.gaussian_dropout_backward(x, mask),
        TypeError,
        "noise must be",
        "GaussianNoise",
        "Mask",
    )
    out = np.ones(5, np.float32)
    refuse(lambda: fastdrop.gaussian_dropout(x, out=out), ValueError, "out must have the shape of x")
    assert (out == 1).all()
    refuse(layer.backward, TypeError, "GaussianDropout.backward() missing")
    refuse(lambda: layer.backward(x), ValueError, "backward needs")


def test_noise_is_a_value():
    noise = fastdrop.GaussianNoise((3, 4), 0.25, seed=1, stream=5, generator="philox4x32-10")
    same = fastdrop.GaussianNoise((3, 4), 0.25, seed=1, stream=5, generator="philox4x32-10")
    assert (noise == same, hash(noise) == hash(same)) == (True, True)
    assert noise != fastdrop.GaussianNoise((3, 4), 0.25, seed=1, stream=6, generator="philox4x32-10")
    assert noise != noise._mask
    assert pickle.loads(pickle.dumps(noise)) == copy.deepcopy(noise) == noise
    assert (noise.shape, noise.ndim, noise.size, noise.p, noise.stream) == ((3, 4), 2, 12, 0.25, 5)
    assert noise.key == fastdrop.Mask(1, seed=1).key
    assert "GaussianNoise shape=(3, 4), p=0.25" in repr(noise)


def test_layer():
    layer, x = fastdrop.GaussianDropout(0.3, rng=0), np.ones(50, np.float32)
    assert layer.noise is None
    state = layer.state_dict()
    y = layer(x)
    assert same_bytes(y, fastdrop.gaussian_dropout(x, 0.3, rng=0)[0])
    assert same_bytes(layer.backward(x), y)
    assert layer.noise.to_numpy().tolist() == y.tolist()
    assert not (layer(x) == y).any()
    layer.load_state_dict(state)
    assert same_bytes(layer(x), y)
    assert layer.eval()(x) is x
    assert same_bytes(layer.backward(x), x)
    assert layer.train().training
    assert repr(layer).startswith("GaussianDropout(p=0.3")
