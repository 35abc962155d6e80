// SPDX-License-Identifier: BSD-3-Clause
// The natural logarithm of one number (docs/numerics.md, section 11): a row has one, which is computed in
// float64.
#pragma once
#include "math.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// numerics/coefficients.py derives the numbers in hexadecimal. The upper part of ln 2 has 42 bits, so that
// its product with an exponent is exact.
constexpr double kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;
constexpr double kRootOfHalf = 0x1.6a09e667f3bcdp-1;
constexpr double kLogarithmTail[] = {0x1.5555555555592p-1, 0x1.999999997fdb3p-2, 0x1.24924941f151bp-2,
                                     0x1.c71c52093ed37p-3, 0x1.74663eedf6e1dp-3, 0x1.39a1ba314aa2fp-3,
                                     0x1.2f0568a84ffb1p-3};

// Of a positive normal number. x is 2^k m with m from sqrt(1/2) to sqrt(2), and s is (m - 1) / (m + 1).
inline double natural_logarithm(double x) {
  if (x != x) return x;
  const int64_t k = (int64_t)(as_bits(x) - as_bits(kRootOfHalf)) >> 52;
  const double m = as_double(as_bits(x) - ((uint64_t)k << 52));
  const double s = (m - 1) / (m + 1), square = s * s;
  constexpr int last = sizeof kLogarithmTail / sizeof *kLogarithmTail - 1;
  double tail = kLogarithmTail[last];
#pragma GCC unroll 8
  for (int i = last - 1; i >= 0; --i) tail = kLogarithmTail[i] + square * tail;
  return (double)k * kLn2High + (2 * s + (s * (square * tail) + (double)k * kLn2Low));
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
