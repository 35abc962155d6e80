// SPDX-License-Identifier: BSD-3-Clause
// Keep rules: where the keep bits of a tile come from.
#pragma once
#include "../shared/kernel_table.h"
#include "../shared/tile.h"
#include "generators.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The mask stream (stream document, section 3): 16 bits decide, and one element in 65,536 looks again.
template <class Generator>
class StreamKeep {
 public:
  explicit StreamKeep(const KeepArgs& args) : generator_(args.key), args_(args) {
    const uint64_t four_bounds = args.threshold_high * 0x0001000100010001ull;
    bounds_ = Blocks::broadcast(four_bounds, four_bounds);
    for (int v = 0; v < tile_vectors; ++v) counters_[v] = Blocks::counters(v * Blocks::count, args.stream);
  }

  TileBits operator()(uint64_t tile) const {
    TileBits keep{};
    Ties ties;
#pragma GCC unroll 16
    for (int step = 0; step < tile_vectors; step += Blocks::in_flight) {
      Blocks numbers[Blocks::in_flight];
      generate(tile, step, numbers);
#pragma GCC unroll 4
      for (int v = 0; v < Blocks::in_flight; ++v) {
        const int bit = (step + v) * Blocks::count * kBlockElements;
        keep.word[bit / 32] |= at_least_bits(numbers[v], bounds_) << (bit % 32);
        ties.look(numbers[v], bounds_);
      }
    }
    // With no lower bits in the threshold, "at least" is already the whole decision.
    if (__builtin_expect(args_.threshold_low != 0 && ties.found(), 0)) return resolve(tile, keep);
    return keep;
  }

 private:
  using Blocks = typename Generator::Blocks;
  static constexpr int tile_vectors = kTileBlocks / Blocks::count;

  void generate(uint64_t tile, int step, Blocks (&numbers)[Blocks::in_flight]) const {
    // The tile's first counter is a multiple of 16, so adding a counter below 16 is an exclusive or.
    const Blocks first = Blocks::broadcast(tile * kTileBlocks, 0);
#pragma GCC unroll 4
    for (int v = 0; v < Blocks::in_flight; ++v) numbers[v] = first ^ counters_[step + v];
    generator_(numbers);
  }

  // A tied element looks at the lower 48 bits, which come from its own counter, marked by bit 127. This
  // happens in one tile of 512, so the numbers are made again rather than carried along.
  __attribute__((noinline)) TileBits resolve(uint64_t tile, TileBits keep) const {
    uint32_t words[4 * kTileBlocks];
    for (int step = 0; step < tile_vectors; step += Blocks::in_flight) {
      Blocks numbers[Blocks::in_flight];
      generate(tile, step, numbers);
      for (int v = 0; v < Blocks::in_flight; ++v) numbers[v].store(words + 4 * Blocks::count * (step + v));
    }
    for (int element = 0; element < kTileElements; ++element) {
      if ((words[element / 2] >> (16 * (element % 2)) & 0xFFFF) != args_.threshold_high) continue;
      const uint64_t index = tile * kTileElements + element;
      if (lower_bits(index) < args_.threshold_low) keep.word[element / 32] &= ~(1u << (element % 32));
    }
    return keep;
  }

  uint64_t lower_bits(uint64_t index) const {
    Blocks state[1] = {Blocks::counters(index, args_.stream | 1ull << 63)};
    generator_(state);
    uint32_t v[4 * Blocks::count];
    state[0].store(v);
    return v[0] | (uint64_t)(v[1] & 0xFFFF) << 32;
  }

  Generator generator_;
  KeepArgs args_;
  Blocks bounds_;
  Blocks counters_[tile_vectors];  // of the first tile
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
