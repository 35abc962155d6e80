// SPDX-License-Identifier: BSD-3-Clause
// Activations of float32 by polynomials, of which each sixteenth of the range has its own: half the steps of
// an exponential and a division (docs/numerics.md, section 6). Beyond the range, where few values are, and in
// float64 they are computed by the steps of section 5.
#pragma once
#include "functions.h"
#include "piecewise_tables.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

template <class Lanes>
constexpr bool kHasTables = false;
template <>
constexpr bool kHasTables<Float32Lanes> = true;

// Not inlined: they are long, and for float32 seldom called.
template <class Exact, class Lanes>
__attribute__((noinline)) Lanes exact_value(Lanes t) {
  return Exact::value(t);
}
template <class Exact, class Lanes>
__attribute__((noinline)) Lanes exact_derivative(Lanes t) {
  return Exact::derivative(t);
}

template <class Lanes, class Function>
__attribute__((always_inline)) inline Lanes each(Lanes t, Function function) {
  return function(t);
}

// Where x is not below `end`, exact(t) instead.
template <class Lanes, class Function>
__attribute__((always_inline)) inline Lanes exact_beyond(Lanes x, double end, Lanes inside, Lanes t,
                                                         Function exact) {
  const Lanes last = constant<Lanes>(end);
  if (__builtin_expect(all_below(x, last), 1)) return inside;
  return selected(x < last, inside, exact(t));
}

template <class Exact>
struct Piecewise {
  using Tables = PiecewiseTables<Exact>;
  static constexpr double kEnd = 15.5 * Tables::kWidth;

  // t g(t), where 1 - g(t) = g(-t): -x g(-x) on the left of zero, and t - x g(-x) on the right.
  template <class Lanes>
  __attribute__((always_inline)) static Lanes value(Lanes t) {
    if constexpr (!kHasTables<Lanes>) {
      return each(t, [](auto a) { return exact_value<Exact>(a); });
    } else {
      const Lanes x = absolute(t);
      const Lanes inside = maximum(constant<Lanes>(-0.0), t) - x * polynomial_at(Tables::kGate, x);
      return exact_beyond(x, kEnd, inside, t, [](auto a) { return exact_value<Exact>(a); });
    }
  }
  template <class Lanes>
  __attribute__((always_inline)) static Lanes derivative(Lanes t) {
    if constexpr (!kHasTables<Lanes>) {
      return each(t, [](auto a) { return exact_derivative<Exact>(a); });
    } else {
      const Lanes x = absolute(t), negative = polynomial_at(Tables::kDerivative, x);
      const Lanes inside = selected(t < constant<Lanes>(0), negative, constant<Lanes>(1) - negative);
      return exact_beyond(x, kEnd, inside, t, [](auto a) { return exact_derivative<Exact>(a); });
    }
  }

 private:
  template <class Lanes>
  __attribute__((always_inline)) static Lanes polynomial_at(const float (&table)[8][16], Lanes x) {
    const Lanes rounder = constant<Lanes>(FunctionConstants<Lanes>::kRounder);
    const Lanes index = x * constant<Lanes>(Tables::kPerWidth) + rounder;
    const Lanes distance = x - (index - rounder) * constant<Lanes>(Tables::kWidth);  // the product is exact
    Lanes sum = lookup(table[7], index);
#pragma GCC unroll 8
    for (int power = 6; power >= 0; --power) sum = lookup(table[power], index) + distance * sum;
    return sum;
  }
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
