// SPDX-License-Identifier: BSD-3-Clause
// The two counter-based generators of the stream document, section 1, over vectors of 128-bit blocks.
// Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Random123).
#pragma once
#include "../shared/kernel_table.h"
#include "../shared/tile.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The counters of tiles. A tile's first counter is a multiple of its number of blocks, a power of two, so
// adding a counter below that is an exclusive or.
template <class State>
class TileCounters {
 public:
  explicit TileCounters(uint64_t upper) : upper_(upper) {
    for (int v = 0; v < kTileVectors; ++v) of_tile_0_[v] = State::counters(v * State::count, upper);
  }

  // v may go past the tile: it then counts on into the following tiles.
  State vector(uint64_t tile, int v) const {
    return State::broadcast((tile + v / kTileVectors) * kTileBlocks, 0) ^ of_tile_0_[v % kTileVectors];
  }

  template <int vectors>
  void vectors_from(uint64_t tile, int first, State* state) const {
#pragma GCC unroll kUnroll
    for (int v = 0; v < vectors; ++v) state[v] = vector(tile, first + v);
  }

  // A tile's first block, in every place.
  State first_block(uint64_t tile) const { return State::broadcast(tile * kTileBlocks, upper_); }

 private:
  uint64_t upper_;
  State of_tile_0_[kTileVectors];
};

// ARS: AES rounds whose keys walk in a Weyl sequence; the last round has no MixColumns.
struct Ars4x32 {
  static constexpr int rounds = 7;
  static constexpr int in_flight = kAesRegisters;
  using Blocks = AesBlocks;

  Blocks key[rounds + 1];

  explicit Ars4x32(const uint64_t words[2]) {
    uint64_t low = words[0], high = words[1];
    for (Blocks& round_key : key) {
      round_key = Blocks::broadcast(low, high);
      low += 0x9E3779B97F4A7C15;   // 2^64 times the fraction of the golden ratio
      high += 0xBB67AE8584CAA73B;  // 2^64 * (sqrt(3) - 1)
    }
  }

  // From now on these bits of both halves of every block come out flipped: the last key does it.
  void flip(uint64_t bits) { key[rounds] = key[rounds] ^ Blocks::broadcast(bits, bits); }

  // From counters to random words, in place.
  template <int vectors>
  void generate(Blocks* block) const {
#pragma GCC unroll kUnroll
    for (int v = 0; v < vectors; ++v) block[v] = first_two_rounds(block[v]);
    finish<vectors>(block);
  }

  // The same from what the first two rounds have made of the counters. Rounds are the outer loop, so that
  // independent vectors hide each other's latency.
  template <int vectors>
  void finish(Blocks* block) const {
#pragma GCC unroll kUnroll
    for (int round = 3; round < rounds; ++round)
#pragma GCC unroll kUnroll
      for (int v = 0; v < vectors; ++v) block[v] = aes_round(block[v], key[round]);
#pragma GCC unroll kUnroll
    for (int v = 0; v < vectors; ++v) block[v] = aes_last_round(block[v], key[rounds]);
  }

  Blocks first_two_rounds(Blocks counters) const {
    return aes_round(aes_round(counters ^ key[0], key[1]), key[2]);
  }

  class Sequence;
};

// The words of consecutive tiles. Long sequences share the first two rounds (counter-mode caching:
// Bernstein and Schwabe, "New AES software speed records", INDOCRYPT 2008). In a group of 256 counters only
// byte 0 differs. The first round moves it to column 0, together with bytes 5, 10 and 15, so that this column
// depends on bytes 0 and 5 of the counter's lower half, and the other columns on the rest. The second round
// takes one byte of each column into every column, and MixColumns is linear: its result is
// f(bytes 0 and 5) ^ g(the others). While byte 5 stays the same, the state after two rounds is therefore that
// of the group's first counter, and a difference that depends on byte 0 only and comes from a table.
class Ars4x32::Sequence {
 public:
  // How many of these tiles one sequence takes. In those that share rounds, every draw of `together` tiles
  // lies in one group.
  static uint64_t length(uint64_t first_tile, uint64_t tile_count, int together) {
    if (tile_count < worthwhile_tiles) return tile_count;
    if (first_tile % together != 0) return 1;
    const uint64_t limit = max_tiles - first_tile % max_tiles;
    return tile_count < limit ? tile_count : limit;
  }

  // From first_tile on, which may be a few tiles after the one that length() was asked about.
  // `memory`: kSequenceBytes, or null.
  Sequence(const Ars4x32& generator, const TileCounters<Blocks>& counters, uint64_t first_tile,
           uint64_t tile_count, char* memory)
      : generator_(generator),
        counters_(counters),
        is_shared_(tile_count >= worthwhile_tiles && memory != nullptr),
        differences_(reinterpret_cast<Blocks*>(memory)) {
    const uint64_t first_group = first_tile - first_tile % group_tiles;
    begin_group(first_group);
    if (!is_shared_) return;
    for (uint64_t place = 0; place < group_tiles; ++place) {
      for (int v = 0; v < kTileVectors; ++v)
        differences_[place * kTileVectors + v] =
            generator.first_two_rounds(counters.vector(first_group + place, v)) ^ group_;
    }
  }

  // Some vectors of consecutive tiles of one group, in order.
  template <int vectors>
  void draw(uint64_t tile, int first_vector, Blocks* block) {
    const uint64_t place = tile % group_tiles;
    if (is_shared_ && place == 0 && first_vector == 0) begin_group(tile);
#pragma GCC unroll kUnroll
    for (int v = 0; v < vectors; ++v)
      block[v] = is_shared_ ? differences_[place * kTileVectors + first_vector + v] ^ group_
                            : generator_.first_two_rounds(counters_.vector(tile, first_vector + v));
    generator_.finish<vectors>(block);
  }

 private:
  static constexpr int group_tiles = 256 / kTileBlocks;
  static constexpr uint64_t max_tiles = (1ull << 40) / kTileBlocks;  // byte 5 changes at their multiples
  // The table costs as much as it saves on about half as many (docs/performance-log.md).
  static constexpr uint64_t worthwhile_tiles = 16384 / kTileElements;

  void begin_group(uint64_t tile) { group_ = generator_.first_two_rounds(counters_.first_block(tile)); }

  const Ars4x32& generator_;
  const TileCounters<Blocks>& counters_;
  const bool is_shared_;
  Blocks group_;
  static_assert(group_tiles * kTileVectors * sizeof(Blocks) == kSequenceBytes);
  Blocks* const differences_;
};

// Philox: a block is (c0, c1, c2, c3); one round multiplies c0 and c2 and exchanges the halves.
struct Philox4x32 {
  static constexpr int rounds = 10;
  static constexpr int in_flight = kMultiplyRegisters;
  using Blocks = FASTDROP_ISA::Blocks;

  Blocks key[rounds];

  explicit Philox4x32(const uint64_t words[2]) {
    uint32_t k0 = (uint32_t)words[0], k1 = (uint32_t)(words[0] >> 32);
    for (Blocks& round_key : key) {
      round_key = Blocks::broadcast(k0, k1);
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
  }

  void flip(uint64_t bits) { key[rounds - 1] = key[rounds - 1] ^ Blocks::broadcast(bits, bits); }

  template <int vectors>
  void generate(Blocks* block) const {
    const Blocks multipliers = Blocks::broadcast(0xD2511F53, 0xCD9E8D57);
#pragma GCC unroll kUnroll
    for (int round = 0; round < rounds; ++round)
#pragma GCC unroll kUnroll
      for (int v = 0; v < vectors; ++v) {
        // products: (lo0, hi0, lo1, hi1); wanted: (hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0)
        const Blocks products = even_products(block[v], multipliers);
        block[v] = reverse_words(products) ^ (odd_words(block[v]) ^ key[round]);
      }
  }

  // Nothing is shared between counters.
  class Sequence {
   public:
    static uint64_t length(uint64_t, uint64_t tile_count, int) { return tile_count; }

    Sequence(const Philox4x32& generator, const TileCounters<Blocks>& counters, uint64_t, uint64_t, char*)
        : generator_(generator), counters_(counters) {}

    template <int vectors>
    void draw(uint64_t tile, int first_vector, Blocks* block) const {
      counters_.template vectors_from<vectors>(tile, first_vector, block);
      generator_.generate<vectors>(block);
    }

   private:
    const Philox4x32& generator_;
    const TileCounters<Blocks>& counters_;
  };
};

// Words of consecutive blocks as they come, for known-answer tests: a GenerateKernel.
template <class Generator>
void generate_words(const uint64_t key[2], uint64_t first, uint64_t upper, uint64_t block_count,
                    uint32_t* words) {
  using State = typename Generator::Blocks;
  const Generator generator(key);
  for (uint64_t done = 0; done < block_count; done += Blocks::count) {
    State state = State::counters(first + done, upper);
    generator.template generate<1>(&state);
    uint32_t buffer[4 * Blocks::count];
    as_blocks(state).store(buffer);
    const uint64_t left = block_count - done;
    const uint64_t count = left < Blocks::count ? left : Blocks::count;
    __builtin_memcpy(words + 4 * done, buffer, 4 * count * sizeof(*words));
  }
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
