// SPDX-License-Identifier: BSD-3-Clause
// AVX-512 (F, BW, DQ, VL) with VAES: the vector contract of csrc/README.md, 512 bits wide.
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include "../../shared/tile.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The figures below are times as multiples of a memcpy's (docs/performance-log.md, What helped).

// A draw is two tiles: 1.18 in cache before rounds were shared. Without drawing ahead 1.52, one tile ahead
// 1.41. Three tiles do not fit the registers: 1.26.
constexpr int kDrawsAhead = 1;
constexpr bool kCompareAhead = false;  // the decisions of two tiles do not fit the predicate registers: 1.70
// Out of cache the processor's own prefetcher does not look past the generator's work. Without this, 4 Mi
// floats take twice as long and 16 Mi 2.8 times.
constexpr uintptr_t kPrefetchBytes = 768;
// Avoids 4K aliasing (input and output congruent modulo 4096): from 1.27 to 1.08 and from 1.15
// to 1.01 in cache. Eight
// loads cost 7 % at 1 Mi floats.
constexpr int kLoadsTogether = 4;
constexpr int kChainsTogether = 4;     // gelu of 65,536: 32 us. With 2 or 1: 38
constexpr int kPowersTogether = 8;     // a register of softmax: 6.7 ns. With 4: 7.0
constexpr bool kInlineDraws = true;    // relu in cache: 1.8 times a copy instead of 2.1
constexpr bool kInlineNormals = true;  // their constants stay in registers from tile to tile: 10 %
constexpr int kUnroll = 32;            // registers must not be indexed by a variable

struct Blocks {
  __m512i lanes;
  static constexpr int count = 4;

  static Blocks broadcast(uint64_t low, uint64_t high) {
    const __m512i lower = _mm512_maskz_set1_epi64(0x55, (int64_t)low);
    return {_mm512_mask_set1_epi64(lower, 0xAA, (int64_t)high)};
  }
  static Blocks counters(uint64_t first, uint64_t upper) {
    const __m512i step = _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0);
    return {_mm512_add_epi64(broadcast(first, upper).lanes, step)};
  }
  void store(uint32_t* words) const { _mm512_storeu_si512(words, lanes); }
};

constexpr int kAesRegisters = 8;
constexpr int kMultiplyRegisters = 8;
constexpr int kTileBlocks = kTileVectors * Blocks::count;
constexpr int kTileElements = kTileBlocks * kBlockElements;

inline Blocks operator^(Blocks a, Blocks b) { return {_mm512_xor_si512(a.lanes, b.lanes)}; }

inline Blocks even_products(Blocks a, Blocks b) { return {_mm512_mul_epu32(a.lanes, b.lanes)}; }
inline Blocks reverse_words(Blocks a) { return {_mm512_shuffle_epi32(a.lanes, _MM_PERM_ABCD)}; }
inline Blocks odd_words(Blocks a) { return {_mm512_srli_epi64(a.lanes, 32)}; }

inline uint32_t equal_words(Blocks a, Blocks b) { return _mm512_cmpeq_epu16_mask(a.lanes, b.lanes); }

// Whether any word seen equals its bound. Masked comparisons narrow one register down.
class Ties {
 public:
  void look(Blocks words, Blocks bounds) {
    untied_ = _mm512_mask_cmpneq_epu16_mask(untied_, words.lanes, bounds.lanes);
  }
  bool found() const { return untied_ != 0xFFFFFFFF; }

 private:
  __mmask32 untied_ = 0xFFFFFFFF;
};

// Keep decisions as one comparison of 32 words yields them: they can stay in predicate registers.
struct TileKeep {
  __mmask32 bits[kTileElements / 32];

  void set(int first, Blocks words, Blocks bounds) {
    bits[first / 32] = _mm512_cmpge_epi16_mask(words.lanes, bounds.lanes);
  }
  void drop(int element) { bits[element / 32] &= ~(1u << (element % 32)); }
  void load_bits(const uint8_t* from) { __builtin_memcpy(bits, from, sizeof bits); }
  void load_bytes(const uint8_t* bytes) {
#pragma GCC unroll kUnroll
    for (int i = 0; i < kTileElements; i += 32) {
      const __m256i kept = _mm256_loadu_si256((const __m256i*)(bytes + i));
      bits[i / 32] = _mm256_test_epi8_mask(kept, kept);
    }
  }
  void store(uint8_t* bytes) const {
#pragma GCC unroll kUnroll
    for (int i = 0; i < kTileElements; i += 32)
      _mm256_storeu_si256((__m256i*)(bytes + i), _mm256_maskz_set1_epi8(bits[i / 32], 1));
  }
  void store_bits(uint8_t* to) const {
#pragma GCC unroll kUnroll
    for (int i = 0; i < kTileElements / 32; ++i) {
      const uint32_t word = _cvtmask32_u32(bits[i]);
      __builtin_memcpy(to + 4 * i, &word, sizeof word);
    }
  }
};

using AesBlocks = Blocks;
inline AesBlocks aes_round(AesBlocks state, AesBlocks key) {
  return {_mm512_aesenc_epi128(state.lanes, key.lanes)};
}
inline AesBlocks aes_last_round(AesBlocks state, AesBlocks key) {
  return {_mm512_aesenclast_epi128(state.lanes, key.lanes)};
}
inline Blocks as_blocks(AesBlocks a) { return a; }

// NumPy aligns large arrays to 16 bytes, so a non-temporal store of 64 bytes would seldom be allowed. The
// processor combines four small ones to the same cache line before they leave it.
inline void stream_quarters(void* to, __m512i lanes) {
  auto quarters = static_cast<__m128i*>(to);
  _mm_stream_si128(quarters, _mm512_extracti32x4_epi32(lanes, 0));
  _mm_stream_si128(quarters + 1, _mm512_extracti32x4_epi32(lanes, 1));
  _mm_stream_si128(quarters + 2, _mm512_extracti32x4_epi32(lanes, 2));
  _mm_stream_si128(quarters + 3, _mm512_extracti32x4_epi32(lanes, 3));
}
inline void finish_non_temporal_stores() { _mm_sfence(); }

struct Float32Lanes {
  __m512 lanes;
  static constexpr int width = 16;

  static Float32Lanes load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static Float32Lanes broadcast(double value) { return {_mm512_set1_ps((float)value)}; }
  static Float32Lanes load_float32(const float* from) { return load(from); }
  void store(float* to) const { _mm512_storeu_ps(to, lanes); }
  void store_non_temporal(float* to) const { stream_quarters(to, _mm512_castps_si512(lanes)); }
};
inline Float32Lanes operator*(Float32Lanes a, Float32Lanes b) { return {_mm512_mul_ps(a.lanes, b.lanes)}; }
inline Float32Lanes to_storage(Float32Lanes a) { return a; }
inline Float32Lanes operator+(Float32Lanes a, Float32Lanes b) { return {_mm512_add_ps(a.lanes, b.lanes)}; }
inline Float32Lanes operator-(Float32Lanes a, Float32Lanes b) { return {_mm512_sub_ps(a.lanes, b.lanes)}; }
inline Float32Lanes operator/(Float32Lanes a, Float32Lanes b) { return {_mm512_div_ps(a.lanes, b.lanes)}; }
inline Float32Lanes square_root(Float32Lanes a) { return {_mm512_sqrt_ps(a.lanes)}; }
inline Float32Lanes zero_unless(const TileKeep& keep, int first, Float32Lanes a) {
  return {_mm512_maskz_mov_ps((__mmask16)(keep.bits[first / 32] >> (first % 32)), a.lanes)};
}
inline Float32Lanes selected(const TileKeep& keep, int first, Float32Lanes a, Float32Lanes otherwise) {
  return {_mm512_mask_mov_ps(otherwise.lanes, (__mmask16)(keep.bits[first / 32] >> (first % 32)), a.lanes)};
}

struct Float64Lanes {
  __m512d lanes;
  static constexpr int width = 8;

  static Float64Lanes load(const double* from) { return {_mm512_loadu_pd(from)}; }
  static Float64Lanes broadcast(double value) { return {_mm512_set1_pd(value)}; }
  static Float64Lanes load_float32(const float* from) { return {_mm512_cvtps_pd(_mm256_loadu_ps(from))}; }
  void store(double* to) const { _mm512_storeu_pd(to, lanes); }
  void store_non_temporal(double* to) const { stream_quarters(to, _mm512_castpd_si512(lanes)); }
};
inline Float64Lanes operator*(Float64Lanes a, Float64Lanes b) { return {_mm512_mul_pd(a.lanes, b.lanes)}; }
inline Float64Lanes to_storage(Float64Lanes a) { return a; }
inline Float64Lanes operator+(Float64Lanes a, Float64Lanes b) { return {_mm512_add_pd(a.lanes, b.lanes)}; }
inline Float64Lanes operator-(Float64Lanes a, Float64Lanes b) { return {_mm512_sub_pd(a.lanes, b.lanes)}; }
inline Float64Lanes operator/(Float64Lanes a, Float64Lanes b) { return {_mm512_div_pd(a.lanes, b.lanes)}; }
inline Float64Lanes square_root(Float64Lanes a) { return {_mm512_sqrt_pd(a.lanes)}; }
inline Float64Lanes zero_unless(const TileKeep& keep, int first, Float64Lanes a) {
  return {_mm512_maskz_mov_pd((__mmask8)(keep.bits[first / 32] >> (first % 32)), a.lanes)};
}
inline Float64Lanes selected(const TileKeep& keep, int first, Float64Lanes a, Float64Lanes otherwise) {
  return {_mm512_mask_mov_pd(otherwise.lanes, (__mmask8)(keep.bits[first / 32] >> (first % 32)), a.lanes)};
}

struct Float32Pair {
  Float32Lanes first, second;
};

// The lower and the upper 16 of 32 values. They are not put together: that takes a tenth longer.
struct StoredFloat16 {
  __m256i low, high;

  void store(uint16_t* to) const {
    _mm256_storeu_si256((__m256i*)to, low);
    _mm256_storeu_si256((__m256i*)to + 1, high);
  }
  void store_non_temporal(uint16_t* to) const {
    stream_quarters(to, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
  }
};
inline StoredFloat16 zero_unless(const TileKeep& keep, int first, StoredFloat16 a) {
  const __mmask32 bits = keep.bits[first / 32];
  return {_mm256_maskz_mov_epi16((__mmask16)bits, a.low),
          _mm256_maskz_mov_epi16((__mmask16)(bits >> 16), a.high)};
}
inline StoredFloat16 selected(const TileKeep& keep, int first, StoredFloat16 a, StoredFloat16 otherwise) {
  const __mmask32 bits = keep.bits[first / 32];
  return {_mm256_mask_mov_epi16(otherwise.low, (__mmask16)bits, a.low),
          _mm256_mask_mov_epi16(otherwise.high, (__mmask16)(bits >> 16), a.high)};
}
inline Float32Pair float16_to_float32(const uint16_t* from) {
  const auto halves = (const __m256i*)from;
  return {{_mm512_cvtph_ps(_mm256_loadu_si256(halves))}, {_mm512_cvtph_ps(_mm256_loadu_si256(halves + 1))}};
}
inline Float32Pair float32_in_float16_order(const float* from) {
  return {Float32Lanes::load(from), Float32Lanes::load(from + Float32Lanes::width)};
}
inline StoredFloat16 float32_to_float16(Float32Pair a) {
  constexpr int nearest_even = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm512_cvtps_ph(a.first.lanes, nearest_even), _mm512_cvtps_ph(a.second.lanes, nearest_even)};
}

// A bfloat16 is the upper half of a float32. A pair has the even and the odd places.
struct StoredBFloat16 {
  __m512i lanes;

  void store(uint16_t* to) const { _mm512_storeu_si512(to, lanes); }
  void store_non_temporal(uint16_t* to) const { stream_quarters(to, lanes); }
};
inline StoredBFloat16 zero_unless(const TileKeep& keep, int first, StoredBFloat16 a) {
  return {_mm512_maskz_mov_epi16(keep.bits[first / 32], a.lanes)};
}
inline StoredBFloat16 selected(const TileKeep& keep, int first, StoredBFloat16 a, StoredBFloat16 otherwise) {
  return {_mm512_mask_mov_epi16(otherwise.lanes, keep.bits[first / 32], a.lanes)};
}
inline Float32Pair bfloat16_to_float32(const uint16_t* from) {
  const __m512i values = _mm512_loadu_si512(from);
  return {{_mm512_castsi512_ps(_mm512_slli_epi32(values, 16))},
          {_mm512_castsi512_ps(_mm512_and_si512(values, _mm512_set1_epi32((int)0xFFFF0000)))}};
}
inline Float32Pair float32_in_bfloat16_order(const float* from) {
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  const __m512 low = _mm512_loadu_ps(from), high = _mm512_loadu_ps(from + 16);
  return {{_mm512_permutex2var_ps(low, even, high)}, {_mm512_permutex2var_ps(low, odd, high)}};
}
// Rounds to nearest even: adds 1 to the upper half if lower + 0x7FFF + (upper & 1) overflows 16 bits. An
// average is (a + b + 1) >> 1, so its top bit is that overflow. A NaN never rounds: its lower half is 0,
// whether it was widened from 16 bits or made by arithmetic.
inline StoredBFloat16 float32_to_bfloat16(Float32Pair a) {
  constexpr __mmask64 even_places = 0x3333333333333333, odd_places = ~even_places;  // in bytes
  const __m512i exchange_halves = _mm512_set4_epi32(0x0D0C0F0E, 0x09080B0A, 0x05040706, 0x01000302);
  const __m512i even = _mm512_castps_si512(a.first.lanes), odd = _mm512_castps_si512(a.second.lanes);
  const __m512i upper = _mm512_mask_shuffle_epi8(odd, even_places, even, exchange_halves);
  const __m512i lower = _mm512_mask_shuffle_epi8(even, odd_places, odd, exchange_halves);
  constexpr int a_and_b_or_c = 0xEA;
  const __m512i one = _mm512_set1_epi16(1), most = _mm512_set1_epi16(0x7FFE);
  const __m512i carry = _mm512_avg_epu16(lower, _mm512_ternarylogic_epi32(upper, one, most, a_and_b_or_c));
  return {_mm512_add_epi16(upper, _mm512_srli_epi16(carry, 15))};
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
