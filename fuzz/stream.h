// SPDX-License-Identifier: BSD-3-Clause
// The mask stream as docs/stream.md defines it, one element at a time and without a line of the core: the
// fuzzer's oracle for decisions and normal numbers.
#pragma once
#include <array>
#include <cstdint>

namespace oracle {

enum Generator { kArs, kPhilox };
using Words = std::array<std::uint32_t, 4>;

Words generate(Generator generator, const Words& counter, const std::uint64_t key[2]);

// Section 3's D of a rate, which is p or -q: from 0 to 2^64.
unsigned __int128 threshold(double rate);

class Stream {
 public:
  Stream(Generator generator, const std::uint64_t key[2], std::uint64_t stream)
      : generator_(generator), key_{key[0], key[1]}, stream_(stream) {}

  bool kept(std::uint64_t index, double rate);
  // The element's 64-bit number: it is dropped where this is below D.
  std::uint64_t number(std::uint64_t index) { return word(index) << 48 | tie_word(index); }
  std::uint64_t word(std::uint64_t index);  // its upper 16 bits
  float normal(std::uint64_t index);

 private:
  std::uint64_t tie_word(std::uint64_t index) const;
  std::uint32_t normal_word(std::uint64_t index);

  Generator generator_;
  std::uint64_t key_[2], stream_;
  // The blocks drawn last, since neighbours share one: of decisions, and of either partner of a normal
  // number.
  struct Cached {
    bool is_there = false;
    std::uint64_t number = 0;
    Words words{};
  } cached_[3];
  const Words& block(int place, std::uint64_t number, std::uint64_t bit_63);
};

}  // namespace oracle
