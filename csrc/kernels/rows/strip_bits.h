// SPDX-License-Identifier: BSD-3-Clause
// Decisions as a strip's bits. They are drawn a little ahead, so that what is read has reached the
// first-level cache.
#pragma once
#include "../../shared/kernel_table.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The decisions about a strip of `elements`, from that bit on. They begin with a byte: where they do not,
// they are copied to where they do.
template <int elements>
class StripBits {
  static constexpr uint64_t ahead = 2 * kMaxTileElements;  // chosen
  static constexpr int word_count = elements / 64 > 0 ? elements / 64 : 1;

 public:
  __attribute__((always_inline)) StripBits(KeepBits& keep, uint64_t bit) {
    if (__builtin_expect(bit + elements + ahead > keep.there, 0)) keep.draw(keep, bit + elements + ahead);
    bits_ = keep.bits + bit / 8;
    if (const int shift = bit % 8; __builtin_expect(shift != 0, 0)) {
      uint64_t words[word_count + 1];
      __builtin_memcpy(words, bits_, sizeof words);
#pragma GCC unroll kUnroll
      for (int i = 0; i < word_count; ++i) aligned_[i] = words[i] >> shift | words[i + 1] << (64 - shift);
      bits_ = reinterpret_cast<const uint8_t*>(aligned_);
    }
  }
  StripBits(const StripBits&) = delete;

  // Those of the lanes from `offset` on, in the lowest bits.
  template <class Lanes>
  __attribute__((always_inline)) uint32_t of(int offset) const {
    if constexpr (Lanes::width > 8) {
      uint16_t bits;
      static_assert(Lanes::width == 16);
      __builtin_memcpy(&bits, bits_ + offset / 8, sizeof bits);
      return bits;
    }
    return bits_[offset / 8] >> offset % 8;
  }

 private:
  const uint8_t* bits_;
  uint64_t aligned_[word_count];
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
