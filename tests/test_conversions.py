# SPDX-License-Identifier: BSD-3-Clause
"""float16 and bfloat16: every value there is, judged by NumPy's and ml_dtypes' own conversions."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import fastdrop
from fastdrop import reference
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
