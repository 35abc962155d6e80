# SPDX-License-Identifier: BSD-3-Clause
"""The functions of one value that fused operations apply: exp, sigma, Phi, and activations.

These are sections 2 to 5 of ``docs/numerics.md``. Arrays are float32 or float64. Each step is one IEEE
operation in that type, rounded by itself, so that any machine with IEEE arithmetic gives the same bits.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACTIVATIONS", "exponential", "normal_cdf", "sigmoid"]

Floats: TypeAlias = NDArray[Any]


def _numbers(text: str) -> list[float]:
    return [float.fromhex(word) for word in text.split()]


class _Constants(NamedTuple):
    """``numerics/coefficients.py`` derives them, but the first one and the ends, where results are zero."""

    rounder: float  # a sum with it is a multiple of 1
    splitter: float  # a multiple of 2^-8 or 2^-20: the square of a sum with it, less it, is exact
    exponential_low: float
    exponential_high: float
    logistic_end: float
    normal_end: float
    tanh_end: float
    log2_e: float
    ln2_high: float
    ln2_low: float
    exponential: list[float]
    tail_numerator: list[float]
    tail_denominator: list[float]
    density_at_zero: float
    tanh_linear: float
    tanh_cubic: float


_CONSTANTS = {
    np.dtype(np.float32): _Constants(
        1.5 * 2.0**23,
        1.5 * 2.0**15,
        *(-104, 89, -110, -15, -11),
        *_numbers("0x1.715476p+0 0x1.62e4p-1 0x1.7f7d1cp-20"),
        _numbers("0x1.fffffcp-2 0x1.555492p-3 0x1.5558f2p-5 0x1.123a1ep-7 0x1.6a23e6p-10"),
        _numbers("0x1.803a92p+5 0x1.51920ap+5 0x1.1abeap+4 0x1.f6a54cp+1 0x1.988572p-2"),
        _numbers("0x1.803a92p+6 0x1.421208p+7 0x1.cf34bcp+6 0x1.6a41d4p+5 0x1.3b015ap+3 0x1p+0"),
        *_numbers("0x1.988454p-2 0x1.988454p+0 0x1.2444f2p-4"),
    ),
    np.dtype(np.float64): _Constants(
        1.5 * 2.0**52,
        1.5 * 2.0**32,
        *(-746, 710, -760, -39, -22),
        *_numbers("0x1.71547652b82fep+0 0x1.62e42fefa38p-1 0x1.ef35793c7673p-45"),
        _numbers(
            "0x1.000000000000ap-1 0x1.55555555554f9p-3 0x1.555555555083fp-5 0x1.1111111127d44p-7 "
            "0x1.6c16c18438a6p-10 0x1.a01a0129fd31ep-13 0x1.a01999e263a8bp-16 0x1.71df25da29fd7p-19 "
            "0x1.28ad9b9828b91p-22 0x1.ad7f0356851afp-26"
        ),
        _numbers(
            "0x1.b254eb1361f75p+19 0x1.679a22b33d2e1p+20 0x1.273057ca76522p+20 0x1.366ee969880f7p+19 "
            "0x1.cadb53b39c0e4p+17 0x1.efcaa623b53d2p+15 0x1.8c0cee807693bp+13 0x1.ce8051d925f6ap+10 "
            "0x1.7b452324a4da9p+7 0x1.8d3b11a586365p+3 0x1.9884533d43cbap-2"
        ),
        _numbers(
            "0x1.b254eb1361f75p+20 0x1.0a700c4ed0f48p+22 0x1.31e3b485d5287p+22 0x1.b2aa699dd222ap+21 "
            "0x1.a9b7f15f6e09p+20 0x1.2e99261160c25p+19 0x1.3fa07f34eedccp+17 0x1.f7c58f3a88798p+14 "
            "0x1.23c6408f78e94p+12 0x1.dc58339b17612p+8 0x1.f1dadab575aedp+4 0x1p+0"
        ),
        *_numbers("0x1.9884533d43651p-2 0x1.9884533d43651p+0 0x1.2444f2a4d8b4bp-4"),
    ),
}


def _horner(x: Floats, coefficients: Sequence[float]) -> Floats:
    """``c0 + x (c1 + x (...))``, from the inside."""
    *others, last = (x.dtype.type(c) for c in coefficients)
    result = np.full_like(x, last)
    for coefficient in reversed(others):
        result = coefficient + x * result
    return result


def _polynomial(x: Floats, coefficients: Sequence[float]) -> Floats:
    """``c0 + c1 x + c2 x^2 + ...``: the even powers and the odd ones, each by Horner's rule."""
    square = x * x
    result: Floats = _horner(square, coefficients[::2]) + x * _horner(square, coefficients[1::2])
    return result


def _rounded(a: Floats, adder: float) -> Floats:
    """The nearest multiple of what a sum with ``adder`` is a multiple of."""
    rounder = a.dtype.type(adder)
    result: Floats = (a + rounder) - rounder
    return result


def _negative(x: Floats, end: float) -> Floats:
    """``-|x|``, or ``end`` where that is smaller. Keeps the sign of a zero and all of a NaN."""
    low = x.dtype.type(end)
    minus = x.dtype.type(0) - x
    result = np.where(minus < x, minus, x)
    return np.where(low > result, low, result)


def _times_power_of_two(a: Floats, n: Floats) -> Floats:
    """``a 2^n`` with one rounding; n is an integer."""
    return np.ldexp(a, np.where(np.isnan(n), 0, n).astype(np.int32))


def _reduced_exponential(r: Floats) -> Floats:
    """``e^r`` for r from -ln(2) / 2 to ln(2) / 2 and a little more."""
    one = r.dtype.type(1)
    result: Floats = one + (r + r * r * _polynomial(r, _CONSTANTS[r.dtype].exponential))
    return result


def _scaled_exponential(x: Floats) -> tuple[Floats, Floats]:
    """``e^x`` as a fraction and the power of two to multiply it by."""
    constants, of_type = _CONSTANTS[x.dtype], x.dtype.type
    n = _rounded(x * of_type(constants.log2_e), constants.rounder)
    r = (x - n * of_type(constants.ln2_high)) - n * of_type(constants.ln2_low)
    return _reduced_exponential(r), n


@np.errstate(all="ignore")
def exponential(x: Floats) -> Floats:
    """``e^x``."""
    constants, of_type = _CONSTANTS[x.dtype], x.dtype.type
    low, high = of_type(constants.exponential_low), of_type(constants.exponential_high)
    x = np.where(low > x, low, x)
    x = np.where(high < x, high, x)
    return _times_power_of_two(*_scaled_exponential(x))


@np.errstate(all="ignore")
def sigmoid(x: Floats) -> Floats:
    """``1 / (1 + e^-x)``."""
    one = x.dtype.type(1)
    e = _times_power_of_two(*_scaled_exponential(_negative(x, _CONSTANTS[x.dtype].logistic_end)))
    result: Floats = np.where(x < 0, e, one) / (one + e)
    return result


def _scaled_bell(x: Floats) -> tuple[Floats, Floats]:
    """``e^(-x^2 / 2)`` as a fraction and a power. The square of x's upper part is exact."""
    constants, of_type = _CONSTANTS[x.dtype], x.dtype.type
    upper = _rounded(x, constants.splitter)
    rest = (x - upper) * (x + upper)
    n = _rounded(x * x * of_type(-constants.log2_e / 2), constants.rounder)
    twice_r = (
        (upper * upper + n * of_type(2 * constants.ln2_high)) + rest + n * of_type(2 * constants.ln2_low)
    )
    return _reduced_exponential(twice_r * of_type(-0.5)), n


def _normal_tail(x: Floats) -> Floats:
    """``Phi(x) e^(x^2 / 2)`` for negative x."""
    constants = _CONSTANTS[x.dtype]
    t = x.dtype.type(0) - x
    result: Floats = _polynomial(t, constants.tail_numerator) / _polynomial(t, constants.tail_denominator)
    return result


@np.errstate(all="ignore")
def normal_cdf(x: Floats) -> Floats:
    """``Phi(x)``, the standard normal distribution function."""
    t = _negative(x, _CONSTANTS[x.dtype].normal_end)
    bell, n = _scaled_bell(t)
    tail = _times_power_of_two(bell * _normal_tail(t), n)
    return np.where(x < 0, tail, x.dtype.type(1) - tail)


@np.errstate(all="ignore")
def _relu(t: Floats) -> Floats:
    return np.where(t < 0, t.dtype.type(0), t)


@np.errstate(all="ignore")
def _relu_derivative(t: Floats) -> Floats:
    return np.where(t <= 0, t.dtype.type(0), t.dtype.type(1))


def _symmetric_derivative(t: Floats, negative: Floats) -> Floats:
    """A derivative whose values at t and -t add up to 1, of the one at ``-|t|``."""
    return np.where(t < 0, negative, t.dtype.type(1) - negative)


@np.errstate(all="ignore")
def _gelu(t: Floats) -> Floats:
    """``t Phi(t)``, which is ``t + (-|t|) Phi(-|t|)`` where t is positive."""
    x = _negative(t, _CONSTANTS[t.dtype].normal_end)
    bell, n = _scaled_bell(x)
    left = _times_power_of_two(x * (bell * _normal_tail(x)), n)
    return np.where(t < 0, left, t + left)


@np.errstate(all="ignore")
def _gelu_derivative(t: Floats) -> Floats:
    """``Phi(t) + t phi(t)``, where phi is the density."""
    constants = _CONSTANTS[t.dtype]
    x = _negative(t, constants.normal_end)
    bell, n = _scaled_bell(x)
    both = _normal_tail(x) + x * t.dtype.type(constants.density_at_zero)
    return _symmetric_derivative(t, _times_power_of_two(bell * both, n))


def _gated(t: Floats, x: Floats, z: Floats) -> Floats:
    """``t sigma(z)`` for a z with the sign of t, where x and z are given at ``-|t|``."""
    one = t.dtype.type(1)
    fraction, n = _scaled_exponential(z)
    left = _times_power_of_two(x * fraction, n)
    result: Floats = np.where(t < 0, left, t) / (one + _times_power_of_two(fraction, n))
    return result


def _gated_derivative(t: Floats, slope: Floats, z: Floats) -> Floats:
    """``sigma(z) + t z' sigma(z) sigma(-z)``, where ``t z'`` and z are given at ``-|t|``."""
    one = t.dtype.type(1)
    fraction, n = _scaled_exponential(z)
    right = one / (one + _times_power_of_two(fraction, n))
    return _symmetric_derivative(t, _times_power_of_two(fraction * (right * (one + slope * right)), n))


def _tanh_terms(t: Floats) -> tuple[Floats, Floats, Floats]:
    """``x = -|t|``, and c1 and ``c2 x^2`` of ``z = x (c1 + c2 x^2)``."""
    constants, of_type = _CONSTANTS[t.dtype], t.dtype.type
    x = _negative(t, constants.tanh_end)
    return x, np.full_like(x, constants.tanh_linear), of_type(constants.tanh_cubic) * (x * x)


@np.errstate(all="ignore")
def _gelu_tanh(t: Floats) -> Floats:
    """``t sigma(z)``."""
    x, linear, cubic = _tanh_terms(t)
    return _gated(t, x, x * (linear + cubic))


@np.errstate(all="ignore")
def _gelu_tanh_derivative(t: Floats) -> Floats:
    x, linear, cubic = _tanh_terms(t)
    return _gated_derivative(t, x * (linear + t.dtype.type(3) * cubic), x * (linear + cubic))


@np.errstate(all="ignore")
def _silu(t: Floats) -> Floats:
    """``t sigma(t)``."""
    x = _negative(t, _CONSTANTS[t.dtype].logistic_end)
    return _gated(t, x, x)


@np.errstate(all="ignore")
def _silu_derivative(t: Floats) -> Floats:
    x = _negative(t, _CONSTANTS[t.dtype].logistic_end)
    return _gated_derivative(t, x, x)


# In the order of the core, which counts from 1. Each has its value and its derivative.
ACTIVATIONS: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "relu": (_relu, _relu_derivative),
    "gelu": (_gelu, _gelu_derivative),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_derivative),
    "silu": (_silu, _silu_derivative),
}
