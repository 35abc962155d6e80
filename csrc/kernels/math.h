// SPDX-License-Identifier: BSD-3-Clause
// Arithmetic of single values that several files need.
#pragma once
#include <stdint.h>

namespace fastdrop::FASTDROP_ISA {
namespace {

inline uint32_t as_bits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float as_float(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
inline uint64_t as_bits(double value) {
  uint64_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline double as_double(uint64_t bits) {
  double value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

inline float square_root(float value) { return __builtin_sqrtf(value); }
inline double square_root(double value) { return __builtin_sqrt(value); }

// c0 + x * (c1 + x * (c2 + ...)): Horner's rule. Not a loop, which the vectoriser would have to unroll first.
inline float polynomial(float, float coefficient) { return coefficient; }
template <class... Coefficients>
inline float polynomial(float x, float first, Coefficients... others) {
  return first + x * polynomial(x, others...);
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
