// SPDX-License-Identifier: BSD-3-Clause
// Decisions as bits. Plain loops, which the compiler turns into each ISA's vectors.
#pragma once
#include <stdint.h>

namespace fastdrop::FASTDROP_ISA {
namespace {

// Byte i, 0 or 1, becomes bit i % 8 of byte i / 8. Reads and writes whole groups of eight.
inline void pack_bits(const uint8_t* bytes, uint64_t count, uint8_t* bits) {
  for (uint64_t i = 0; i < (count + 7) / 8; ++i) {
    uint64_t eight;
    __builtin_memcpy(&eight, bytes + 8 * i, sizeof eight);
    // Byte i, at 2^(8 i), times 2^(56 - 7 i) is bit i of the highest byte; no sum below it carries.
    bits[i] = (uint8_t)(eight * 0x0102040810204080 >> 56);
  }
}

// bits[i] &= bits[i - distance] for all i from `distance` on, from the last to the first: each sees what the
// other was before. A vector is read before it is written, so overlapping does no harm.
inline void widen_drops(uint64_t* words, uint64_t count, uint64_t distance) {
  constexpr uint64_t width = 8;
  typedef uint64_t Words __attribute__((vector_size(8 * width)));
  const uint64_t whole = distance / 64, part = distance % 64;
  uint64_t end = count;
  for (; end > whole + width; end -= width) {
    uint64_t* const from = words + end - width;
    Words here, before, below;
    __builtin_memcpy(&here, from, sizeof here);
    __builtin_memcpy(&before, from - whole, sizeof before);
    __builtin_memcpy(&below, from - whole - 1, sizeof below);
    here &= before << part | below >> 1 >> (63 - part);
    __builtin_memcpy(from, &here, sizeof here);
  }
  while (end-- > whole) {
    const uint64_t below = end > whole ? words[end - whole - 1] : ~(uint64_t)0;
    words[end] &= words[end - whole] << part | below >> 1 >> (63 - part);
  }
}

// How many bits are 1, by sums of ever wider fields: without POPCNT the compiler would call a library.
inline uint64_t count_bits(const uint64_t* words, uint64_t count) {
  uint64_t ones = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t fields = words[i] - (words[i] >> 1 & 0x5555555555555555);
    fields = (fields & 0x3333333333333333) + (fields >> 2 & 0x3333333333333333);
    fields = (fields + (fields >> 4)) & 0x0F0F0F0F0F0F0F0F;
    ones += fields * 0x0101010101010101 >> 56;
  }
  return ones;
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
