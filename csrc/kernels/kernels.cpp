// SPDX-License-Identifier: BSD-3-Clause
// The loop over tiles, and the table of kernels. Compiled once per ISA, with that ISA's flags and its name
// and vector header as FASTDROP_ISA and FASTDROP_VEC. Everything but the table is in an unnamed namespace, so
// that the linker cannot merge two ISAs.
#include FASTDROP_VEC

#include "elements.h"
#include "gaussian.h"
#include "generators.h"
#include "keep.h"
#include "ops.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// A tile that the run covers only in part, from its element `first`, is worked on in buffers.
template <class Operation, class Decided, class Value>
__attribute__((noinline)) void run_part(const Operation& operation, const Value* x, Value* out,
                                        const Decided& decided, uint64_t first, uint64_t count) {
  alignas(64) Value tile_x[kTileElements] = {}, tile_out[kTileElements];
  if (Operation::reads_x) __builtin_memcpy(tile_x + first, x, count * sizeof(Value));
  operation.template tile<false>(tile_x, tile_out, decided);
  __builtin_memcpy(out, tile_out + first, count * sizeof(Value));
}

// Numbers are drawn kAheadDraws draws before the data that they are for is worked on, because a tile by
// itself is a chain of dependent instructions, longer than a processor can look past. Draws and data take
// turns in short pieces for the same reason.
template <bool around_cache, class Operation, class Keep, class Source, class Value>
void run_tiles(const Operation& operation, const Keep& keep, Source& source, const Value* x, Value* out,
               uint64_t first_tile, uint64_t tile_count) {
  constexpr int together = Keep::tiles_together, ahead = kAheadDraws * together;
  using Numbers = typename Keep::Numbers;
  // What waits for its data: a tile's decisions where they are made ahead, or else its numbers.
  struct Waiting {
    Numbers numbers;
    typename Keep::Decided decided;
  } waiting[ahead];
  const auto work = [&](Waiting& tile, uint64_t index) {
    if constexpr (!Keep::decides_ahead) keep.decide(tile.numbers, index, tile.decided);
    operation.template tile<around_cache>(x, out, tile.decided);
    x += kTileElements, out += kTileElements;
  };
  const auto wait = [&](Waiting& tile, uint64_t index, const Numbers& numbers) {
    if constexpr (Keep::decides_ahead)
      keep.decide(numbers, index, tile.decided);
    else
      tile.numbers = numbers;
  };

  uint64_t tile = first_tile;
  const uint64_t end = first_tile + tile_count;
#pragma GCC unroll kUnroll
  for (int i = 0; i < ahead; i += together) {
    const auto next = source.template draw<together>(tile + i);
#pragma GCC unroll kUnroll
    for (int j = 0; j < together; ++j) wait(waiting[i + j], tile + i + j, next.tiles[j]);
  }
  for (; end - tile >= ahead; tile += ahead) {
#pragma GCC unroll kUnroll
    for (int i = 0; i < ahead; i += together) {
      const auto next = source.template draw<together>(tile + ahead + i);
#pragma GCC unroll kUnroll
      for (int j = 0; j < together; ++j) {
        work(waiting[i + j], tile + i + j);
        wait(waiting[i + j], tile + ahead + i + j, next.tiles[j]);
      }
    }
  }
#pragma GCC unroll kUnroll
  for (int i = 0; i < ahead - 1; ++i) {  // fewer than ahead are left
    if (tile + i == end) break;
    work(waiting[i], tile + i);
  }
}

// Whether the next tiles are drawn as a sequence; changes tile_count to those that can be done alike.
template <class Keep>
bool sequence_pays(uint64_t tile, uint64_t& tile_count) {
  if constexpr (Keep::has_sequence) {
    using Sequence = typename Keep::Sequence;
    if (tile_count >= Sequence::worthwhile_tiles) {
      const bool may_begin = tile % Keep::tiles_together == 0;
      const uint64_t limit = may_begin ? Sequence::max_tiles - tile % Sequence::max_tiles : 1;
      if (tile_count > limit) tile_count = limit;
      return may_begin;
    }
  }
  return false;
}

// A run is the end of a tile, whole tiles, and the beginning of a tile; each may be missing. Flattened: by
// itself GCC stops inlining when this file has grown by some share, and the kernels that came last took twice
// as long.
template <class Operation, class Keep>
__attribute__((flatten)) void run(const KernelArgs& args) {
  using Value = typename Operation::Value;
  const Operation operation(args);
  const Keep keep(args.keep);
  auto x = static_cast<const Value*>(args.inputs[0]);
  auto out = static_cast<Value*>(args.outputs[0]);
  uint64_t index = args.start, left = args.element_count;
  while (left > 0) {
    const uint64_t tile = index / kTileElements, first = index % kTileElements;
    uint64_t count = kTileElements - first < left ? kTileElements - first : left;
    if (count < kTileElements) {
      typename Keep::Decided decided;
      keep.decide(keep.template draw<1>(tile).tiles[0], tile, decided);
      run_part(operation, x, out, decided, first, count);
    } else {
      uint64_t tile_count = left / kTileElements;
      const auto run_whole_tiles = [&](auto& source) {
        // Streaming stores fault unless aligned, and a run may begin anywhere in its array.
        if (args.non_temporal && reinterpret_cast<uintptr_t>(out) % 16 == 0)
          run_tiles<true>(operation, keep, source, x, out, tile, tile_count);
        else
          run_tiles<false>(operation, keep, source, x, out, tile, tile_count);
      };
      const bool in_sequence = sequence_pays<Keep>(tile, tile_count);
      if constexpr (Keep::has_sequence) {
        if (in_sequence) {
          typename Keep::Sequence sequence(keep, tile);
          run_whole_tiles(sequence);
        }
      }
      if (!in_sequence) run_whole_tiles(keep);
      count = tile_count * kTileElements;
    }
    index += count, left -= count, x += count, out += count;
  }
  if (args.non_temporal) finish_stores_around_cache();
}

template <class Generator>
void generate(const uint64_t key[2], uint64_t first, uint64_t upper, uint64_t block_count, uint32_t* words) {
  using State = typename Generator::Blocks;
  const Generator generator(key);
  for (uint64_t done = 0; done < block_count; done += Blocks::count) {
    State state = State::counters(first + done, upper);
    generator.template generate<1>(&state);
    uint32_t buffer[4 * Blocks::count];
    widened(state).store(buffer);
    const uint64_t left = block_count - done;
    const uint64_t count = left < Blocks::count ? left : Blocks::count;
    __builtin_memcpy(words + 4 * done, buffer, 4 * count * sizeof(*words));
  }
}

template <class Operation>
constexpr void add(KernelTable& table, fastdrop::Operation operation, Element element) {
  table.run[operation][element][kArs4x32] = &run<Operation, StreamKeep<Ars4x32>>;
  table.run[operation][element][kPhilox4x32] = &run<Operation, StreamKeep<Philox4x32>>;
  table.run[operation][element][kStored] = &run<Operation, StoredKeep<true>>;
  table.run[operation][element][kGathered] = &run<Operation, StoredKeep<false>>;
}
template <class Operation>
constexpr void add_noise(KernelTable& table, fastdrop::Operation operation, Element element) {
  table.run[operation][element][kArs4x32] = &run<Operation, StreamNormals<Ars4x32>>;
  table.run[operation][element][kPhilox4x32] = &run<Operation, StreamNormals<Philox4x32>>;
}
constexpr KernelTable make_table() {
  KernelTable table{};
  add<ScaleKept<Float32>>(table, kDropout, kFloat32);
  add<ScaleKept<Float64>>(table, kDropout, kFloat64);
  add<ScaleKept<Float16>>(table, kDropout, kFloat16);
  add<ScaleKept<BFloat16>>(table, kDropout, kBFloat16);
  add<AffineKept<Float32>>(table, kAlphaDropout, kFloat32);
  add<AffineKept<Float64>>(table, kAlphaDropout, kFloat64);
  add<AffineKept<Float16>>(table, kAlphaDropout, kFloat16);
  add<AffineKept<BFloat16>>(table, kAlphaDropout, kBFloat16);
  add_noise<ScaleByNoise<Float32>>(table, kGaussianDropout, kFloat32);
  add_noise<ScaleByNoise<Float64>>(table, kGaussianDropout, kFloat64);
  add_noise<ScaleByNoise<Float16>>(table, kGaussianDropout, kFloat16);
  add_noise<ScaleByNoise<BFloat16>>(table, kGaussianDropout, kBFloat16);
  add<KeepMask<Bool>>(table, kKeepMask, kBool);
  table.generate[kArs4x32] = &generate<Ars4x32>;
  table.generate[kPhilox4x32] = &generate<Philox4x32>;
  return table;
}

}  // namespace

extern const KernelTable kernel_table;
constexpr KernelTable kernel_table = make_table();

}  // namespace fastdrop::FASTDROP_ISA
