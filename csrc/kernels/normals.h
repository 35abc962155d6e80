// SPDX-License-Identifier: BSD-3-Clause
// Standard normal numbers from the generators' words (stream document, section 8): a rule like those of
// keep.h, whose variates are normal numbers instead of decisions. Plain loops, which the compiler turns into
// each ISA's vectors. This changes no result, because every step in them is rounded by itself.
#pragma once
#include "../shared/kernel_table.h"
#include "../shared/tile.h"
#include "generators.h"
#include "keep.h"
#include "math.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

struct TileNormals {
  alignas(64) float values[kTileElements];
};

// Box and Muller's method makes two normal numbers of two words: those of elements this far apart, so that
// whole vectors of partners lie side by side.
constexpr int kPartnerDistance = 16;
static_assert(kTileElements % (2 * kPartnerDistance) == 0, "partners are in one tile");

// sqrt(-2 ln u), where u = f / 2^31 and f is the float nearest to the upper 31 bits of the word, made odd.
inline float radius(uint32_t word) {
  const uint32_t bits = as_bits((float)(int32_t)(word >> 1 | 1));
  // f = m * 2^e with m from sqrt(1/2) to sqrt(2): 0x3F3504F3 are the bits of sqrt(1/2).
  const uint32_t e = (bits - 0x3F3504F3) >> 23;
  const float t = as_float(bits - (e << 23)) - 1;
  const float log = t * polynomial(t, -0x1.fffffep+0f, 0x1.00007ep+0f, -0x1.5558acp-1f, 0x1.ff5cfcp-2f,
                                   -0x1.97d34cp-2f, 0x1.61db9p-2f, -0x1.4a43fcp-2f, 0x1.955046p-3f);
  return __builtin_sqrtf((float)(int32_t)(31 - e) * 0x1.62e43p+0f + log);
}

// A quarter of a turn times y, from -1 to 1, as the other 31 bits say.
inline float quarter_turns(uint32_t word) { return (float)(int32_t)(word << 1 | 1) * 0x1p-31f; }

inline float sine(float y) {
  return y *
         polynomial(y * y, 0x1.921fb6p+0f, -0x1.4abbc4p-1f, 0x1.4668fp-4f, -0x1.32531ep-8f, 0x1.3e142p-13f);
}
inline float cosine(float y) {
  return polynomial(y * y, 0x1.fffffep-1f, -0x1.3bd3a6p+0f, 0x1.03bdp-2f, -0x1.54f5ap-6f, 0x1.c1e8dcp-11f);
}

template <class Generator>
class StreamNormals : public DrawsNothing {
  using State = typename Generator::Blocks;
  static constexpr int kVectors = 2 * kTileVectors;  // 32 bits an element, where a keep decision has 16
  // Bit 63 of a counter's lower half sets these blocks apart from those of keep decisions.
  static constexpr uint64_t kFirstBlocks = (1ull << 63) / kTileBlocks;

 public:
  explicit StreamNormals(const KernelArgs& run) : generator_(run.keep.key), counters_(run.keep.stream) {}

  static constexpr bool converts_ahead = kCompareAhead;
  using Variates = TileNormals;

  // Draws as well: the arithmetic takes many times as long as the words.
  void convert(Words, uint64_t tile, TileNormals& normals) const {
    if constexpr (kInlineNormals)
      make(tile, normals);
    else
      make_apart(tile, normals);
  }

 private:
  void make(uint64_t tile, TileNormals& normals) const {
    constexpr int step = kVectors < Generator::in_flight ? kVectors : Generator::in_flight;
    uint32_t words[kTileElements];
#pragma GCC unroll kUnroll
    for (int first = 0; first < kVectors; first += step) {
      State state[step];
      counters_.template vectors_from<step>(kFirstBlocks + 2 * tile, first, state);
      generator_.template generate<step>(state);
#pragma GCC unroll kUnroll
      for (int v = 0; v < step; ++v) as_blocks(state[v]).store(words + 4 * Blocks::count * (first + v));
    }
    for (int group = 0; group < kTileElements; group += 2 * kPartnerDistance) {
      for (int first = group; first < group + kPartnerDistance; ++first) {
        const int second = first + kPartnerDistance;
        const float r = radius(words[first]), y = quarter_turns(words[second]);
        const uint32_t half_turn = words[second] & 0x80000000;
        normals.values[first] = r * as_float(as_bits(cosine(y)) ^ half_turn);
        normals.values[second] = r * sine(y);
      }
    }
  }

  __attribute__((noinline)) void make_apart(uint64_t tile, TileNormals& normals) const {
    make(tile, normals);
  }

  Generator generator_;
  TileCounters<State> counters_;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
