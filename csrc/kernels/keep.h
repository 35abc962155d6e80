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

// A number that a lambda can take as a constant.
template <int number>
struct Count {
  constexpr operator int() const { return number; }
};

// The mask stream (stream document, section 3): 16 bits decide, and one element in 65,536 looks again.
template <class Generator>
class StreamKeep {
  using State = typename Generator::Blocks;
  static_assert(State::count == Blocks::count, "widened() changes the type only");

 public:
  explicit StreamKeep(const KeepArgs& args) : generator_(args.key), args_(args), counters_(args.stream) {
    generator_.flip(top_bits * 0x0001000100010001ull);
    const uint64_t four_bounds = (args.threshold_high ^ top_bits) * 0x0001000100010001ull;
    bounds_ = Blocks::broadcast(four_bounds, four_bounds);
  }

  static constexpr bool has_sequence = Generator::has_sequence;

  // Tiles whose numbers are drawn together, to hide the generator's latency.
  static constexpr int tiles_together =
      Generator::in_flight > kTileVectors ? Generator::in_flight / kTileVectors : 1;

  static constexpr bool decides_ahead = kDecideAhead;
  using Numbers = TileNumbers;
  using Decided = TileKeep;

  template <int count>
  struct Draw {
    Numbers tiles[count];
  };

  // The random numbers of consecutive tiles, the first of which is a multiple of count: what can be done
  // ahead of the data.
  template <int count>
  Draw<count> draw(uint64_t first_tile) const {
    return draw_by_steps<count>([&](auto vectors, int first, State* state) {
#pragma GCC unroll kUnroll
      for (int v = 0; v < vectors; ++v) state[v] = counters_.vector(first_tile, first + v);
      generator_.template generate<vectors>(state);
    });
  }

  // Draws the same, of tiles in order, for less work each.
  class Sequence {
    using Drawing = typename Generator::Sequence;

   public:
    static constexpr uint64_t max_tiles = Drawing::max_tiles;
    static constexpr uint64_t worthwhile_tiles = Drawing::worthwhile_tiles;

    // The tiles whose numbers are used must not pass a multiple of max_tiles.
    Sequence(const StreamKeep& keep, uint64_t first_tile)
        : drawing_(keep.generator_, keep.counters_, keep.args_.stream, first_tile) {}

    template <int count>
    Draw<count> draw(uint64_t first_tile) {
      return draw_by_steps<count>([&](auto vectors, int first, State* state) {
        drawing_.template draw<vectors>(first_tile, first, state);
      });
    }

   private:
    Drawing drawing_;
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
    const TileNumbers again = draw<1>(tile).tiles[0];
    for (int v = 0; v < kTileVectors; ++v) {
      for (uint32_t tied = equal_numbers(again.vectors[v], bounds_); tied != 0; tied &= tied - 1) {
        const int element = v * Blocks::count * kBlockElements + __builtin_ctz(tied);
        if (lower_bits(tile * kTileElements + element) < args_.threshold_low) keep.drop(element);
      }
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

  template <int count, class Step>
  static Draw<count> draw_by_steps(const Step& draw_step) {
    constexpr int vectors = count * kTileVectors;
    constexpr int step = vectors < Generator::in_flight ? vectors : Generator::in_flight;
    Draw<count> result;
#pragma GCC unroll kUnroll
    for (int first = 0; first < vectors; first += step) {
      State state[step];
      draw_step(Count<step>{}, first, state);
#pragma GCC unroll kUnroll
      for (int v = 0; v < step; ++v)
        result.tiles[(first + v) / kTileVectors].vectors[(first + v) % kTileVectors] = widened(state[v]);
    }
    return result;
  }

  Generator generator_;
  KeepArgs args_;
  TileCounters<State> counters_;
  Blocks bounds_;
};

// Decisions that have been made before, as bits or as bytes: nothing is drawn, and nothing past the last tile
// is read.
template <bool as_bits>
class StoredKeep {
 public:
  explicit StoredKeep(const KeepArgs& args) : stored_(args.decisions) {}

  static constexpr int tiles_together = 1;
  static constexpr bool decides_ahead = false;
  struct Numbers {};
  using Decided = TileKeep;

  template <int count>
  struct Draw {
    Numbers tiles[count];
  };

  static constexpr bool has_sequence = false;

  template <int count>
  Draw<count> draw(uint64_t) const {
    return {};
  }

  void decide(Numbers, uint64_t tile, TileKeep& keep) const {
    if constexpr (as_bits)
      keep.load_bits(stored_ + tile * (kTileElements / 8));
    else
      keep.load_bytes(stored_ + tile * kTileElements);
  }

 private:
  const uint8_t* stored_;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
