// SPDX-License-Identifier: BSD-3-Clause
// Keep rules: where the keep bits of a tile come from.
#pragma once
#include "../shared/kernel_table.h"
#include "../shared/tile.h"
#include "generators.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The 16-bit random numbers of a tile. Their top bits are flipped, so that they compare as signed integers.
struct TileNumbers {
  Blocks vectors[kTileVectors];
};

// The mask stream (stream document, section 3): 16 bits decide, and one element in 65,536 looks again.
template <class Generator>
class StreamKeep {
  using State = typename Generator::Blocks;
  static_assert(State::count == Blocks::count, "widened() changes the type only");

 public:
  explicit StreamKeep(const KeepArgs& args) : generator_(args.key), args_(args) {
    generator_.flip(top_bits * 0x0001000100010001ull);
    const uint64_t four_bounds = (args.threshold_high ^ top_bits) * 0x0001000100010001ull;
    bounds_ = Blocks::broadcast(four_bounds, four_bounds);
  }

  // Tiles whose numbers are drawn together, to hide the generator's latency.
  static constexpr int tiles_together =
      Generator::in_flight > kTileVectors ? Generator::in_flight / kTileVectors : 1;

  static constexpr bool decides_ahead = kDecideAhead;
  using Numbers = TileNumbers;

  template <int count>
  struct Draw {
    Numbers tiles[count];
  };

  // The random numbers of tiles in order: what can be done ahead of the data.
  class Sequence {
   public:
    static constexpr uint64_t max_tiles = Generator::Sequence::max_tiles;

    // Of tile_count tiles, which do not pass a multiple of max_tiles.
    Sequence(const StreamKeep& keep, uint64_t first_tile, uint64_t tile_count)
        : sequence_(keep.generator_, keep.args_.stream, first_tile, tile_count) {}

    // first_tile is a multiple of count.
    template <int count>
    Draw<count> draw(uint64_t first_tile) {
      constexpr int vectors = count * kTileVectors;
      constexpr int step = vectors < Generator::in_flight ? vectors : Generator::in_flight;
      Draw<count> result;
#pragma GCC unroll kUnroll
      for (int first = 0; first < vectors; first += step) {
        State state[step];
        sequence_.template draw<step>(first_tile, first, state);
#pragma GCC unroll kUnroll
        for (int v = 0; v < step; ++v)
          result.tiles[(first + v) / kTileVectors].vectors[(first + v) % kTileVectors] = widened(state[v]);
      }
      return result;
    }

   private:
    typename Generator::Sequence sequence_;
  };

  // The keep bits of one of those tiles.
  void decide(const TileNumbers& numbers, uint64_t tile, TileKeep& keep) const {
    Ties ties;
#pragma GCC unroll kUnroll
    for (int v = 0; v < kTileVectors; ++v) {
      keep.set(v * Blocks::count * kBlockElements, numbers.vectors[v], bounds_);
      ties.look(numbers.vectors[v], bounds_);
    }
    // With no lower bits in the threshold, "at least" is already the whole decision.
    if (__builtin_expect(args_.threshold_low != 0 && ties.found(), 0)) keep = resolve(tile, keep);
  }

 private:
  // AVX2 compares signed integers only. The generator flips the top bits on its way, which costs nothing.
  static constexpr uint32_t top_bits = 0x8000;

  // A tied element looks at the lower 48 bits, which come from its own counter, marked by bit 127. This
  // happens in one tile of 512 or fewer, so the numbers are made again rather than carried along.
  __attribute__((noinline)) TileKeep resolve(uint64_t tile, TileKeep keep) const {
    uint32_t words[4 * kTileBlocks];
    const TileNumbers again = Sequence(*this, tile, 1).template draw<1>(tile).tiles[0];
    for (int v = 0; v < kTileVectors; ++v) again.vectors[v].store(words + 4 * Blocks::count * v);
    for (int element = 0; element < kTileElements; ++element) {
      if ((words[element / 2] >> (16 * (element % 2)) & 0xFFFF) != (args_.threshold_high ^ top_bits))
        continue;
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
    return (v[0] | (uint64_t)(v[1] & 0xFFFF) << 32) ^ top_bits * 0x000100010001ull;
  }

  Generator generator_;
  KeepArgs args_;
  Blocks bounds_;
};

// Decisions that have been made before: nothing is drawn, and nothing past the last tile is read.
class StoredKeep {
 public:
  explicit StoredKeep(const KeepArgs& args) : bits_(args.bits) {}

  static constexpr int tiles_together = 1;
  static constexpr bool decides_ahead = false;
  struct Numbers {};

  template <int count>
  struct Draw {
    Numbers tiles[count];
  };

  class Sequence {
   public:
    static constexpr uint64_t max_tiles = ~0ull;

    Sequence(const StoredKeep&, uint64_t, uint64_t) {}

    template <int count>
    Draw<count> draw(uint64_t) {
      return {};
    }
  };

  void decide(Numbers, uint64_t tile, TileKeep& keep) const { keep.load(bits_ + tile * (kTileElements / 8)); }

 private:
  const uint8_t* bits_;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
