// SPDX-License-Identifier: BSD-3-Clause
// Keep rules: where the decisions about a tile's elements come from. A rule has two steps. `draw` makes
// random words, ahead of the data. `convert` makes of them what an operation takes, the tile's variates:
// decisions here, normal numbers in normals.h.
#pragma once
#include "../shared/kernel_table.h"
#include "../shared/tile.h"
#include "generators.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The 16-bit random words of a tile. Their top bits are flipped, so that they compare as signed integers.
struct TileWords {
  Blocks vectors[kTileVectors];
};

// An integer that a lambda can take as a constant.
template <int value>
struct Constant {
  constexpr operator int() const { return value; }
};

// The mask stream (stream document, section 3): 16 bits decide, and one element in 65,536 looks again.
// Where p varies, every element has a threshold of its own.
template <class Generator, bool varies = false>
class StreamKeep {
  using State = typename Generator::Blocks;
  static_assert(State::count == Blocks::count, "as_blocks() changes the type only");

 public:
  explicit StreamKeep(const KernelArgs& run)
      : generator_(run.keep.key),
        args_(run.keep),
        start_(run.start),
        counters_(run.keep.stream),
        sequence_(run.sequence) {
    generator_.flip(top_bits * 0x0001000100010001ull);
    const uint64_t four_bounds = (args_.threshold_high ^ top_bits) * 0x0001000100010001ull;
    bounds_ = Blocks::broadcast(four_bounds, four_bounds);
  }
  StreamKeep(const StreamKeep&) = delete;

  // Tiles whose words are drawn together, to hide the generator's latency.
  static constexpr int tiles_together =
      Generator::in_flight > kTileVectors ? Generator::in_flight / kTileVectors : 1;
  static constexpr int tiles_ahead = kDrawsAhead * tiles_together;

  static constexpr bool converts_ahead = kCompareAhead;
  static_assert((converts_ahead ? tiles_ahead : 1) * kTileElements <= kThresholdsBeside);
  using Words = TileWords;
  using Variates = TileKeep;

  template <int count>
  struct Draw {
    Words tiles[count];
  };

  // The words of any consecutive tiles.
  template <int count>
  Draw<count> draw(uint64_t first_tile) const {
    return draw_by_steps<count>([&](auto vectors, int first, State* state) {
      counters_.template vectors_from<vectors>(first_tile, first, state);
      generator_.template generate<vectors>(state);
    });
  }

  // Draws the same, of tiles in order, for less work each where they are many.
  class Sequence {
    using Drawing = typename Generator::Sequence;

   public:
    static uint64_t length(uint64_t first_tile, uint64_t tile_count) {
      return Drawing::length(first_tile, tile_count, tiles_together);
    }

    Sequence(const StreamKeep& keep, uint64_t first_tile, uint64_t tile_count)
        : drawing_(keep.generator_, keep.counters_, first_tile, tile_count, keep.sequence_) {}

    template <int count>
    Draw<count> draw(uint64_t first_tile) {
      return draw_by_steps<count>([&](auto vectors, int first, State* state) {
        drawing_.template draw<vectors>(first_tile, first, state);
      });
    }

   private:
    Drawing drawing_;
  };

  void convert(const TileWords& words, uint64_t tile, TileKeep& keep) const {
    if (__builtin_expect(compare(words, tile, keep), 0)) keep = resolve(tile, keep);
  }

  // Decides by the upper bits. Whether some element is tied, so that resolve() is needed.
  bool compare(const TileWords& words, uint64_t tile, TileKeep& keep) const {
    Ties ties;
#pragma GCC unroll kUnroll
    for (int v = 0; v < kTileVectors; ++v) {
      const Blocks bounds = bounds_of(tile, v);
      keep.set(v * kVectorElements, words.vectors[v], bounds);
      ties.look(words.vectors[v], bounds);
    }
    // With no lower bits in the threshold, "at least" is already the whole decision.
    return (varies || args_.threshold_low != 0) && ties.found();
  }

  // A tied element looks at the lower 48 bits, which come from its own counter, marked by bit 127. This
  // happens in one tile of 512 or fewer, so the words are made again rather than carried along.
  __attribute__((noinline)) TileKeep resolve(uint64_t tile, TileKeep keep) const {
    const TileWords again = draw<1>(tile).tiles[0];
    for (int v = 0; v < kTileVectors; ++v) {
      for (uint32_t tied = equal_words(again.vectors[v], bounds_of(tile, v)); tied != 0; tied &= tied - 1) {
        const int element = v * kVectorElements + __builtin_ctz(tied);
        const uint64_t low = varies ? args_.varying_low[place(tile) + element] : args_.threshold_low;
        if (lower_bits(tile * kTileElements + element) < low) keep.drop(element);
      }
    }
    return keep;
  }

 private:
  // AVX2 compares signed integers only. The generator flips the top bits on its way, which costs nothing.
  static constexpr uint32_t top_bits = 0x8000;
  static constexpr int kVectorElements = Blocks::count * kBlockElements;

  Blocks bounds_of(uint64_t tile, int v) const {
    if constexpr (!varies) return bounds_;
    Blocks bounds;
    __builtin_memcpy(&bounds, args_.varying_high + place(tile) + v * kVectorElements, sizeof bounds);
    return bounds;
  }
  // Of a tile's first element among the run's.
  int64_t place(uint64_t tile) const { return (int64_t)(tile * kTileElements - start_); }

  uint64_t lower_bits(uint64_t index) const {
    State state = State::counters(index, args_.stream | 1ull << 63);
    generator_.template generate<1>(&state);
    uint32_t v[4 * Blocks::count];
    as_blocks(state).store(v);
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
      draw_step(Constant<step>{}, first, state);
#pragma GCC unroll kUnroll
      for (int v = 0; v < step; ++v)
        result.tiles[(first + v) / kTileVectors].vectors[(first + v) % kTileVectors] = as_blocks(state[v]);
    }
    return result;
  }

  Generator generator_;
  KeepArgs args_;
  uint64_t start_;
  TileCounters<State> counters_;
  char* sequence_;
  Blocks bounds_;
};

// The first step of rules that have no words.
struct DrawsNothing {
  // As many tiles as with a generator, so that AVX2's decisions go through memory here too.
  static constexpr int tiles_together = 1, tiles_ahead = kDrawsAhead;
  struct Words {};

  template <int count>
  struct Draw {
    Words tiles[count];
  };

  template <int count>
  Draw<count> draw(uint64_t) const {
    return {};
  }

  struct Sequence {
    static uint64_t length(uint64_t, uint64_t tile_count) { return tile_count; }

    Sequence(const DrawsNothing&, uint64_t, uint64_t) {}

    template <int count>
    Draw<count> draw(uint64_t) const {
      return {};
    }
  };
};

// Decisions that have been made before, as bits or as bytes. Nothing past the last tile is read.
template <bool as_bits>
class StoredKeep : public DrawsNothing {
 public:
  explicit StoredKeep(const KernelArgs& run) : decisions_(run.keep.decisions) {}

  static constexpr bool converts_ahead = false;
  using Variates = TileKeep;

  void convert(Words, uint64_t tile, TileKeep& keep) const {
    if constexpr (as_bits)
      keep.load_bits(decisions_ + tile * (kTileElements / 8));
    else
      keep.load_bytes(decisions_ + tile * kTileElements);
  }

 private:
  const uint8_t* decisions_;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
