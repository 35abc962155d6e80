// SPDX-License-Identifier: BSD-3-Clause
// Portable C++: what kernels on rows need beside scalar.h (the vector contract of csrc/README.md, its second
// part).
#pragma once
#include <stdint.h>

#include "scalar.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

template <class T>
inline ScalarLane<T> zero_unless_bits(uint32_t bits, ScalarLane<T> a) {
  return {bits & 1 ? a.value : T(0)};
}
template <class T>
inline T folded(ScalarLane<T> a) {
  return a.value;
}
template <class T>
inline T largest(ScalarLane<T> a) {
  return a.value;
}
// The first lanes, `count` of them, from memory and to it: there is one.
template <class T>
inline ScalarLane<T> load_part(const T* from, int) {
  return {*from};
}
template <class T>
inline void store_part(T* to, int, ScalarLane<T> a) {
  *to = a.value;
}

// For piecewise.h. `index` is a sum whose lowest four bits say which of sixteen values.
inline Float32Lanes lookup(const float* sixteen, Float32Lanes index) {
  return {sixteen[as_bits(index.value) & 15]};
}
inline Float32Lanes absolute(Float32Lanes a) { return {as_float(as_bits(a.value) & 0x7FFFFFFF)}; }
inline bool all_below(Float32Lanes a, Float32Lanes b) { return a.value < b.value; }

// For functions.h. minimum and maximum give b where one of both is a NaN, and where both are zeros.
template <class T>
inline ScalarLane<T> minimum(ScalarLane<T> a, ScalarLane<T> b) {
  return a.value < b.value ? a : b;
}
template <class T>
inline ScalarLane<T> maximum(ScalarLane<T> a, ScalarLane<T> b) {
  return a.value > b.value ? a : b;
}
template <class T>
inline bool operator<(ScalarLane<T> a, ScalarLane<T> b) {
  return a.value < b.value;
}
template <class T>
inline bool operator<=(ScalarLane<T> a, ScalarLane<T> b) {
  return a.value <= b.value;
}
template <class T>
inline ScalarLane<T> selected(bool condition, ScalarLane<T> a, ScalarLane<T> otherwise) {
  return condition ? a : otherwise;
}
inline Float32Lanes minus_magnitude(Float32Lanes a) { return {as_float(as_bits(a.value) | 1u << 31)}; }
inline Float64Lanes minus_magnitude(Float64Lanes a) {
  return {as_double(as_bits(a.value) | uint64_t{1} << 63)};
}
inline Float32Lanes upper_half(Float32Lanes a) { return {as_float(as_bits(a.value) & ~0u << 12)}; }
inline Float64Lanes upper_half(Float64Lanes a) { return {as_double(as_bits(a.value) & ~uint64_t{0} << 27)}; }
inline Float32Lanes times_power_of_two(Float32Lanes a, Float32Lanes sum) {
  return {as_float(as_bits(a.value) + (as_bits(sum.value) << 23))};
}
inline Float64Lanes times_power_of_two(Float64Lanes a, Float64Lanes sum) {
  return {as_double(as_bits(a.value) + (as_bits(sum.value) << 52))};
}

// As many values of 16 bits as Float32Lanes has, in the order of memory. They are of one kind or the other.
struct Halves {
  uint16_t value;

  static Halves load(const uint16_t* from) { return {*from}; }
  void store(uint16_t* to) const { *to = value; }
};
inline Halves load_part(const uint16_t* from, int) { return {*from}; }
inline void store_part(uint16_t* to, int, Halves a) { *to = a.value; }
inline Float32Lanes widen_float16(Halves a) { return {widen_float16(a.value)}; }
inline Halves narrow_to_float16(Float32Lanes a) { return {round_to_float16(a.value)}; }
inline Float32Lanes widen_bfloat16(Halves a) { return {widen_bfloat16(a.value)}; }
// A NaN is cut off, and stays one by its upper bit.
inline Halves narrow_to_bfloat16(Float32Lanes a) {
  const uint32_t bits = as_bits(a.value);
  return {a.value != a.value ? (uint16_t)(bits >> 16 | 0x40) : round_to_bfloat16(a.value)};
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
