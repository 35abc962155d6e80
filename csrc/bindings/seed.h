// SPDX-License-Identifier: BSD-3-Clause
// The key of an integer seed: numpy.random.SeedSequence(seed).generate_state(4) for seeds below 2^128, which
// takes 7 us in NumPy. Algorithm: O'Neill, "Developing a seed_seq Alternative" (2015), as NumPy's
// documentation fixes it; tests compare it with NumPy.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace fastdrop {

using SeedWords = std::array<std::uint32_t, 4>;

class SeedHash {
 public:
  SeedHash(std::uint32_t start, std::uint32_t multiplier) : constant_(start), multiplier_(multiplier) {}

  std::uint32_t operator()(std::uint32_t value) {
    value ^= constant_;
    constant_ *= multiplier_;
    value *= constant_;
    return value ^ value >> 16;
  }

 private:
  std::uint32_t constant_, multiplier_;
};

inline SeedWords key_words(const SeedWords& seed) {
  SeedHash hash_in(0x43B0D7E5, 0x931E8875), hash_out(0x8B51F9DD, 0x58F38DED);
  SeedWords pool, key;
  for (std::size_t i = 0; i < 4; ++i) pool[i] = hash_in(seed[i]);
  for (std::size_t from = 0; from < 4; ++from)
    for (std::size_t to = 0; to < 4; ++to) {
      if (to == from) continue;
      const std::uint32_t mixed = 0xCA01F9DD * pool[to] - 0x4973F715 * hash_in(pool[from]);
      pool[to] = mixed ^ mixed >> 16;
    }
  for (std::size_t i = 0; i < 4; ++i) key[i] = hash_out(pool[i]);
  return key;
}

}  // namespace fastdrop
