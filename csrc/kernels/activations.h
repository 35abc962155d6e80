// SPDX-License-Identifier: BSD-3-Clause
// Activations and their derivatives (docs/numerics.md, section 5). Each struct has two functions of lanes:
// value and derivative.
#pragma once
#include "functions.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

struct Identity {
  template <class Lanes>
  __attribute__((always_inline)) static Lanes value(Lanes t) {
    return t;
  }
};

struct Relu {
  template <class Lanes>
  __attribute__((always_inline)) static Lanes value(Lanes t) {
    return maximum(constant<Lanes>(0), t);
  }
  template <class Lanes>
  __attribute__((always_inline)) static Lanes derivative(Lanes t) {
    const Lanes zero = constant<Lanes>(0);
    return selected(t <= zero, zero, constant<Lanes>(1));
  }
};

// The derivatives of the others at t and -t add up to 1. `negative` is the one at -|t|.
template <class Lanes>
__attribute__((always_inline)) inline Lanes symmetric_derivative(Lanes t, Lanes negative) {
  return selected(t < constant<Lanes>(0), negative, constant<Lanes>(1) - negative);
}

// t Phi(t) = t + (-|t|) Phi(-|t|) where t is positive.
struct Gelu {
  template <class Lanes>
  __attribute__((always_inline)) static Lanes value(Lanes t) {
    const Lanes x = negative(t, FunctionConstants<Lanes>::kNormalEnd);
    const auto [bell, n] = scaled_bell(x);
    const Lanes left = times_power_of_two(x * (bell * normal_tail(x)), n);
    return selected(t < constant<Lanes>(0), left, t + left);
  }
  // Phi(x) + x phi(x), where phi is the density.
  template <class Lanes>
  __attribute__((always_inline)) static Lanes derivative(Lanes t) {
    using C = FunctionConstants<Lanes>;
    const Lanes x = negative(t, C::kNormalEnd);
    const auto [bell, n] = scaled_bell(x);
    const Lanes sum = normal_tail(x) + x * constant<Lanes>(C::kDensityAtZero);
    return symmetric_derivative(t, times_power_of_two(bell * sum, n));
  }
};

// t sigma(z), where z has the sign of t and x = -|t|.
template <class Lanes>
__attribute__((always_inline)) inline Lanes gated_value(Lanes t, Lanes x, Lanes negative_z) {
  const Lanes one = constant<Lanes>(1);
  const auto [fraction, n] = scaled_exponential(negative_z);
  const Lanes left = times_power_of_two(x * fraction, n);
  return selected(t < constant<Lanes>(0), left, t) / (one + times_power_of_two(fraction, n));
}

// Its derivative: sigma(z) + t z' sigma(z) sigma(-z), where x_slope is x z'.
template <class Lanes>
__attribute__((always_inline)) inline Lanes gated_derivative(Lanes t, Lanes x_slope, Lanes negative_z) {
  const Lanes one = constant<Lanes>(1);
  const auto [fraction, n] = scaled_exponential(negative_z);
  const Lanes right = one / (one + times_power_of_two(fraction, n));
  return symmetric_derivative(t, times_power_of_two(fraction * (right * (one + x_slope * right)), n));
}

// t sigma(z), z = t (c1 + c2 t^2).
struct GeluTanh {
  template <class Lanes>
  __attribute__((always_inline)) static Lanes value(Lanes t) {
    using C = FunctionConstants<Lanes>;
    const Lanes x = negative(t, C::kTanhEnd);
    return gated_value(t, x,
                       x * (constant<Lanes>(C::kTanhLinear) + constant<Lanes>(C::kTanhCubic) * (x * x)));
  }
  template <class Lanes>
  __attribute__((always_inline)) static Lanes derivative(Lanes t) {
    using C = FunctionConstants<Lanes>;
    const Lanes x = negative(t, C::kTanhEnd), linear = constant<Lanes>(C::kTanhLinear);
    const Lanes cubic = constant<Lanes>(C::kTanhCubic) * (x * x);
    return gated_derivative(t, x * (linear + constant<Lanes>(3) * cubic), x * (linear + cubic));
  }
};

// t sigma(t).
struct Silu {
  template <class Lanes>
  __attribute__((always_inline)) static Lanes value(Lanes t) {
    const Lanes x = negative(t, FunctionConstants<Lanes>::kLogisticEnd);
    return gated_value(t, x, x);
  }
  template <class Lanes>
  __attribute__((always_inline)) static Lanes derivative(Lanes t) {
    const Lanes x = negative(t, FunctionConstants<Lanes>::kLogisticEnd);
    return gated_derivative(t, x, x);
  }
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
