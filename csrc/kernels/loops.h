// SPDX-License-Identifier: BSD-3-Clause
// The loop over tiles: what a kernel does with one run.
#pragma once
#include "keep.h"
#include "operands.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// One tile. Loads go before stores, some at a time: on many processors a load waits for an earlier store
// whose address has the same lower 12 bits, and NumPy's arrays often lie so that every load would.
template <bool non_temporal, class Lanes, class Constants, class Inputs, class Variates, class Value,
          int... input>
__attribute__((always_inline)) inline void run_tile(const Constants& constants, const Inputs& inputs,
                                                    Value* out, const Variates& variates, Indices<input...>) {
  constexpr int together = kLoadsTogether * Lanes::width <= kTileElements ? kLoadsTogether : 1;
  constexpr int step = together * Lanes::width;
  decltype(constants.at(0).apply(variates, 0, inputs.template lanes<input>(0)...)) y[together];
#pragma GCC unroll kUnroll
  for (int first = 0; first < kTileElements; first += step) {
#pragma GCC unroll kUnroll
    for (int j = 0; j < together; ++j) {
      const int i = first + j * Lanes::width;
      (inputs.template prefetch_lanes<input>(i), ...);
      y[j] = constants.at(i).apply(variates, i, inputs.template lanes<input>(i)...);
    }
#pragma GCC unroll kUnroll
    for (int j = 0; j < together; ++j) {
      Value* const to = out + first + j * Lanes::width;
      if constexpr (non_temporal)
        y[j].store_non_temporal(to);
      else
        y[j].store(to);
    }
  }
}

// A tile that the run covers only in part, from its element `first` on, is worked on in buffers.
template <class Lanes, class Constants, class Inputs, class Variates, class Value>
__attribute__((noinline)) void run_partial_tile(Constants constants, Inputs inputs, Value* out,
                                                const Variates& variates, uint64_t first,
                                                uint64_t element_count) {
  typename Inputs::Tile copies;
  alignas(64) Value results[kTileElements];
  constants.advance(-static_cast<int64_t>(first));
  run_tile<false, Lanes>(constants, inputs.copied_to(copies, first, element_count), results, variates,
                         typename Inputs::All{});
  __builtin_memcpy(out, results + first, element_count * sizeof(Value));
}

// How a loop over tiles stores: always in one way, or in the way that an argument says, by a branch at each
// tile. The branch keeps the generator from being compiled twice. Operations that cost no more than their
// bytes have two loops instead: with the branch dropout took 1.12 times as long in cache, and Gaussian
// dropout of 2 Mi float64, which is in the third-level cache, 1.24 times. Two loops cost Gaussian dropout of
// float32 2 %.
enum Stores { kOrdinary, kNonTemporal, kEither };

template <Operation operation, class Value>
constexpr bool has_two_loops() {
  return sizeof(Value) >= (kOperations[operation].draw == kInline ? sizeof(float) : sizeof(double));
}

// Words are drawn kDrawsAhead draws before the data that they are for is worked on, because a tile by itself
// is a chain of dependent instructions, longer than a processor can look past. Draws and data take turns in
// short pieces for the same reason.
template <Stores stores, class Lanes, class Constants, class Rule, class Inputs, class Value>
__attribute__((always_inline)) inline void run_tiles(Constants constants, const Rule& rule, Inputs inputs,
                                                     Value* out, uint64_t first_tile, uint64_t tile_count,
                                                     bool non_temporal) {
  constexpr int together = Rule::tiles_together, ahead = Rule::tiles_ahead;
  using Words = typename Rule::Words;
  // What waits for its data: a tile's variates where they are made ahead, or else its words.
  struct Waiting {
    Words words;
    typename Rule::Variates variates;
  } waiting[ahead];
  const auto prepare = [&](Waiting& tile, uint64_t index, const Words& words) {
    if constexpr (Rule::converts_ahead)
      rule.convert(words, index, tile.variates);
    else
      tile.words = words;
  };
  const auto work = [&](Waiting& tile, uint64_t index) {
    if constexpr (!Rule::converts_ahead) rule.convert(tile.words, index, tile.variates);
    if (stores == kNonTemporal || (stores == kEither && __builtin_expect(non_temporal, 0)))
      run_tile<true, Lanes>(constants, inputs, out, tile.variates, typename Inputs::All{});
    else
      run_tile<false, Lanes>(constants, inputs, out, tile.variates, typename Inputs::All{});
    out += kTileElements;
    inputs.advance(kTileElements);
    constants.advance(kTileElements);
  };

  uint64_t tile = first_tile;
  const uint64_t end = first_tile + tile_count;
#pragma GCC unroll 1
  for (int i = 0; i < ahead; i += together) {
    const auto next = rule.template draw<together>(tile + i);
#pragma GCC unroll kUnroll
    for (int j = 0; j < together; ++j) prepare(waiting[i + j], tile + i + j, next.tiles[j]);
  }
  typename Rule::Sequence sequence(rule, tile + ahead, tile_count);
  for (; end - tile >= ahead; tile += ahead) {
#pragma GCC unroll 1
    for (int i = 0; i < ahead; i += together) {
      const auto next = sequence.template draw<together>(tile + ahead + i);
#pragma GCC unroll kUnroll
      for (int j = 0; j < together; ++j) {
        work(waiting[i + j], tile + i + j);
        prepare(waiting[i + j], tile + ahead + i + j, next.tiles[j]);
      }
    }
  }
#pragma GCC unroll 1
  for (int i = 0; i < ahead - 1; ++i) {  // fewer than ahead are left
    if (tile + i == end) break;
    work(waiting[i], tile + i);
  }
}

// A kernel. A run is a partial tile, whole tiles, and a partial tile, each optional. `flatten`, because GCC's
// inline-unit-growth limit otherwise stops inlining in the last kernels of the table (2x slower).
template <template <class> class Op, class Element, class Rule, template <class, class> class Constants>
__attribute__((flatten)) void run(const KernelArgs& args) {
  using Lanes = typename Element::Lanes;
  using Value = typename Element::Value;
  constexpr Operation operation = Op<Lanes>::operation;
  using Inputs = FASTDROP_ISA::Inputs<operation, Element>;
  Constants<Op<Lanes>, Element> constants(args,
                                          typename CountTo<constant_count(kOperations[operation])>::Result{});
  const Rule rule(args);
  Inputs inputs(args);
  auto out = static_cast<Value*>(args.outputs[0]);
  uint64_t index = args.start, left = args.element_count;
  while (left > 0) {
    const uint64_t tile = index / kTileElements, first = index % kTileElements;
    uint64_t count = kTileElements - first < left ? kTileElements - first : left;
    if (count < kTileElements) {
      typename Rule::Variates variates;
      rule.convert(rule.template draw<1>(tile).tiles[0], tile, variates);
      run_partial_tile<Lanes>(constants, inputs, out, variates, first, count);
    } else {
      const uint64_t tile_count = Rule::Sequence::length(tile, left / kTileElements);
      // Non-temporal stores fault unless aligned, and a run may begin anywhere in its array.
      const bool non_temporal = args.non_temporal && reinterpret_cast<uintptr_t>(out) % 16 == 0;
      if constexpr (!has_two_loops<operation, Value>())
        run_tiles<kEither, Lanes>(constants, rule, inputs, out, tile, tile_count, non_temporal);
      else if (non_temporal)
        run_tiles<kNonTemporal, Lanes>(constants, rule, inputs, out, tile, tile_count, true);
      else
        run_tiles<kOrdinary, Lanes>(constants, rule, inputs, out, tile, tile_count, false);
      count = tile_count * kTileElements;
    }
    index += count, left -= count, out += count;
    inputs.advance(count);
    constants.advance(static_cast<int64_t>(count));
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
