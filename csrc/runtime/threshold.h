// SPDX-License-Identifier: BSD-3-Clause
// From a probability to the threshold of the mask stream (stream document, section 3).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "request.h"

namespace fastdrop {

// D = high * 2^48 + low. D = 2^64, which drops everything, is the one with low = 2^48: then a word that ties
// is dropped as well.
struct Threshold {
  std::uint16_t high;
  std::uint64_t low;
};

// A rate is p, or where it is negative -(1 - p): D is p * 2^64, or 2^64 - (1 - p) * 2^64, rounded half to
// even. Without branches or conversions to 64 bits, which x86-64 has no vectors for before AVX-512.
inline Threshold threshold(double rate) {
  const double sixteenths = std::fabs(rate) * 0x1p16;  // exact, and so is the difference below
  const auto upper = static_cast<std::int32_t>(sixteenths);
  // Doubles from 2^52 to 2^53 are the integers: adding 2^52 rounds to one, which is in the lower bits.
  const double shifted = (sixteenths - upper) * 0x1p48 + 0x1p52;
  std::uint64_t lower;
  std::memcpy(&lower, &shifted, sizeof lower);
  const std::uint64_t magnitude =
      (static_cast<std::uint64_t>(upper) << 48) + (lower & ((std::uint64_t{1} << 52) - 1));
  const std::uint64_t bound = rate < 0 ? 0 - magnitude : magnitude;
  const bool drops_all = bound == 0 && (rate < 0 || rate > 0.5);  // 2^64 has overflowed
  return {static_cast<std::uint16_t>(drops_all ? 0xFFFF : bound >> 48),
          drops_all ? std::uint64_t{1} << 48 : bound & ((std::uint64_t{1} << 48) - 1)};
}

// What a mask of that rate multiplies by where it keeps, and 0 where nothing is kept: _values.py's scale_for.
inline double scale_for(double rate) {
  const double keep = rate < 0 ? -rate : 1 - rate;
  return keep > 0 ? 1 / keep : 0;
}

// For kernels that draw by that p, or read a user's bits.
inline KeepArgs keep_args(const MaskState& mask, double p) {
  const Threshold bound = threshold(p);
  return {{mask.key[0], mask.key[1]}, mask.stream, bound.high, bound.low, nullptr, nullptr, mask.bits};
}

}  // namespace fastdrop
