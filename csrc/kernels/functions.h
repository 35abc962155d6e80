// SPDX-License-Identifier: BSD-3-Clause
// exp, the logistic function and the normal distribution function of lanes (docs/numerics.md, sections 2 to
// 4). Every step is rounded by itself, so that every ISA gives the same bits. What is computed of -|x| has
// all its bits: it is multiplied by its power of two at the very end, with one rounding where the result is
// subnormal.
#pragma once
#include "math.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// numerics/coefficients.py derives them, but the first one and the ends, which are where results are zero.
template <class Lanes>
struct FunctionConstants;

template <>
struct FunctionConstants<Float32Lanes> {
  static constexpr double kRounder = 0x1.8p23;   // a sum with it is a multiple of 1
  static constexpr double kSplitter = 0x1.8p15;  // a multiple of 2^-8: below 16 it has 12 bits
  static constexpr double kExponentialLow = -104, kExponentialHigh = 89;
  static constexpr double kLogisticEnd = -110, kNormalEnd = -15, kTanhEnd = -11;
  static constexpr double kLog2E = 0x1.715476p+0, kLn2High = 0x1.62e4p-1, kLn2Low = 0x1.7f7d1cp-20;
  static constexpr double kExponential[] = {0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.123a1ep-7,
                                            0x1.6a23e6p-10};
  static constexpr double kTailNumerator[] = {0x1.803a92p+5, 0x1.51920ap+5, 0x1.1abeap+4, 0x1.f6a54cp+1,
                                              0x1.988572p-2};
  static constexpr double kTailDenominator[] = {0x1.803a92p+6, 0x1.421208p+7, 0x1.cf34bcp+6,
                                                0x1.6a41d4p+5, 0x1.3b015ap+3, 1};
  static constexpr double kDensityAtZero = 0x1.988454p-2;
  static constexpr double kTanhLinear = 0x1.988454p+0, kTanhCubic = 0x1.2444f2p-4;
};

template <>
struct FunctionConstants<Float64Lanes> {
  static constexpr double kRounder = 0x1.8p52;
  static constexpr double kSplitter = 0x1.8p32;  // a multiple of 2^-20: below 64 it has 26 bits
  static constexpr double kExponentialLow = -746, kExponentialHigh = 710;
  static constexpr double kLogisticEnd = -760, kNormalEnd = -39, kTanhEnd = -22;
  static constexpr double kLog2E = 0x1.71547652b82fep+0, kLn2High = 0x1.62e42fefa38p-1,
                          kLn2Low = 0x1.ef35793c7673p-45;
  static constexpr double kExponential[] = {
      0x1.000000000000ap-1,  0x1.55555555554f9p-3,  0x1.555555555083fp-5,  0x1.1111111127d44p-7,
      0x1.6c16c18438a6p-10,  0x1.a01a0129fd31ep-13, 0x1.a01999e263a8bp-16, 0x1.71df25da29fd7p-19,
      0x1.28ad9b9828b91p-22, 0x1.ad7f0356851afp-26};
  static constexpr double kTailNumerator[] = {
      0x1.b254eb1361f75p+19, 0x1.679a22b33d2e1p+20, 0x1.273057ca76522p+20, 0x1.366ee969880f7p+19,
      0x1.cadb53b39c0e4p+17, 0x1.efcaa623b53d2p+15, 0x1.8c0cee807693bp+13, 0x1.ce8051d925f6ap+10,
      0x1.7b452324a4da9p+7,  0x1.8d3b11a586365p+3,  0x1.9884533d43cbap-2};
  static constexpr double kTailDenominator[] = {
      0x1.b254eb1361f75p+20, 0x1.0a700c4ed0f48p+22, 0x1.31e3b485d5287p+22, 0x1.b2aa699dd222ap+21,
      0x1.a9b7f15f6e09p+20,  0x1.2e99261160c25p+19, 0x1.3fa07f34eedccp+17, 0x1.f7c58f3a88798p+14,
      0x1.23c6408f78e94p+12, 0x1.dc58339b17612p+8,  0x1.f1dadab575aedp+4,  1};
  static constexpr double kDensityAtZero = 0x1.9884533d43651p-2;
  static constexpr double kTanhLinear = 0x1.9884533d43651p+0, kTanhCubic = 0x1.2444f2a4d8b4bp-4;
};

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

// c[0] + c[1] x + c[2] x^2 + ..., as two chains that do not wait for each other: even powers and odd ones.
template <int count, class Lanes>
__attribute__((always_inline)) inline Lanes polynomial(Lanes x, const double (&c)[count]) {
  const Lanes square = x * x;
  return every_second<0>(square, c) + x * every_second<1>(square, c);
}

// The same of -x.
template <int count, class Lanes>
__attribute__((always_inline)) inline Lanes polynomial_of_minus(Lanes x, const double (&c)[count]) {
  const Lanes square = x * x;
  return every_second<0>(square, c) - x * every_second<1>(square, c);
}

// The nearest multiple of what a sum with `rounder` is a multiple of.
template <class Lanes>
__attribute__((always_inline)) inline Lanes rounded(Lanes a, double rounder) {
  return (a + constant<Lanes>(rounder)) - constant<Lanes>(rounder);
}

// -|x|, or `end` where that is smaller. Keeps the sign of a zero and all of a NaN.
template <class Lanes>
__attribute__((always_inline)) inline Lanes negative(Lanes x, double end) {
  return maximum(constant<Lanes>(end), minimum(constant<Lanes>(0) - x, x));
}

// fraction * 2^exponent.
template <class Lanes>
struct Scaled {
  Lanes fraction, exponent;
  __attribute__((always_inline)) Lanes value() const { return times_power_of_two(fraction, exponent); }
};

// e^r for r from -ln(2) / 2 to ln(2) / 2 and a little more.
template <class Lanes>
__attribute__((always_inline)) inline Lanes reduced_exponential(Lanes r) {
  return constant<Lanes>(1) + (r + r * r * polynomial(r, FunctionConstants<Lanes>::kExponential));
}

// e^x for x from where it is 0 to where it is infinite.
template <class Lanes>
__attribute__((always_inline)) inline Scaled<Lanes> scaled_exponential(Lanes x) {
  using C = FunctionConstants<Lanes>;
  const Lanes n = rounded(x * constant<Lanes>(C::kLog2E), C::kRounder);
  const Lanes r = (x - n * constant<Lanes>(C::kLn2High)) - n * constant<Lanes>(C::kLn2Low);
  return {reduced_exponential(r), n};
}

template <class Lanes>
__attribute__((always_inline)) inline Lanes exponential(Lanes x) {
  using C = FunctionConstants<Lanes>;
  x = minimum(constant<Lanes>(C::kExponentialHigh), maximum(constant<Lanes>(C::kExponentialLow), x));
  const auto [fraction, n] = scaled_exponential(x);
  const Lanes half = rounded(n * constant<Lanes>(0.5), C::kRounder);
  return fraction * power_of_two(half) * power_of_two(n - half);
}

template <class Lanes>
__attribute__((always_inline)) inline Lanes sigmoid(Lanes x) {
  const Lanes one = constant<Lanes>(1), zero = constant<Lanes>(0);
  const Lanes e = scaled_exponential(negative(x, FunctionConstants<Lanes>::kLogisticEnd)).value();
  return selected(x < zero, e, one) / (one + e);
}

// e^(-x^2 / 2) for x from kNormalEnd to 0. The square of x's upper part is exact; what is left is small.
template <class Lanes>
__attribute__((always_inline)) inline Scaled<Lanes> scaled_bell(Lanes x) {
  using C = FunctionConstants<Lanes>;
  const Lanes upper = rounded(x, C::kSplitter);
  const Lanes rest = (x - upper) * (x + upper);
  const Lanes n = rounded(x * x * constant<Lanes>(-C::kLog2E / 2), C::kRounder);
  const Lanes twice_r =
      ((upper * upper + n * constant<Lanes>(2 * C::kLn2High)) + rest) + n * constant<Lanes>(2 * C::kLn2Low);
  return {reduced_exponential(twice_r * constant<Lanes>(-0.5)), n};
}

// Phi(x) e^(x^2 / 2) for x from kNormalEnd to 0.
template <class Lanes>
__attribute__((always_inline)) inline Lanes normal_tail(Lanes x) {
  using C = FunctionConstants<Lanes>;
  return polynomial_of_minus(x, C::kTailNumerator) / polynomial_of_minus(x, C::kTailDenominator);
}

template <class Lanes>
__attribute__((always_inline)) inline Lanes normal_cdf(Lanes x) {
  const Lanes t = negative(x, FunctionConstants<Lanes>::kNormalEnd);
  const auto [bell, n] = scaled_bell(t);
  const Lanes tail = times_power_of_two(bell * normal_tail(t), n);
  return selected(x < constant<Lanes>(0), tail, constant<Lanes>(1) - tail);
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
