# SPDX-License-Identifier: BSD-3-Clause
"""float16 and bfloat16: every value there is, judged by NumPy's and ml_dtypes' own conversions."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import fastdrop
from fastdrop import reference
from fastdrop import reference as reference_noise
from floats import DTYPES, HALVES, special_values

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
    fraction_bits = {"float16": 10, "bfloat16": 7}[x.dtype.name]
    return x.view(np.uint16) | np.uint16(1 << (fraction_bits - 1))


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("dtype", HALVES)
def test_every_value(isa, dtype, p):
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
def test_every_value_with_noise(isa, dtype, p):
    """Alpha and Gaussian dropout, forward and backward: each step in float32, and one conversion."""
    x, one = EVERY.view(dtype), np.float32(1)
    y, mask = fastdrop.alpha_dropout(x, p, rng=0)
    dx = fastdrop.alpha_dropout_backward(x, mask)
    noisy, noise = fastdrop.gaussian_dropout(x, p, rng=0)
    a, b, dropped = map(np.float32, reference_noise.affine(p))
    z = reference_noise.normals(np.arange(x.size), key=noise.key)
    keep = mask.to_numpy()
    with np.errstate(all="ignore"):
        wide = x.astype(np.float32)
        affine, linear = np.where(keep, wide * a + b, dropped), np.where(keep, wide * a, np.float32(0))
        scaled = wide * (one + np.float32(noise.standard_deviation) * z)
        for got, result, nan in ((y, affine, keep), (dx, linear, keep), (noisy, scaled, True)):
            wanted = np.where(is_nan(x) & nan, quiet(x), result.astype(dtype).view(np.uint16))
            assert np.array_equal(got.view(np.uint16), wanted)


@pytest.mark.parametrize("p", PROBABILITIES)
@pytest.mark.parametrize("dtype", HALVES)
def test_every_value_is_the_references(isa, dtype, p):
    x = EVERY.view(dtype)
    y = fastdrop.Mask(x.size, p, seed=0).apply(x)
    assert y.tobytes() == reference.Mask(x.size, p, seed=0).apply(x).tobytes()


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
def test_p_zero_copies_bits_and_p_one_gives_positive_zero(isa, dtype):
    x = EVERY.view(dtype)
    assert fastdrop.Mask(x.size, 0.0, seed=0).apply(x).tobytes() == x.tobytes()
    assert not fastdrop.Mask(x.size, 1.0, seed=0).apply(x).view(np.uint16).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_nan_keeps_its_sign_and_fraction_and_becomes_quiet(isa, dtype):
    info = ml_dtypes.finfo(dtype)
    unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
    infinity = np.array(np.inf, dtype).view(unsigned)
    nans = infinity | np.array([1, 2, 3, 2**info.nmant - 1, 2 ** (info.nmant - 1)], unsigned)
    x = np.resize(np.concatenate([nans, nans | unsigned.type(1 << (info.bits - 1))]), 1000).view(dtype)
    mask = fastdrop.Mask(x.size, 0.3, seed=2)
    wanted = np.where(mask.to_numpy(), x.view(unsigned) | unsigned.type(1 << (info.nmant - 1)), 0)
    assert np.array_equal(mask.apply(x).view(unsigned), wanted)
    assert reference.Mask(x.size, 0.3, seed=2).apply(x).tobytes() == wanted.astype(unsigned).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_do_not_depend_on_the_dtype(isa, generator, dtype):
    mask = fastdrop.Mask((77, 131), 0.4, seed=3, generator=generator)
    assert np.array_equal(mask.apply(np.ones(mask.shape, dtype)) != 0, mask.to_numpy())


@pytest.mark.parametrize("dtype", HALVES)
def test_functions_and_layer(isa, dtype):
    x = special_values(999, dtype)
    y, mask = fastdrop.dropout(x, 0.4, rng=5)
    wanted, slow = reference.dropout(x, 0.4, rng=5)
    assert (y.dtype, y.tobytes()) == (x.dtype, wanted.tobytes())
    dx = fastdrop.dropout_backward(x[::-1], mask)
    assert dx.tobytes() == reference.dropout_backward(x[::-1], slow).tobytes()
    layer = fastdrop.Dropout(0.4, rng=5)
    assert layer(x).tobytes() == y.tobytes()
    assert layer.eval()(x) is x


def test_ml_dtypes_is_not_imported():
    code = "import sys, numpy, fastdrop; fastdrop.dropout(numpy.ones(3, 'f2'))"
    code += "; print('ml_dtypes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
