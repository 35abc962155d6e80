// SPDX-License-Identifier: BSD-3-Clause
// Element types, by integers only: what a value is in the type that is computed with, and how a result is
// rounded to the type of the data (docs/stream.md, section 4).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "../csrc/shared/kernel_table.h"

namespace oracle {

template <class To, class From>
To bits_of(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

inline float widened_float16(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half} >> 15 << 31, exponent = half >> 10 & 31,
                      fraction = half & 1023;
  if (exponent == 0)
    return std::copysign(std::ldexp(static_cast<float>(fraction), -24), bits_of<float>(sign | 1));
  if (exponent == 31) return bits_of<float>(sign | 0x7F800000 | fraction << 13);
  return bits_of<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

inline std::uint16_t rounded_to_float16(float value) {
  const auto bits = bits_of<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 31 << 15);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7E00 | (bits >> 13 & 0x3FF));
  const float magnitude = std::fabs(value);
  if (magnitude == 0) return sign;
  if (magnitude >= 65520) return static_cast<std::uint16_t>(sign | 0x7C00);
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  // The distance between neighbours: 2^-10 of a power of two, and 2^-24 below 2^-14.
  const int unit = exponent - 11 < -24 ? -24 : exponent - 11;
  const auto steps = static_cast<unsigned>(std::rint(std::ldexp(magnitude, -unit)));
  // Steps that reach the next power of two carry into the exponent.
  const unsigned result = unit == -24 ? steps : (static_cast<unsigned>(unit + 24) << 10) + steps;
  return static_cast<std::uint16_t>(sign | result);
}

inline std::uint16_t rounded_to_bfloat16(float value) {
  const auto bits = bits_of<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// T is the type that is computed with.
template <class T>
T read(const char* from, fastdrop::Element element) {
  std::uint16_t half;
  T value;
  switch (element) {
    case fastdrop::kFloat16:
      std::memcpy(&half, from, sizeof half);
      return widened_float16(half);
    case fastdrop::kBFloat16:
      std::memcpy(&half, from, sizeof half);
      return bits_of<float>(std::uint32_t{half} << 16);
    default:
      std::memcpy(&value, from, sizeof value);
      return value;
  }
}

template <class T>
void write(char* to, fastdrop::Element element, T value) {
  if (element == fastdrop::kFloat16 || element == fastdrop::kBFloat16) {
    const auto single = static_cast<float>(value);
    const std::uint16_t half =
        element == fastdrop::kFloat16 ? rounded_to_float16(single) : rounded_to_bfloat16(single);
    std::memcpy(to, &half, sizeof half);
  } else {
    std::memcpy(to, &value, sizeof value);
  }
}

inline bool is_nan(const char* at, fastdrop::Element element) {
  if (element == fastdrop::kBool) return false;
  return element == fastdrop::kFloat64 ? std::isnan(read<double>(at, element))
                                       : std::isnan(read<float>(at, element));
}

}  // namespace oracle
