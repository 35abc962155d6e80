# SPDX-License-Identifier: BSD-3-Clause
"""The functions of one value that fused operations apply: exp, sigma, Phi, and activations.

These are sections 2 to 6 of ``docs/numerics.md``. Arrays are float32 or float64. Each step is one IEEE
operation in that type, rounded by itself, so that any machine with IEEE arithmetic gives the same bits.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ._piecewise_tables import TABLES

__all__ = ["ACTIVATIONS", "exponential", "normal_cdf", "sigmoid"]

Floats: TypeAlias = NDArray[Any]
Function: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]


def _numbers(text: str) -> list[float]:
    return [float.fromhex(word) for word in text.split()]


class _Constants(NamedTuple):
    """``numerics/coefficients.py`` derives the numbers in hexadecimal."""

    rounder: float  # a sum with it is a multiple of 1
    raised: int  # powers of e are computed times 2 to this, which is taken back in the end
    cleared_bits: int  # of a fraction, so that the square of what is left is exact
    # Where exp is zero and infinite, and where the functions below zero are zero, with their derivatives.
    exponential_low: float
    exponential_high: float
    logistic_end: float
    normal_end: float
    tanh_end: float
    log2_e: float
    ln2: float
    ln2_high: float
    ln2_low: float
    exponential: list[float]
    bell: list[float]
    power_of_two: list[float]
    tail_numerator: list[float]
    tail_denominator: list[float]
    density_at_zero: float
    tanh_linear: float
    tanh_cubic: float


_CONSTANTS = {
    np.dtype(np.float32): _Constants(
        rounder=1.5 * 2.0**23,
        raised=64,
        cleared_bits=12,
        exponential_low=-104,
        exponential_high=89,
        logistic_end=-110,
        normal_end=-15,
        tanh_end=-11,
        log2_e=float.fromhex("0x1.715476p+0"),
        ln2=float.fromhex("0x1.62e43p-1"),
        ln2_high=float.fromhex("0x1.62e4p-1"),
        ln2_low=float.fromhex("0x1.7f7d1cp-20"),
        exponential=_numbers("0x1.fffffcp-2 0x1.555492p-3 0x1.5558f2p-5 0x1.123a1ep-7 0x1.6a23e6p-10"),
        bell=_numbers("0x1.fffffcp-4 -0x1.555492p-6 0x1.5558f2p-9 -0x1.123a1ep-12 0x1.6a23e6p-16"),
        power_of_two=_numbers("0x1.ebfbdcp-3 0x1.c6af88p-5 0x1.3b2e0ep-7 0x1.5f043ap-10 0x1.414e78p-13"),
        tail_numerator=_numbers("0x1.803a92p+5 0x1.51920ap+5 0x1.1abeap+4 0x1.f6a54cp+1 0x1.988572p-2"),
        tail_denominator=_numbers("0x1.803a92p+6 0x1.421208p+7 0x1.cf34bcp+6 0x1.6a41d4p+5 0x1.3b015ap+3 1"),
        density_at_zero=float.fromhex("0x1.988454p-2"),
        tanh_linear=float.fromhex("0x1.26aec2p+1"),
        tanh_cubic=float.fromhex("0x1.a5a7dp-4"),
    ),
    np.dtype(np.float64): _Constants(
        rounder=1.5 * 2.0**52,
        raised=512,
        cleared_bits=27,
        exponential_low=-746,
        exponential_high=710,
        logistic_end=-760,
        normal_end=-39,
        tanh_end=-22,
        log2_e=float.fromhex("0x1.71547652b82fep+0"),
        ln2=float.fromhex("0x1.62e42fefa39efp-1"),
        ln2_high=float.fromhex("0x1.62e42fefa38p-1"),
        ln2_low=float.fromhex("0x1.ef35793c7673p-45"),
        exponential=_numbers(
            "0x1.000000000000ap-1 0x1.55555555554f9p-3 0x1.555555555083fp-5 0x1.1111111127d44p-7 "
            "0x1.6c16c18438a6p-10 0x1.a01a0129fd31ep-13 0x1.a01999e263a8bp-16 0x1.71df25da29fd7p-19 "
            "0x1.28ad9b9828b91p-22 0x1.ad7f0356851afp-26"
        ),
        bell=_numbers(
            "0x1.000000000000ap-3 -0x1.55555555554f9p-6 0x1.555555555083fp-9 -0x1.1111111127d44p-12 "
            "0x1.6c16c18438a6p-16 -0x1.a01a0129fd31ep-20 0x1.a01999e263a8bp-24 -0x1.71df25da29fd7p-28 "
            "0x1.28ad9b9828b91p-32 -0x1.ad7f0356851afp-37"
        ),
        power_of_two=_numbers(
            "0x1.ebfbdff82c5a1p-3 0x1.c6b08d704a045p-5 0x1.3b2ab6fba074ap-7 0x1.5d87fe78c396p-10 "
            "0x1.4309130dd5c3dp-13 0x1.ffcbfbc7445c8p-17 0x1.62bfc9c8628efp-20 0x1.b5265395187ap-24 "
            "0x1.e618089df4b49p-28 0x1.e7c6560941f8fp-32"
        ),
        tail_numerator=_numbers(
            "0x1.b254eb1361f75p+19 0x1.679a22b33d2e1p+20 0x1.273057ca76522p+20 0x1.366ee969880f7p+19 "
            "0x1.cadb53b39c0e4p+17 0x1.efcaa623b53d2p+15 0x1.8c0cee807693bp+13 0x1.ce8051d925f6ap+10 "
            "0x1.7b452324a4da9p+7 0x1.8d3b11a586365p+3 0x1.9884533d43cbap-2"
        ),
        tail_denominator=_numbers(
            "0x1.b254eb1361f75p+20 0x1.0a700c4ed0f48p+22 0x1.31e3b485d5287p+22 0x1.b2aa699dd222ap+21 "
            "0x1.a9b7f15f6e09p+20 0x1.2e99261160c25p+19 0x1.3fa07f34eedccp+17 0x1.f7c58f3a88798p+14 "
            "0x1.23c6408f78e94p+12 0x1.dc58339b17612p+8 0x1.f1dadab575aedp+4 1"
        ),
        density_at_zero=float.fromhex("0x1.9884533d43651p-2"),
        tanh_linear=float.fromhex("0x1.26aec21bce759p+1"),
        tanh_cubic=float.fromhex("0x1.a5a7cf7572a98p-4"),
    ),
}


def _horner(x: Floats, coefficients: Sequence[float]) -> Floats:
    """``c0 + x (c1 + x (...))``, from the inside."""
    *others, last = (x.dtype.type(c) for c in coefficients)
    result = np.full_like(x, last)
    for coefficient in reversed(others):
        result = coefficient + x * result
    return result


def _near_one(r: Floats, linear: float, coefficients: Sequence[float]) -> Floats:
    """``1 + r (linear + r q(r))``. The even powers and the odd ones of q are computed apart."""
    one, square = r.dtype.type(1), r * r
    q = _horner(square, coefficients[::2]) + r * _horner(square, coefficients[1::2])
    result: Floats = one + r * (r.dtype.type(linear) + r * q)
    return result


def _negative(x: Floats, end: float) -> Floats:
    """``-|x|``, or ``end`` where that is smaller or x is a NaN."""
    low, minus = x.dtype.type(end), -np.abs(x)
    return np.where(minus > low, minus, low)


def _by_sign(x: Floats, if_negative: Floats, otherwise: Floats) -> Floats:
    """What belongs to the sign of x; x itself if it is a NaN."""
    return np.where(x < 0, if_negative, np.where(x >= 0, otherwise, x))


def _rounded(y: Floats, constants: _Constants) -> Floats:
    """The nearest integer, half to even."""
    rounder = y.dtype.type(constants.rounder)
    result: Floats = (y + rounder) - rounder
    return result


def _raised(a: Floats, n: Floats, raised: int | NDArray[Any]) -> Floats:
    """``a 2^(n + raised)``: exact, because a and the result are normal numbers."""
    return np.ldexp(a, n.astype(np.int32) + raised)


def lowered(a: Floats, raised_in: np.dtype[Any]) -> Floats:
    """What was raised in computations of that dtype, rounded once: it may be subnormal."""
    result: Floats = a * a.dtype.type(2.0 ** -_CONSTANTS[raised_in].raised)
    return result


def _lowered(a: Floats) -> Floats:
    return lowered(a, a.dtype)


def _reduced(x: Floats) -> tuple[Floats, Floats]:
    """``x = r + n ln 2``."""
    constants, of_type = _CONSTANTS[x.dtype], x.dtype.type
    n = _rounded(x * of_type(constants.log2_e), constants)
    return (x - n * of_type(constants.ln2_high)) - n * of_type(constants.ln2_low), n


def _raised_exponential(x: Floats) -> Floats:
    """``e^x``, raised."""
    constants = _CONSTANTS[x.dtype]
    r, n = _reduced(x)
    return _raised(_near_one(r, 1, constants.exponential), n, constants.raised)


def _raised_power_of_two(x: Floats) -> Floats:
    """``2^x``, raised."""
    constants = _CONSTANTS[x.dtype]
    n = _rounded(x, constants)
    return _raised(_near_one(x - n, constants.ln2, constants.power_of_two), n, constants.raised)


def _raised_bell(x: Floats) -> Floats:
    """``e^(-x^2 / 2)``, raised. The square of x's upper half is exact; what is left is small."""
    constants, of_type = _CONSTANTS[x.dtype], x.dtype.type
    bits: NDArray[Any] = x.view(np.uint32 if x.dtype == np.float32 else np.uint64)
    cleared = bits.dtype.type(constants.cleared_bits)
    upper = (bits >> cleared << cleared).view(x.dtype)
    rest = (x - upper) * (x + upper)
    n = _rounded(x * x * of_type(-constants.log2_e / 2), constants)
    r = ((upper * upper + n * of_type(2 * constants.ln2_high)) + rest) + n * of_type(2 * constants.ln2_low)
    return _raised(_near_one(r, -0.5, constants.bell), n, constants.raised)


def raised_exponential_to_zero(x: Floats) -> Floats:
    """``e^x``, raised, for x up to 0, or a NaN; by one chain of steps."""
    constants, is_nan = _CONSTANTS[x.dtype], np.isnan(x)
    low = x.dtype.type(constants.exponential_low)
    r, n = _reduced(np.where(is_nan | (low > x), low, x))
    power = _raised(_horner(r, [1, 1, *constants.exponential]), n, constants.raised)
    return np.where(is_nan, x, power)


@np.errstate(all="ignore")
def exponential(x: Floats) -> Floats:
    """``e^x``."""
    constants, of_type = _CONSTANTS[x.dtype], x.dtype.type
    inside = np.where(x > constants.exponential_low, x, of_type(constants.exponential_low))
    inside = np.where(inside < constants.exponential_high, inside, of_type(constants.exponential_high))
    r, n = _reduced(inside)
    # Positive powers are lowered first and raised in the end.
    raised = np.where(x < 0, constants.raised, -constants.raised)
    result = _raised(_near_one(r, 1, constants.exponential), n, raised) * np.ldexp(of_type(1), -raised)
    return _by_sign(x, result, result)


@np.errstate(all="ignore")
def sigmoid(x: Floats) -> Floats:
    """``1 / (1 + e^-x)``."""
    one = np.ones_like(x)
    e = _lowered(_raised_exponential(_negative(x, _CONSTANTS[x.dtype].logistic_end)))
    result: Floats = _by_sign(x, e, one) / (one + e)
    return result


def _normal_tail(x: Floats) -> Floats:
    """``Phi(x) e^(x^2 / 2)`` for negative x: ``N(-x) / D(-x)``."""
    constants, square = _CONSTANTS[x.dtype], x * x

    def at_minus_x(c: Sequence[float]) -> Any:
        return _horner(square, c[::2]) - x * _horner(square, c[1::2])

    result: Floats = at_minus_x(constants.tail_numerator) / at_minus_x(constants.tail_denominator)
    return result


@np.errstate(all="ignore")
def normal_cdf(x: Floats) -> Floats:
    """``Phi(x)``, the standard normal distribution function."""
    t = _negative(x, _CONSTANTS[x.dtype].normal_end)
    tail = _lowered(_raised_bell(t) * _normal_tail(t))
    return _by_sign(x, tail, x.dtype.type(1) - tail)


@np.errstate(all="ignore")
def _relu(t: Floats) -> Floats:
    return np.where(t < 0, t.dtype.type(0), t)


@np.errstate(all="ignore")
def _relu_derivative(t: Floats) -> Floats:
    result: Floats = np.where(t <= 0, t.dtype.type(0), t.dtype.type(1))
    return result


def _symmetric_derivative(t: Floats, negative: Floats) -> Floats:
    """A derivative whose values at t and -t add up to 1, of the one at ``-|t|``."""
    return _by_sign(t, negative, t.dtype.type(1) - negative)


@np.errstate(all="ignore")
def _gelu(t: Floats) -> Floats:
    """``t Phi(t)``, which is ``t + (-|t|) Phi(-|t|)`` where t is positive."""
    x = _negative(t, _CONSTANTS[t.dtype].normal_end)
    zero = t.dtype.type(-0.0)
    result: Floats = np.where(zero > t, zero, t) + _lowered(x * (_raised_bell(x) * _normal_tail(x)))
    return result


@np.errstate(all="ignore")
def _gelu_derivative(t: Floats) -> Floats:
    """``Phi(t) + t phi(t)``, where phi is the density."""
    constants = _CONSTANTS[t.dtype]
    x = _negative(t, constants.normal_end)
    both = _normal_tail(x) + x * t.dtype.type(constants.density_at_zero)
    return _symmetric_derivative(t, _lowered(_raised_bell(x) * both))


def _gated(t: Floats, x: Floats, raised: Floats) -> Floats:
    """``t sigma(z)`` for a z with the sign of t, where x is ``-|t|``, and raised is e^z of x, raised."""
    result: Floats = np.where(t < 0, _lowered(x * raised), t) / (t.dtype.type(1) + _lowered(raised))
    return result


def _gated_derivative(t: Floats, slope: Floats, raised: Floats) -> Floats:
    """``sigma(z) + t z' sigma(z) sigma(-z)``, where slope is ``t z'`` of ``-|t|``."""
    one = t.dtype.type(1)
    right = one / (one + _lowered(raised))
    return _symmetric_derivative(t, _lowered(raised * (right * (one + slope * right))))


def _tanh_terms(t: Floats) -> tuple[Floats, Any, Floats]:
    """``x = -|t|``, c1 and ``c2 x^2``, where ``z log2(e) = x (c1 + c2 x^2)``."""
    constants, of_type = _CONSTANTS[t.dtype], t.dtype.type
    x = _negative(t, constants.tanh_end)
    return x, of_type(constants.tanh_linear), of_type(constants.tanh_cubic) * (x * x)


@np.errstate(all="ignore")
def _gelu_tanh(t: Floats) -> Floats:
    """``t sigma(z)``; e^z is a power of two."""
    x, linear, cubic = _tanh_terms(t)
    return _gated(t, x, _raised_power_of_two(x * (linear + cubic)))


@np.errstate(all="ignore")
def _gelu_tanh_derivative(t: Floats) -> Floats:
    x, linear, cubic = _tanh_terms(t)
    slope = x * (linear + t.dtype.type(3) * cubic) * t.dtype.type(_CONSTANTS[t.dtype].ln2)
    return _gated_derivative(t, slope, _raised_power_of_two(x * (linear + cubic)))


@np.errstate(all="ignore")
def _silu(t: Floats) -> Floats:
    """``t sigma(t)``."""
    x = _negative(t, _CONSTANTS[t.dtype].logistic_end)
    return _gated(t, x, _raised_exponential(x))


@np.errstate(all="ignore")
def _silu_derivative(t: Floats) -> Floats:
    x = _negative(t, _CONSTANTS[t.dtype].logistic_end)
    return _gated_derivative(t, x, _raised_exponential(x))


def _polynomial_at(x: Floats, width: np.float32, table: Floats) -> Floats:
    """Of each x from 0 on: the polynomial of its interval, at the distance from the interval's middle."""
    rounder = np.float32(_CONSTANTS[x.dtype].rounder)
    interval = (x * (np.float32(1) / width) + rounder) - rounder
    distance = x - interval * width
    of_power = table[:, interval.astype(np.intp)]
    total: Floats = of_power[-1]
    for coefficients in of_power[-2::-1]:
        total = coefficients + distance * total
    return total


def _piecewise(name: str, value: Function, derivative: Function) -> tuple[Function, Function]:
    """The same for float64. For float32 it is made of polynomials where |t| is in the tables' range."""
    width_of, *texts = TABLES[name]
    width = np.float32(float.fromhex(width_of))
    gates, derivatives = (np.array([_numbers(row) for row in text], np.float32) for text in texts)

    def inside(t: Floats, table: Floats) -> tuple[Any, Floats, Floats]:
        x = np.abs(t)
        is_inside = x < np.float32(15.5) * width
        at = np.where(is_inside, x, np.float32(0))
        return is_inside, at, _polynomial_at(at, width, table)

    @np.errstate(all="ignore")
    def piecewise_value(t: Floats) -> Floats:
        if t.dtype != np.float32:
            return value(t)
        is_inside, x, gate = inside(t, gates)
        return np.where(is_inside, np.where(t < 0, np.float32(-0.0), t) - x * gate, value(t))

    @np.errstate(all="ignore")
    def piecewise_derivative(t: Floats) -> Floats:
        if t.dtype != np.float32:
            return derivative(t)
        is_inside, _, negative = inside(t, derivatives)
        return np.where(is_inside, np.where(t < 0, negative, np.float32(1) - negative), derivative(t))

    return piecewise_value, piecewise_derivative


# In the order of the core, which counts from 1. Each has its value and its derivative.
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "relu": (_relu, _relu_derivative),
    "gelu": _piecewise("gelu", _gelu, _gelu_derivative),
    "gelu_tanh": _piecewise("gelu_tanh", _gelu_tanh, _gelu_tanh_derivative),
    "silu": _piecewise("silu", _silu, _silu_derivative),
}
