// SPDX-License-Identifier: BSD-3-Clause
// The unit of work: a tile is 128 consecutive mask indices, and its keep bits are four 32-bit words.
#pragma once
#include <stdint.h>

namespace fastdrop {

constexpr int kBlockElements = 8;  // a 128-bit generator block holds eight 16-bit numbers
constexpr int kTileBlocks = 16;
constexpr int kTileElements = kTileBlocks * kBlockElements;

// Bit j of word[i] is the keep bit of element 32 * i + j of the tile. Words of 32 bits, because that is
// what one AVX-512 comparison of 16-bit numbers yields: it can stay in a predicate register.
struct TileBits {
  uint32_t word[4];
};

}  // namespace fastdrop
