// SPDX-License-Identifier: BSD-3-Clause
// The decisions about the elements of a strip, as bits. They are drawn a little ahead, so that what is read
// has reached the first-level cache.
#pragma once
#include "../keep.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

constexpr uint64_t kBitsAhead = 2 * kMaxTileElements;  // chosen

// Draws by the function that was given. Kernels that compute for long, or that many combinations need, do so.
class CalledDraw {
 public:
  explicit CalledDraw(KeepBits& keep) : keep_(keep) {}

  __attribute__((always_inline)) const uint8_t* bits_until(uint64_t end) {
    // Many at a time: before a call, registers are saved.
    if (__builtin_expect(end + kBitsAhead > keep_.there, 0)) keep_.draw(keep_, end + 8 * kBitsAhead);
    return keep_.bits;
  }

 private:
  KeepBits& keep_;
};

// Draws in the kernel itself, where the generator's keys stay in registers: in cache, relu then takes 1.3
// times a copy instead of 2 (docs/performance-log.md).
template <class Generator>
class InlineDraw {
  using Rule = StreamKeep<Generator>;

 public:
  explicit InlineDraw(KeepBits& keep)
      : rule_(run_of(keep)), bits_(keep.bits), there_(0), wanted_(keep.wanted), tile_(keep.next_tile) {}

  __attribute__((always_inline)) const uint8_t* bits_until(uint64_t end) {
    const uint64_t until = end + kBitsAhead < wanted_ ? end + kBitsAhead : wanted_;
    while (there_ < until) {
      // Stored before ties are looked at: what may come from resolve() does not stay in predicate registers.
      TileKeep decisions;
      const bool tied = rule_.compare(rule_.template draw<1>(tile_).tiles[0], tile_, decisions);
      decisions.store_bits(bits_ + there_ / 8);
      if (__builtin_expect(tied, 0)) rule_.resolve(tile_, decisions).store_bits(bits_ + there_ / 8);
      there_ += kTileElements, ++tile_;
    }
    return bits_;
  }

 private:
  static KernelArgs run_of(const KeepBits& keep) {
    KernelArgs run{};
    run.keep = keep.mask;
    return run;
  }

  const Rule rule_;
  uint8_t* const bits_;
  uint64_t there_, wanted_, tile_;
};

// Whether a kernel that has InlineDraw<Ars4x32> inside draws by it. Short rows would load the keys again.
inline bool draws_inline(const RowArgs& args) {
  return args.keep->rule == kArs4x32 && args.length >= kTileElements;
}

// The decisions about a strip of `elements`, from that bit on. They begin with a byte: where they do not,
// they are copied to where they do.
template <int elements>
class StripBits {
  static constexpr int word_count = elements / 64 > 0 ? elements / 64 : 1;
  static_assert((word_count + 1) * (int)sizeof(uint64_t) <= kKeepBitsSlack);

 public:
  template <class Draw>
  __attribute__((always_inline)) StripBits(Draw& draw, uint64_t bit) {
    bits_ = draw.bits_until(bit + elements) + bit / 8;
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
