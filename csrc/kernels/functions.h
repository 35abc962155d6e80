// SPDX-License-Identifier: BSD-3-Clause
// exp, the logistic function and the normal distribution function of lanes (docs/numerics.md, sections 2 to
// 4). Every step is rounded by itself, so that every ISA gives the same bits. Powers are computed raised,
// which is times 2^64, or 2^512 in float64. So they are normal numbers, and what is computed of them is
// rounded to a subnormal result at the very end, once.
#pragma once
#include "function_constants.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

template <class Lanes>
__attribute__((always_inline)) inline Lanes constant(double value) {
  return Lanes::broadcast(value);
}

// c[first] + x * (c[first + 2] + x * (c[first + 4] + ...)): Horner's rule.
template <int first, int count, class Lanes>
__attribute__((always_inline)) inline Lanes every_second(Lanes x, const double (&c)[count]) {
  constexpr int last = count - 1 - (count - 1 - first) % 2;
  Lanes sum = constant<Lanes>(c[last]);
#pragma GCC unroll 16
  for (int i = last - 2; i >= first; i -= 2) sum = constant<Lanes>(c[i]) + x * sum;
  return sum;
}

// 1 + r (linear + r q(r)), where q has those coefficients: a power whose logarithm is r times `linear`. The
// even powers and the odd ones of q are two chains, which do not wait for each other.
template <int count, class Lanes>
__attribute__((always_inline)) inline Lanes near_one(Lanes r, double linear, const double (&c)[count]) {
  const Lanes square = r * r;
  const Lanes q = every_second<0>(square, c) + r * every_second<1>(square, c);
  return constant<Lanes>(1) + r * (constant<Lanes>(linear) + r * q);
}

// -|x|, or `end` where that is smaller or x is a NaN.
template <class Lanes>
__attribute__((always_inline)) inline Lanes negative(Lanes x, double end) {
  return maximum(minus_magnitude(x), constant<Lanes>(end));
}

// What belongs to the sign of x; x itself if it is a NaN.
template <class Lanes>
__attribute__((always_inline)) inline Lanes by_sign(Lanes x, Lanes if_negative, Lanes otherwise) {
  const Lanes zero = constant<Lanes>(0);
  return selected(x < zero, if_negative, selected(zero <= x, otherwise, x));
}

// What to add to a number to round it to an integer n, so that the lowest bits of the sum are n + kRaise.
template <class Lanes>
__attribute__((always_inline)) inline Lanes raising_rounder() {
  return constant<Lanes>(FunctionConstants<Lanes>::kRounder + FunctionConstants<Lanes>::kRaise);
}

// x = n ln 2 + r, and n in the lowest bits of a sum with the rounder. The product of n and the upper part of
// ln 2 is exact.
template <class Lanes>
struct ReducedExponent {
  Lanes sum, r;

  __attribute__((always_inline)) ReducedExponent(Lanes x, Lanes rounder) {
    using C = FunctionConstants<Lanes>;
    sum = x * constant<Lanes>(C::kLog2E) + rounder;
    const Lanes n = sum - rounder;
    r = (x - n * constant<Lanes>(C::kLn2High)) - n * constant<Lanes>(C::kLn2Low);
  }
};

// e^x, raised as the rounder does.
template <class Lanes>
__attribute__((always_inline)) inline Lanes raised_exponential(Lanes x,
                                                               Lanes rounder = raising_rounder<Lanes>()) {
  const ReducedExponent<Lanes> reduced(x, rounder);
  return times_power_of_two(near_one(reduced.r, 1, FunctionConstants<Lanes>::kExponential), reduced.sum);
}

// e^x, raised, for x up to 0, or a NaN for a NaN: what softmax is made of. Many powers are under way, so that
// one chain with a step less is the fastest. The power of two is a factor here, since an addition to a NaN's
// exponent may leave a number.
template <class Lanes>
__attribute__((always_inline)) inline Lanes raised_exponential_to_zero(Lanes x) {
  using C = FunctionConstants<Lanes>;
  const ReducedExponent<Lanes> reduced(maximum(constant<Lanes>(C::kExponentialLow), x),
                                       raising_rounder<Lanes>());
  constexpr int count = sizeof C::kExponential / sizeof *C::kExponential;
  Lanes power = constant<Lanes>(C::kExponential[count - 1]);
#pragma GCC unroll 16
  for (int i = count - 2; i >= 0; --i) power = constant<Lanes>(C::kExponential[i]) + reduced.r * power;
  power = constant<Lanes>(1) + reduced.r * power;
  power = constant<Lanes>(1) + reduced.r * power;
  return power * times_power_of_two(constant<Lanes>(1), reduced.sum);
}

// 2^x, raised.
template <class Lanes>
__attribute__((always_inline)) inline Lanes raised_power_of_two(Lanes x) {
  using C = FunctionConstants<Lanes>;
  const Lanes sum = x + raising_rounder<Lanes>();
  return times_power_of_two(near_one(x - (sum - raising_rounder<Lanes>()), C::kLn2, C::kPowerOfTwo), sum);
}

// e^(-x^2 / 2), raised, for x from kNormalEnd to 0. The square of x's upper half is exact; what is left is
// small. Twice the logarithm is reduced, and its factor of -1/2 is in the coefficients.
template <class Lanes>
__attribute__((always_inline)) inline Lanes raised_bell(Lanes x) {
  using C = FunctionConstants<Lanes>;
  const Lanes upper = upper_half(x), rest = (x - upper) * (x + upper);
  const Lanes sum = x * x * constant<Lanes>(-C::kLog2E / 2) + raising_rounder<Lanes>();
  const Lanes n = sum - raising_rounder<Lanes>();
  const Lanes r =
      ((upper * upper + n * constant<Lanes>(2 * C::kLn2High)) + rest) + n * constant<Lanes>(2 * C::kLn2Low);
  return times_power_of_two(near_one(r, -0.5, C::kBell), sum);
}

template <class Lanes>
__attribute__((always_inline)) inline Lanes lowered(Lanes a) {
  return a * constant<Lanes>(FunctionConstants<Lanes>::kLowered);
}

// Positive powers are lowered first and raised in the end.
template <class Lanes>
__attribute__((always_inline)) inline Lanes exponential(Lanes x) {
  using C = FunctionConstants<Lanes>;
  const auto is_negative = x < constant<Lanes>(0);
  const Lanes inside =
      minimum(maximum(x, constant<Lanes>(C::kExponentialLow)), constant<Lanes>(C::kExponentialHigh));
  const Lanes lowering_rounder = constant<Lanes>(C::kRounder - C::kRaise);
  const Lanes power =
      raised_exponential(inside, selected(is_negative, raising_rounder<Lanes>(), lowering_rounder));
  const Lanes result =
      power * selected(is_negative, constant<Lanes>(C::kLowered), constant<Lanes>(1 / C::kLowered));
  return by_sign(x, result, result);
}

template <class Lanes>
__attribute__((always_inline)) inline Lanes sigmoid(Lanes x) {
  const Lanes one = constant<Lanes>(1);
  const Lanes e = lowered(raised_exponential(negative(x, FunctionConstants<Lanes>::kLogisticEnd)));
  return by_sign(x, e, one) / (one + e);
}

// Phi(x) e^(x^2 / 2) for x from kNormalEnd to 0: N(-x) / D(-x).
template <class Lanes>
__attribute__((always_inline)) inline Lanes normal_tail(Lanes x) {
  using C = FunctionConstants<Lanes>;
  const Lanes square = x * x;
  const auto at_minus_x = [x, square](const auto& c) __attribute__((always_inline)) {
    return every_second<0>(square, c) - x * every_second<1>(square, c);
  };
  return at_minus_x(C::kTailNumerator) / at_minus_x(C::kTailDenominator);
}

template <class Lanes>
__attribute__((always_inline)) inline Lanes normal_cdf(Lanes x) {
  const Lanes t = negative(x, FunctionConstants<Lanes>::kNormalEnd);
  const Lanes tail = lowered(raised_bell(t) * normal_tail(t));
  return by_sign(x, tail, constant<Lanes>(1) - tail);
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
