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

// How many bits are 1. `words` are read at any alignment.
inline uint64_t count_bits(const uint8_t* bits, uint64_t words) {
  uint64_t count = 0;
  for (uint64_t i = 0; i < words; ++i) {
    uint64_t word;
    __builtin_memcpy(&word, bits + 8 * i, sizeof word);
    count += (uint64_t)__builtin_popcountll(word);
  }
  return count;
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
