// SPDX-License-Identifier: BSD-3-Clause
// The two counter-based generators of the stream document, section 1, over vectors of 128-bit blocks.
// Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Random123).
#pragma once
#include "../shared/kernel_table.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// ARS: AES rounds whose keys walk in a Weyl sequence; the last round has no MixColumns.
struct Ars4x32 {
  static constexpr int rounds = 7;
  static constexpr int in_flight = kAesInFlight;
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

  // From counters to random numbers, in place. Rounds are the outer loop, so that independent vectors hide
  // each other's latency.
  template <int vectors>
  void generate(Blocks* block) const {
#pragma GCC unroll kUnroll
    for (int v = 0; v < vectors; ++v) block[v] = block[v] ^ key[0];
#pragma GCC unroll 8
    for (int round = 1; round < rounds; ++round)
#pragma GCC unroll kUnroll
      for (int v = 0; v < vectors; ++v) block[v] = aes_round(block[v], key[round]);
#pragma GCC unroll kUnroll
    for (int v = 0; v < vectors; ++v) block[v] = aes_last_round(block[v], key[rounds]);
  }
};

// Philox: a block is (c0, c1, c2, c3); one round multiplies c0 and c2 and exchanges the halves.
struct Philox4x32 {
  static constexpr int rounds = 10;
  static constexpr int in_flight = kProductsInFlight;
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
#pragma GCC unroll 16
    for (int round = 0; round < rounds; ++round)
#pragma GCC unroll kUnroll
      for (int v = 0; v < vectors; ++v) {
        // products: (lo0, hi0, lo1, hi1); wanted: (hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0)
        const Blocks products = even_products(block[v], multipliers);
        block[v] = reverse_words(products) ^ (odd_words(block[v]) ^ key[round]);
      }
  }
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
