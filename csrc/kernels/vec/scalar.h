// SPDX-License-Identifier: BSD-3-Clause
// Portable C++: the vector contract of csrc/README.md, one block and one value at a time.
// The compiler may still use its baseline vectors (SSE2 on x86-64); AES rounds are done in software.
#pragma once
#include <stdint.h>

#include "../../shared/tile.h"
#include "../math.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

constexpr int kDrawsAhead = 1;  // nothing overlaps here, but the loop asks for one
constexpr bool kCompareAhead = false;
constexpr uintptr_t kPrefetchBytes = 0;
constexpr int kLoadsTogether = 1;
constexpr int kChainsTogether = 1;
constexpr int kPowersTogether = 1;
constexpr bool kInlineDraws = false;
constexpr bool kInlineNormals = false;
constexpr int kUnroll = 1;  // sixteen copies of the software AES would not fit the instruction cache

struct Blocks {
  uint32_t word[4];
  static constexpr int count = 1;

  static Blocks broadcast(uint64_t low, uint64_t high) {
    return {{(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32)}};
  }
  static Blocks counters(uint64_t first, uint64_t upper) { return broadcast(first, upper); }
  void store(uint32_t* words) const {
    for (int i = 0; i < 4; ++i) words[i] = word[i];
  }
};

constexpr int kAesRegisters = 1;
constexpr int kMultiplyRegisters = 1;
constexpr int kTileBlocks = kTileVectors * Blocks::count;
constexpr int kTileElements = kTileBlocks * kBlockElements;

inline Blocks operator^(Blocks a, Blocks b) {
  return {{a.word[0] ^ b.word[0], a.word[1] ^ b.word[1], a.word[2] ^ b.word[2], a.word[3] ^ b.word[3]}};
}

inline Blocks even_products(Blocks a, Blocks b) {
  return Blocks::broadcast((uint64_t)a.word[0] * b.word[0], (uint64_t)a.word[2] * b.word[2]);
}
inline Blocks reverse_words(Blocks a) { return {{a.word[3], a.word[2], a.word[1], a.word[0]}}; }
inline Blocks odd_words(Blocks a) { return {{a.word[1], 0, a.word[3], 0}}; }

inline int16_t word_at(Blocks words, int i) { return (int16_t)(words.word[i / 2] >> (16 * (i % 2))); }
// Keep decisions as bytes, 0 or 1.
struct TileKeep {
  uint8_t keep[kTileElements];

  void set(int first, Blocks words, Blocks bounds) {
    for (int i = 0; i < 8; ++i) keep[first + i] = word_at(words, i) >= word_at(bounds, i);
  }
  void drop(int element) { keep[element] = 0; }
  void load_bits(const uint8_t* bits) {
    for (int i = 0; i < kTileElements; ++i) keep[i] = bits[i / 8] >> (i % 8) & 1;
  }
  void load_bytes(const uint8_t* bytes) {
    for (int i = 0; i < kTileElements; ++i) keep[i] = bytes[i];
  }
  void store(uint8_t* bytes) const {
    for (int i = 0; i < kTileElements; ++i) bytes[i] = keep[i];
  }
  void store_bits(uint8_t* to) const {
    for (int i = 0; i < kTileElements; i += 8) {
      uint8_t bits = 0;
      for (int j = 0; j < 8; ++j) bits = (uint8_t)(bits | keep[i + j] << j);
      to[i / 8] = bits;
    }
  }
};

inline uint32_t equal_words(Blocks a, Blocks b) {
  uint32_t equal = 0;
  for (int i = 0; i < kBlockElements; ++i) equal |= (uint32_t)(word_at(a, i) == word_at(b, i)) << i;
  return equal;
}

// Whether any word seen equals its bound.
class Ties {
 public:
  void look(Blocks words, Blocks bounds) {
    for (int i = 0; i < 8; ++i) tied_ |= word_at(words, i) == word_at(bounds, i);
  }
  bool found() const { return tied_; }

 private:
  bool tied_ = false;
};

// AES by table (FIPS 197; Daemen and Rijmen, "AES Proposal: Rijndael", section 5.2.1): entry b holds the
// column that MixColumns makes of SubBytes(b) in row 0; the other rows are its rotations. The table comes
// from the field arithmetic at compile time; the known answers of the stream document pin it.
struct AesTables {
  uint8_t sbox[256];
  uint32_t column[256];
};
constexpr uint8_t times_x(uint8_t a) { return (uint8_t)(a << 1 ^ (a >> 7) * 0x1B); }
constexpr uint8_t rotate_left(uint8_t a, int by) { return (uint8_t)(a << by | a >> (8 - by)); }
constexpr AesTables make_aes_tables() {
  AesTables tables{};
  uint8_t power = 1, inverse = 1;  // power runs through 3^k, inverse through 3^-k: all but zero
  for (int k = 0; k < 255; ++k) {
    tables.sbox[power] = (uint8_t)(0x63 ^ inverse ^ rotate_left(inverse, 1) ^ rotate_left(inverse, 2) ^
                                   rotate_left(inverse, 3) ^ rotate_left(inverse, 4));
    power = (uint8_t)(power ^ times_x(power));
    // 1/3 = 0xF6 = x^7 + x^6 + x^5 + x^4 + x^2 + x, by Horner's rule
    uint8_t product = 0;
    for (int bit = 7; bit >= 0; --bit) {
      product = times_x(product);
      if (0xF6 >> bit & 1) product = (uint8_t)(product ^ inverse);
    }
    inverse = product;
  }
  tables.sbox[0] = 0x63;
  for (int b = 0; b < 256; ++b) {
    const uint8_t once = tables.sbox[b], twice = times_x(once);
    tables.column[b] = (uint32_t)twice | (uint32_t)once << 8 | (uint32_t)once << 16 |
                       (uint32_t)(uint8_t)(twice ^ once) << 24;
  }
  return tables;
}
constexpr AesTables kAes = make_aes_tables();

inline uint32_t rotate_left(uint32_t a, int by) { return a << by | a >> (32 - by); }
// After ShiftRows, row r of column c comes from column c + r.
inline uint8_t shifted_byte(const Blocks& state, int column, int row) {
  return (uint8_t)(state.word[(column + row) % 4] >> (8 * row));
}

using AesBlocks = Blocks;
inline AesBlocks aes_round(AesBlocks state, AesBlocks key) {
  AesBlocks next;
  for (int c = 0; c < 4; ++c)
    next.word[c] = key.word[c] ^ kAes.column[shifted_byte(state, c, 0)] ^
                   rotate_left(kAes.column[shifted_byte(state, c, 1)], 8) ^
                   rotate_left(kAes.column[shifted_byte(state, c, 2)], 16) ^
                   rotate_left(kAes.column[shifted_byte(state, c, 3)], 24);
  return next;
}
inline AesBlocks aes_last_round(AesBlocks state, AesBlocks key) {
  AesBlocks next = key;
  for (int c = 0; c < 4; ++c)
    for (int r = 0; r < 4; ++r) next.word[c] ^= (uint32_t)kAes.sbox[shifted_byte(state, c, r)] << (8 * r);
  return next;
}
inline Blocks as_blocks(AesBlocks a) { return a; }

inline void finish_non_temporal_stores() {}

template <class T>
struct ScalarLane {
  T value;
  static constexpr int width = 1;

  static ScalarLane load(const T* from) { return {*from}; }
  static ScalarLane load_float32(const float* from) { return {*from}; }
  static ScalarLane broadcast(double value) { return {(T)value}; }
  void store(T* to) const { *to = value; }
  void store_non_temporal(T* to) const { store(to); }
};
template <class T>
inline ScalarLane<T> operator*(ScalarLane<T> a, ScalarLane<T> b) {
  return {a.value * b.value};
}
template <class T>
inline ScalarLane<T> to_storage(ScalarLane<T> a) {
  return a;
}
template <class T>
inline ScalarLane<T> operator+(ScalarLane<T> a, ScalarLane<T> b) {
  return {a.value + b.value};
}
template <class T>
inline ScalarLane<T> operator-(ScalarLane<T> a, ScalarLane<T> b) {
  return {a.value - b.value};
}
template <class T>
inline ScalarLane<T> operator/(ScalarLane<T> a, ScalarLane<T> b) {
  return {a.value / b.value};
}
inline ScalarLane<float> square_root(ScalarLane<float> a) { return {__builtin_sqrtf(a.value)}; }
inline ScalarLane<double> square_root(ScalarLane<double> a) { return {__builtin_sqrt(a.value)}; }
template <class T>
inline ScalarLane<T> zero_unless(const TileKeep& keep, int first, ScalarLane<T> a) {
  return {keep.keep[first] ? a.value : T(0)};
}
template <class T>
inline ScalarLane<T> selected(const TileKeep& keep, int first, ScalarLane<T> a, ScalarLane<T> otherwise) {
  return keep.keep[first] ? a : otherwise;
}
using Float32Lanes = ScalarLane<float>;
using Float64Lanes = ScalarLane<double>;

struct StoredHalves {
  uint16_t values[2];

  void store(uint16_t* to) const { to[0] = values[0], to[1] = values[1]; }
  void store_non_temporal(uint16_t* to) const { store(to); }
};
inline StoredHalves zero_unless(const TileKeep& keep, int first, StoredHalves a) {
  const uint8_t* kept = keep.keep + first;
  return {{kept[0] ? a.values[0] : uint16_t{0}, kept[1] ? a.values[1] : uint16_t{0}}};
}
inline StoredHalves selected(const TileKeep& keep, int first, StoredHalves a, StoredHalves otherwise) {
  const uint8_t* kept = keep.keep + first;
  return {{kept[0] ? a.values[0] : otherwise.values[0], kept[1] ? a.values[1] : otherwise.values[1]}};
}

struct Float32Pair {
  Float32Lanes first, second;
};

// With the fraction in its place the exponent's bias is short of 127 - 15; a factor of 2^112 makes up for it,
// in subnormal numbers too.
inline float widen_float16(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7FFF;
  const uint32_t not_finite = magnitude >= 0x7C00 ? 0x7F800000 : 0;
  return as_float(as_bits(as_float(magnitude << 13) * 0x1p112f) | not_finite | sign);
}
inline uint32_t float16_magnitude(uint32_t magnitude) {
  if (magnitude > 0x7F800000) return 0x7E00 | (magnitude >> 13 & 0x3FF);  // a NaN: what fits of it
  if (magnitude >= 0x47800000) return 0x7C00;                             // 2^16 and more
  // Below 2^-14 results are multiples of 2^-24, as floats from 0.5 to 1 are.
  if (magnitude < 0x38800000) return as_bits(as_float(magnitude) + 0.5f) - as_bits(0.5f);
  return (magnitude - (112u << 23) + 0xFFF + (magnitude >> 13 & 1)) >> 13;
}
inline uint16_t round_to_float16(float value) {
  const uint32_t bits = as_bits(value);
  return (uint16_t)((bits >> 16 & 0x8000) | float16_magnitude(bits & 0x7FFFFFFF));
}

// A bfloat16 is the upper half of a float32. Rounds to nearest even: adds 1 to the upper half if
// lower + 0x7FFF + (upper & 1) overflows 16 bits. A NaN never rounds: its lower half is 0, whether it was
// widened from 16 bits or made by arithmetic.
inline float widen_bfloat16(uint16_t half) { return as_float((uint32_t)half << 16); }
inline uint16_t round_to_bfloat16(float value) {
  const uint32_t bits = as_bits(value);
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

inline Float32Pair float16_to_float32(const uint16_t* from) {
  return {{widen_float16(from[0])}, {widen_float16(from[1])}};
}
inline Float32Pair float32_in_float16_order(const float* from) { return {{from[0]}, {from[1]}}; }
inline StoredHalves float32_to_float16(Float32Pair a) {
  return {{round_to_float16(a.first.value), round_to_float16(a.second.value)}};
}
inline Float32Pair bfloat16_to_float32(const uint16_t* from) {
  return {{widen_bfloat16(from[0])}, {widen_bfloat16(from[1])}};
}
inline Float32Pair float32_in_bfloat16_order(const float* from) { return {{from[0]}, {from[1]}}; }
inline StoredHalves float32_to_bfloat16(Float32Pair a) {
  return {{round_to_bfloat16(a.first.value), round_to_bfloat16(a.second.value)}};
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
