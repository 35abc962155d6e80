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
    for (int v = 0; v < tile_vectors; ++v) counters_[v] = State::counters(v * Blocks::count, args.stream);
  }

  // The random numbers of consecutive tiles: what can be done ahead of the data.
  template <int tiles>
  struct Ahead {
    Blocks numbers[tiles * kTileBlocks / Blocks::count];
  };

  template <int tiles>
  Ahead<tiles> ahead(uint64_t first_tile) const {
    constexpr int vectors = tiles * tile_vectors;
    constexpr int step = vectors < State::in_flight ? vectors : State::in_flight;
    Ahead<tiles> result;
#pragma GCC unroll kUnroll
    for (int first = 0; first < vectors; first += step) {
      State state[step];
#pragma GCC unroll kUnroll
      for (int v = 0; v < step; ++v) state[v] = counters(first_tile, first + v);
      generator_.template generate<step>(state);
#pragma GCC unroll kUnroll
      for (int v = 0; v < step; ++v) result.numbers[first + v] = widened(state[v]);
    }
    return result;
  }

  // The keep bits of one of those tiles.
  template <int tiles>
  TileKeep decide(const Ahead<tiles>& ahead, uint64_t first_tile, int tile) const {
    TileKeep keep;
    Ties ties;
#pragma GCC unroll kUnroll
    for (int v = 0; v < tile_vectors; ++v) {
      const Blocks numbers = ahead.numbers[tile * tile_vectors + v];
      keep.set(v * Blocks::count * kBlockElements, numbers, bounds_);
      ties.look(numbers, bounds_);
    }
    // With no lower bits in the threshold, "at least" is already the whole decision.
    if (__builtin_expect(args_.threshold_low != 0 && ties.found(), 0))
      return resolve(first_tile + tile, keep);
    return keep;
  }

 private:
  using State = typename Generator::Blocks;
  static_assert(State::count == Blocks::count, "widened() changes the type only");
  static constexpr int tile_vectors = kTileBlocks / Blocks::count;

  // A tile's first counter is a multiple of 16, so adding a counter below 16 is an exclusive or.
  State counters(uint64_t first_tile, int vector) const {
    const uint64_t tile = first_tile + vector / tile_vectors;
    return State::broadcast(tile * kTileBlocks, 0) ^ counters_[vector % tile_vectors];
  }

  // A tied element looks at the lower 48 bits, which come from its own counter, marked by bit 127. This
  // happens in one tile of 512, so the numbers are made again rather than carried along.
  __attribute__((noinline)) TileKeep resolve(uint64_t tile, TileKeep keep) const {
    uint32_t words[4 * kTileBlocks];
    const Ahead<1> again = ahead<1>(tile);
    for (int v = 0; v < tile_vectors; ++v) again.numbers[v].store(words + 4 * Blocks::count * v);
    for (int element = 0; element < kTileElements; ++element) {
      if ((words[element / 2] >> (16 * (element % 2)) & 0xFFFF) != args_.threshold_high) continue;
      const uint64_t index = tile * kTileElements + element;
      if (lower_bits(index) < args_.threshold_low) keep.drop(element);
    }
    return keep;
  }

  uint64_t lower_bits(uint64_t index) const {
    State state = State::counters(index, args_.stream | 1ull << 63);
    generator_.template generate<1>(&state);
    uint32_t v[4 * Blocks::count];
    widened(state).store(v);
    return v[0] | (uint64_t)(v[1] & 0xFFFF) << 32;
  }

  Generator generator_;
  KeepArgs args_;
  Blocks bounds_;
  State counters_[tile_vectors];  // of the first tile
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
