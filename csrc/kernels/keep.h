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
  using State = typename Generator::Blocks;
  static_assert(State::count == Blocks::count, "widened() changes the type only");
  static constexpr int tile_vectors = TileCounters<Blocks>::vectors;

 public:
  explicit StreamKeep(const KeepArgs& args) : generator_(args.key), args_(args) {
    const uint64_t four_bounds = args.threshold_high * 0x0001000100010001ull;
    bounds_ = Blocks::broadcast(four_bounds, four_bounds);
  }

  // The random numbers of consecutive tiles: what can be done ahead of the data.
  template <int tiles>
  struct Ahead {
    Blocks numbers[tiles * tile_vectors];
  };

  // Of tiles in order, a few at a time: the first of them is a multiple of that many.
  class Sequence {
   public:
    static constexpr uint64_t max_tiles = Generator::Sequence::max_tiles;

    Sequence(const StreamKeep& keep, uint64_t first_tile, uint64_t tile_count)
        : sequence_(keep.generator_, keep.args_.stream, first_tile, tile_count) {}

    template <int tiles>
    Ahead<tiles> draw(uint64_t first_tile) {
      constexpr int vectors = tiles * tile_vectors;
      constexpr int step = vectors < State::in_flight ? vectors : State::in_flight;
      Ahead<tiles> result;
#pragma GCC unroll kUnroll
      for (int first = 0; first < vectors; first += step) {
        State state[step];
        sequence_.template draw<step>(first_tile, first, state);
#pragma GCC unroll kUnroll
        for (int v = 0; v < step; ++v) result.numbers[first + v] = widened(state[v]);
      }
      return result;
    }

   private:
    typename Generator::Sequence sequence_;
  };

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
  // A tied element looks at the lower 48 bits, which come from its own counter, marked by bit 127. This
  // happens in one tile of 512, so the numbers are made again rather than carried along.
  __attribute__((noinline)) TileKeep resolve(uint64_t tile, TileKeep keep) const {
    uint32_t words[4 * kTileBlocks];
    const Ahead<1> again = Sequence(*this, tile, 1).template draw<1>(tile);
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
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
