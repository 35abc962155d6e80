// SPDX-License-Identifier: BSD-3-Clause
// Activations and their derivatives (docs/numerics.md, section 5). Each struct has functions of lanes: value,
// and derivative where gradients are multiplied by it (see times_derivative() in rows/bias_dropout_add.h).
#pragma once
#include "functions.h"
#include "piecewise.h"

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
};

// The derivatives of the others at t and -t add up to 1. `negative` is the one at -|t|.
template <class Lanes>
__attribute__((always_inline)) inline Lanes symmetric_derivative(Lanes t, Lanes negative) {
  return by_sign(t, negative, constant<Lanes>(1) - negative);
}

// t Phi(t), which is t + (-|t|) Phi(-|t|) where t is positive.
struct ExactGelu {
  template <class Lanes>
  __attribute__((always_inline)) static Lanes value(Lanes t) {
    const Lanes x = negative(t, FunctionConstants<Lanes>::kNormalEnd);
    return maximum(constant<Lanes>(-0.0), t) + lowered(x * (raised_bell(x) * normal_tail(x)));
  }
  // Phi(x) + x phi(x), where phi is the density.
  template <class Lanes>
  __attribute__((always_inline)) static Lanes derivative(Lanes t) {
    using C = FunctionConstants<Lanes>;
    const Lanes x = negative(t, C::kNormalEnd);
    const Lanes sum = normal_tail(x) + x * constant<Lanes>(C::kDensityAtZero);
    return symmetric_derivative(t, lowered(raised_bell(x) * sum));
  }
};

// t sigma(z), where z has the sign of t. Here x is -|t|, and `raised` is e^z of x, raised.
template <class Lanes>
__attribute__((always_inline)) inline Lanes gated_value(Lanes t, Lanes x, Lanes raised) {
  return selected(t < constant<Lanes>(0), lowered(x * raised), t) / (constant<Lanes>(1) + lowered(raised));
}

// Its derivative: sigma(z) + t z' sigma(z) sigma(-z). Here `slope` is t z' of -|t|.
template <class Lanes>
__attribute__((always_inline)) inline Lanes gated_derivative(Lanes t, Lanes slope, Lanes raised) {
  const Lanes one = constant<Lanes>(1), right = one / (one + lowered(raised));
  return symmetric_derivative(t, lowered(raised * (right * (one + slope * right))));
}

// t sigma(z). Here z log2(e) is t (c1 + c2 t^2), so that e^z is a power of two.
struct ExactGeluTanh {
  template <class Lanes>
  __attribute__((always_inline)) static Lanes value(Lanes t) {
    using C = FunctionConstants<Lanes>;
    const Lanes x = negative(t, C::kTanhEnd);
    const Lanes cubic = constant<Lanes>(C::kTanhCubic) * (x * x);
    return gated_value(t, x, raised_power_of_two(x * (constant<Lanes>(C::kTanhLinear) + cubic)));
  }
  template <class Lanes>
  __attribute__((always_inline)) static Lanes derivative(Lanes t) {
    using C = FunctionConstants<Lanes>;
    const Lanes x = negative(t, C::kTanhEnd), linear = constant<Lanes>(C::kTanhLinear);
    const Lanes cubic = constant<Lanes>(C::kTanhCubic) * (x * x);
    const Lanes slope = x * (linear + constant<Lanes>(3) * cubic) * constant<Lanes>(C::kLn2);
    return gated_derivative(t, slope, raised_power_of_two(x * (linear + cubic)));
  }
};

// t sigma(t).
struct ExactSilu {
  template <class Lanes>
  __attribute__((always_inline)) static Lanes value(Lanes t) {
    const Lanes x = negative(t, FunctionConstants<Lanes>::kLogisticEnd);
    return gated_value(t, x, raised_exponential(x));
  }
  template <class Lanes>
  __attribute__((always_inline)) static Lanes derivative(Lanes t) {
    const Lanes x = negative(t, FunctionConstants<Lanes>::kLogisticEnd);
    return gated_derivative(t, x, raised_exponential(x));
  }
};

using Gelu = Piecewise<ExactGelu>;
using GeluTanh = Piecewise<ExactGeluTanh>;
using Silu = Piecewise<ExactSilu>;

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
