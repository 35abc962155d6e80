// SPDX-License-Identifier: BSD-3-Clause
// Drawing decisions as bits, which kernels on rows read.
#pragma once
#include "keep.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// A StreamKeep in memory of the runtime, which makes bits of its decisions.
template <class Generator>
class BitDrawing {
  using Rule = StreamKeep<Generator>;
  static constexpr int together = Rule::tiles_together;

 public:
  static void begin(KeepBits& keep) {
    static_assert(sizeof(BitDrawing) <= kDrawingBytes);
    static_assert(together * kTileElements <= 8 * kKeepBitsSlack);
    KernelArgs run{};
    run.keep = keep.mask;
    new (keep.drawing) BitDrawing(run);
    keep.draw = &draw;
  }

 private:
  explicit BitDrawing(const KernelArgs& run) : rule_(run) {}
  static void* operator new(__SIZE_TYPE__, void* at) { return at; }
  static void operator delete(void*, void*) {}

  __attribute__((flatten)) static void draw(KeepBits& keep, uint64_t until) {
    const Rule& rule = reinterpret_cast<const BitDrawing*>(keep.drawing)->rule_;
    uint64_t there = keep.there, tile = keep.next_tile;
    if (until > keep.wanted) until = keep.wanted;
    while (there < until) {
      const auto words = rule.template draw<together>(tile);
#pragma GCC unroll kUnroll
      for (int i = 0; i < together; ++i) {
        TileKeep decisions;
        rule.convert(words.tiles[i], tile + i, decisions);
        decisions.store_bits(keep.bits + (there + i * kTileElements) / 8);
      }
      there += together * kTileElements, tile += together;
    }
    keep.there = there >= keep.wanted ? ~(uint64_t)0 : there;
    keep.next_tile = tile;
  }

  Rule rule_;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
