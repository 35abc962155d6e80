# SPDX-License-Identifier: BSD-3-Clause
"""The functions of one value: the core, the reference, mpmath and docs/numerics.md agree."""

import hashlib
import re
from fractions import Fraction
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

import piecewise
from arrays import nans, same_bytes, unsigned
from coefficients import CHOICES, coefficients, logarithm_numbers
from fastdrop import _core, reference
from ulp import exact_error, twice_u

ROOT = Path(__file__).parents[1]
DOCUMENT, _, LOGARITHM_DOCUMENT = (ROOT / "docs" / "numerics.md").read_text().partition("## 11.")
HEADER = (ROOT / "csrc" / "kernels" / "function_constants.h").read_text()
SOURCE = (ROOT / "python" / "fastdrop" / "reference" / "functions.py").read_text()
LOGARITHM_HEADER = (ROOT / "csrc" / "kernels" / "logarithm.h").read_text()
LOGARITHM_SOURCE = (ROOT / "python" / "fastdrop" / "reference" / "logarithm.py").read_text()

FUNCTIONS = {name: getattr(reference, name) for name in ("exponential", "sigmoid", "normal_cdf")}
for activation, (value, derivative) in reference.ACTIVATIONS.items():
    FUNCTIONS |= {activation: value, f"{activation}_derivative": derivative}
SMOOTH = [name for name in FUNCTIONS if not name.startswith("relu")]
FLOATS = [np.float32, np.float64]
SEED = 19080301  # Student's paper; not changed since the first run

both_types = pytest.mark.parametrize("dtype", FLOATS)


def ends(dtype):
    """Neighbours of where results become zero, subnormal, one or infinite, and of halves of ln 2."""
    narrow = dtype == np.float32
    places = [0.7517915, 1.2784645, 0.5, 1, 2, *np.arange(1, 30) * 0.34657359027997264]
    places += [87.33, 88.72, 103.97, 104, 89, 110, 15, 14.17, 13, 11, 10.05] if narrow else []
    places += [] if narrow else [708.4, 709.78, 745.13, 746, 710, 760, 39, 38.5, 37.6, 22, 21.5]
    steps = np.arange(81, dtype=unsigned(dtype))
    bits = np.array(places, dtype).view(unsigned(dtype))[:, None] - steps.dtype.type(40) + steps
    return bits.ravel().view(dtype)


def sample(dtype):
    """Special values, all exponents, any bits, and evenly where results change."""
    random, info, bits = np.random.default_rng(SEED), np.finfo(dtype), unsigned(dtype)
    exponents = np.repeat(np.arange(2 * info.maxexp - 1), 8).astype(bits)
    fractions = random.integers(0, 2**info.nmant, exponents.size, dtype=bits)
    parts = [
        np.array([0, np.inf, info.max, info.tiny, info.smallest_subnormal], dtype),
        nans(dtype),
        ends(dtype),
        (exponents << bits.type(info.nmant) | fractions).view(dtype),
        random.integers(0, np.iinfo(bits).max, 4000, dtype=bits, endpoint=True).view(dtype),
        *(random.uniform(0, reach, 4000).astype(dtype) for reach in (1, 12, 40, 110, 760)),
    ]
    positive = np.concatenate(parts)
    return np.concatenate([positive, -positive])


def test_the_core_has_the_functions_of_the_reference():
    assert _core.functions == tuple(FUNCTIONS)


@both_types
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_core_is_the_reference(isa, name, dtype):
    x = sample(dtype)
    wanted = FUNCTIONS[name](x)
    if name not in ("exponential", "sigmoid", "normal_cdf"):
        # The core's operation makes a NaN quiet where it adds a bias; a selection such as relu's does not.
        with np.errstate(invalid="ignore"):
            wanted += dtype(-0.0)
    assert same_bytes(_core.function(name, x), wanted)


@both_types
def test_ends_of_arrays_and_shapes(isa, dtype):
    """Fewer values than a register has, and what follows whole registers."""
    for size in range(40):
        x = np.linspace(-3, 3, size + 1, dtype=dtype)[1:]  # not aligned to a register
        assert same_bytes(_core.function("gelu", x), FUNCTIONS["gelu"](x))
    x = np.linspace(-3, 3, 24, dtype=dtype).reshape(2, 3, 4)
    assert same_bytes(_core.function("silu", x), FUNCTIONS["silu"](x))


def test_what_the_binding_refuses():
    x = np.zeros(4, np.float32)
    for wrong in (x.astype(np.float16), x.astype(int), x[::2], x.astype(">f4")):
        with pytest.raises(ValueError, match="x must be"):
            _core.function("gelu", wrong)
    with pytest.raises(ValueError, match="no such function"):
        _core.function("tanh", x)


# SHA-256 of the results for the sample, NaNs left out: their bits depend on those of the sample.
HASHES = {
    "exponential float32": "301a6c137b310c7f",
    "exponential float64": "0bd267c164ea6c45",
    "sigmoid float32": "d38d2409e96b1bdc",
    "sigmoid float64": "9bbfc448f5c57fdb",
    "normal_cdf float32": "47424925a59299fe",
    "normal_cdf float64": "fdb1d1fdc83614a9",
    "relu float32": "21f2dfcf1e963f07",
    "relu float64": "2119d5284d0ac8d8",
    "relu_derivative float32": "07a9dd5c0b695bde",
    "relu_derivative float64": "eded1a284b5d1dac",
    "gelu float32": "aaab4b32e94b9f58",
    "gelu float64": "8e9e944983f36d60",
    "gelu_derivative float32": "51cf2671b6c1a6ae",
    "gelu_derivative float64": "22b915582c34be6c",
    "gelu_tanh float32": "2ed1bc548107e949",
    "gelu_tanh float64": "8ceca1dbab378e8c",
    "gelu_tanh_derivative float32": "e73ee913b3ed9da1",
    "gelu_tanh_derivative float64": "5fec3df830a88c9b",
    "silu float32": "d67b3f887756d829",
    "silu float64": "e082a28142ac1bee",
    "silu_derivative float32": "d09e6118e2b70933",
    "silu_derivative float64": "081ab46d9a68abb2",
}


def digest(name, dtype):
    x = sample(dtype)
    y = FUNCTIONS[name](x[~np.isnan(x)])
    return hashlib.sha256(y.astype(y.dtype.newbyteorder("<")).tobytes()).hexdigest()[:16]


@both_types
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_bit_has_changed(name, dtype):
    assert digest(name, dtype) == HASHES[f"{name} {np.dtype(dtype)}"]


# --- Special values -------------------------------------------------------------------------------

SPECIAL = {  # at -infinity, -0.0, +0.0, infinity
    "exponential": [0.0, 1, 1, np.inf],
    "sigmoid": [0.0, 0.5, 0.5, 1],
    "normal_cdf": [0.0, 0.5, 0.5, 1],
    "relu": [0.0, -0.0, 0.0, np.inf],
    "relu_derivative": [0.0, 0, 0, 1],
    "gelu": [-0.0, -0.0, 0.0, np.inf],
    "gelu_derivative": [-0.0, 0.5, 0.5, 1],
    "gelu_tanh": [-0.0, -0.0, 0.0, np.inf],
    "gelu_tanh_derivative": [-0.0, 0.5, 0.5, 1],
    "silu": [-0.0, -0.0, 0.0, np.inf],
    "silu_derivative": [-0.0, 0.5, 0.5, 1],
}


@both_types
@pytest.mark.parametrize("name", FUNCTIONS)
def test_infinities_and_zeros(name, dtype):
    x = np.array([-np.inf, -0.0, 0.0, np.inf], dtype)
    assert same_bytes(FUNCTIONS[name](x), np.array(SPECIAL[name], dtype))


@both_types
@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"relu_derivative"}))
def test_a_nan_stays(name, dtype):
    """With its sign and fraction; it may be made quiet."""
    x = nans(dtype)
    bits, quiet = unsigned(dtype), unsigned(dtype).type(1 << (np.finfo(dtype).nmant - 1))
    assert ((FUNCTIONS[name](x).view(bits) | quiet) == (x.view(bits) | quiet)).all()


def test_the_gradient_of_a_nan_passes_relu():
    assert (FUNCTIONS["relu_derivative"](nans(np.float32)) == 1).all()


@both_types
def test_positive_arguments_are_defined_by_negative_ones(dtype):
    x = np.abs(sample(dtype))
    x = x[~np.isnan(x)]
    for name in ("normal_cdf", "gelu_derivative", "gelu_tanh_derivative", "silu_derivative"):
        np.testing.assert_array_equal(FUNCTIONS[name](x), dtype(1) - FUNCTIONS[name](-x))
    np.testing.assert_array_equal(FUNCTIONS["gelu"](x), x + FUNCTIONS["gelu"](-x))


# --- Errors ---------------------------------------------------------------------------------------


def bounds():
    """The table of the document: of each function, ULP of float32 below and above zero, and of float64."""
    rows = re.findall(r"^\| `(\w+)` +" + r"\| +([\d.]+) " * 4, DOCUMENT, re.MULTILINE)
    return {name: [float(cell) for cell in cells] for name, *cells in rows}


def few(dtype):
    """For mpmath, which is slow: where results are neither zero nor infinite nor x itself."""
    random = np.random.default_rng(SEED + 1)
    parts = [random.uniform(-reach, reach, 250) for reach in (1, 5, 11, 14.5, 88)]
    parts += [random.uniform(-reach, reach, 250) for reach in (22, 39, 709)] if dtype == np.float64 else []
    low = -149 if dtype == np.float32 else -1074
    parts += [np.ldexp(random.choice([-1.0, 1], 300), random.integers(low, 3, 300))]
    parts += [random.uniform(-104, -87, 100) if dtype == np.float32 else random.uniform(-746, -708, 100)]
    return np.concatenate(parts).astype(dtype)


@both_types
@pytest.mark.parametrize("name", SMOOTH)
def test_errors_are_within_the_bounds_of_the_document(name, dtype):
    x = few(dtype)
    below, above = bounds()[name][:2] if dtype == np.float32 else bounds()[name][2:]
    with mp.workprec(150):
        for value, result in zip(x.tolist(), FUNCTIONS[name](x).tolist(), strict=True):
            bound = below if value < 0 else above
            if "tanh" in name and value < 0:
                # 2 u goes through five roundings, and each is worth up to |2 u| ULP.
                bound = min(bound, 5 + 5 * float(-twice_u(mp.mpf(value))))
            assert exact_error(name, value, result, dtype) <= bound, value


# --- Polynomials of float32 -----------------------------------------------------------------------

# By name: the width of an interval. The polynomials are used below 15.5 widths.
WIDTHS = {name: np.float32(float(width)) for name, (width, *_) in piecewise.FUNCTIONS.items()}
PIECEWISE = [(name, width) for base, width in WIDTHS.items() for name in (base, f"{base}_derivative")]
with_widths = pytest.mark.parametrize(("name", "width"), PIECEWISE)


def edges(width, steps):
    """So many neighbours on each side of where one interval's polynomial ends, and of the end of them all."""
    places = (np.arange(16, dtype=np.float32) + np.float32(0.5)) * width
    bits = places.view(np.uint32)[:, None] + np.arange(-steps, steps, dtype=np.int32).astype(np.uint32)
    x = bits.ravel().view(np.float32)
    assert ((x < 15.5 * width).sum(), x.size) == (31 * steps, 32 * steps)
    return np.concatenate([x, -x])


@with_widths
def test_edges_of_intervals_are_those_of_the_reference(isa, name, width):
    x = edges(width, 200)
    assert same_bytes(_core.function(name, x), FUNCTIONS[name](x))


@with_widths
def test_steps_at_the_edges_are_within_the_bounds_of_the_document(name, width):
    """On both sides, of which the last edge has no polynomial on one."""
    x = edges(width, 3)
    below, above = bounds()[name][:2]
    with mp.workprec(150):
        for value, result in zip(x.tolist(), FUNCTIONS[name](x).tolist(), strict=True):
            assert exact_error(name, value, result, np.float32) <= (below if value < 0 else above), value


@with_widths
def test_an_element_beyond_the_range_is_computed_by_itself(isa, name, width):
    """It has the bits that it has alone, and so have its neighbours in the register."""
    end = np.float32(15.5) * width
    inside = np.linspace(-end, end, 301, dtype=np.float32)[1:-1]  # many registers, and some lanes of one

    def one(value):
        return _core.function(name, np.array([value], np.float32))[0]

    alone = np.array([one(value) for value in inside])
    assert same_bytes(_core.function(name, inside), alone)
    for beyond in (end, -end, np.float32(100), np.float32(np.nan)):
        for place in range(inside.size):
            x, wanted = inside.copy(), alone.copy()
            x[place], wanted[place] = beyond, one(beyond)
            assert same_bytes(_core.function(name, x), wanted), (beyond, place)


@pytest.mark.parametrize("name", WIDTHS)
def test_what_is_too_small_keeps_its_sign(isa, name):
    tiny = np.finfo(np.float32).smallest_subnormal
    x = np.array([-tiny, -0.0, 0.0], np.float32)
    assert same_bytes(_core.function(name, x), np.array([-0.0, -0.0, 0.0], np.float32))


def test_the_document_has_the_widths():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d/]+) \| [\d.]+ \| `", DOCUMENT, re.MULTILINE))
    ends = dict(re.findall(r"^\| `(\w+)` \| [\d/]+ \| ([\d.]+) \| `", DOCUMENT, re.MULTILINE))
    assert {name: float(Fraction(width)) for name, width in rows.items()} == WIDTHS
    assert {name: float(end) for name, end in ends.items()} == {n: 15.5 * w for n, w in WIDTHS.items()}


def test_tables_are_those_that_the_script_writes():
    for path, text in piecewise.texts().items():
        assert path.read_text() == text, path


# --- Coefficients ---------------------------------------------------------------------------------


def hexadecimal_numbers(text):
    return [float.fromhex(word) for word in re.findall(r"-?0x1\.[0-9a-f]+p[+-]\d+", text)]


def test_core_reference_and_document_have_the_same_coefficients():
    numbers = hexadecimal_numbers(HEADER)
    assert len(numbers) == 32 + 59
    assert hexadecimal_numbers(SOURCE) == numbers
    without_bell = re.sub(r"kBell\[\] = {.*?};", "", HEADER, flags=re.DOTALL)
    assert hexadecimal_numbers(DOCUMENT) == hexadecimal_numbers(without_bell)
    numbers = hexadecimal_numbers(LOGARITHM_HEADER)
    assert len(numbers) == 3 + 7
    assert hexadecimal_numbers(LOGARITHM_SOURCE) == numbers
    assert hexadecimal_numbers(LOGARITHM_DOCUMENT) == numbers


@pytest.mark.slow
def test_coefficients_are_those_that_the_script_derives():
    parts = [coefficients(dtype)[0] for dtype in CHOICES]
    derived = [number for part in parts for row in part.values() for number in row]
    assert derived == hexadecimal_numbers(HEADER)
    assert logarithm_numbers()[0] == hexadecimal_numbers(LOGARITHM_HEADER)
