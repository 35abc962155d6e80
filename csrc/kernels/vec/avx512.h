// SPDX-License-Identifier: BSD-3-Clause
// AVX-512 (F, BW, DQ, VL) with VAES: the vector contract of csrc/README.md, 512 bits wide.
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include "../../shared/tile.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// One draw, which is two tiles: in cache a forward pass then takes 1.18 times a memcpy, against 1.52 without
// drawing ahead, 1.41 with one tile, and 1.26 with three, which do not fit the registers
// (docs/performance.md).
constexpr int kAheadDraws = 1;
constexpr bool kDecideAhead = false;  // two tiles' decisions do not fit the predicate registers: 1.70
// Out of cache the processor's own prefetcher loses the input behind the generator's work: without this, 4 Mi
// floats took 2.0 times as long and 16 Mi 2.8 times.
constexpr uintptr_t kPrefetchBytes = 512;
constexpr int kUnroll = 32;  // registers must not be indexed by a variable

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

constexpr int kAesInFlight = 8;
constexpr int kProductsInFlight = 8;
constexpr int kTileBlocks = kTileVectors * Blocks::count;
constexpr int kTileElements = kTileBlocks * kBlockElements;

inline Blocks operator^(Blocks a, Blocks b) { return {_mm512_xor_si512(a.lanes, b.lanes)}; }

inline Blocks even_products(Blocks a, Blocks b) { return {_mm512_mul_epu32(a.lanes, b.lanes)}; }
inline Blocks reverse_words(Blocks a) { return {_mm512_shuffle_epi32(a.lanes, _MM_PERM_ABCD)}; }
inline Blocks odd_words(Blocks a) { return {_mm512_srli_epi64(a.lanes, 32)}; }

// Whether any number seen equals its bound. Masked comparisons narrow one register down.
class Ties {
 public:
  void look(Blocks numbers, Blocks bounds) {
    untied_ = _mm512_mask_cmpneq_epu16_mask(untied_, numbers.lanes, bounds.lanes);
  }
  bool found() const { return untied_ != 0xFFFFFFFF; }

 private:
  __mmask32 untied_ = 0xFFFFFFFF;
};

// Keep decisions as one comparison of 32 numbers yields them: they can stay in predicate registers.
struct TileKeep {
  __mmask32 bits[kTileElements / 32];

  void set(int first, Blocks numbers, Blocks bounds) {
    bits[first / 32] = _mm512_cmpge_epi16_mask(numbers.lanes, bounds.lanes);
  }
  void drop(int element) { bits[element / 32] &= ~(1u << (element % 32)); }
  void load(const uint8_t* from) { __builtin_memcpy(bits, from, sizeof bits); }
  void store(uint8_t* bytes) const {
#pragma GCC unroll kUnroll
    for (int i = 0; i < kTileElements; i += 32)
      _mm256_storeu_si256((__m256i*)(bytes + i), _mm256_maskz_set1_epi8(bits[i / 32], 1));
  }
};

using AesBlocks = Blocks;
inline AesBlocks aes_round(AesBlocks state, AesBlocks key) {
  return {_mm512_aesenc_epi128(state.lanes, key.lanes)};
}
inline AesBlocks aes_last_round(AesBlocks state, AesBlocks key) {
  return {_mm512_aesenclast_epi128(state.lanes, key.lanes)};
}
inline Blocks widened(AesBlocks a) { return a; }

// NumPy aligns large arrays to 16 bytes, so a 64-byte streaming store would seldom be allowed; four
// small ones to the same cache line are combined by the processor before they leave it.
inline void stream_quarters(void* to, __m512i lanes) {
  auto quarters = static_cast<__m128i*>(to);
  _mm_stream_si128(quarters, _mm512_extracti32x4_epi32(lanes, 0));
  _mm_stream_si128(quarters + 1, _mm512_extracti32x4_epi32(lanes, 1));
  _mm_stream_si128(quarters + 2, _mm512_extracti32x4_epi32(lanes, 2));
  _mm_stream_si128(quarters + 3, _mm512_extracti32x4_epi32(lanes, 3));
}
inline void finish_stores_around_cache() { _mm_sfence(); }

struct Float32Lanes {
  using Value = float;
  __m512 lanes;
  static constexpr int width = 16;

  static Float32Lanes load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static Float32Lanes broadcast(double value) { return {_mm512_set1_ps((float)value)}; }
  void store(float* to) const { _mm512_storeu_ps(to, lanes); }
  void store_around_cache(float* to) const { stream_quarters(to, _mm512_castps_si512(lanes)); }
};
inline Float32Lanes operator*(Float32Lanes a, Float32Lanes b) { return {_mm512_mul_ps(a.lanes, b.lanes)}; }
inline Float32Lanes zero_unless(const TileKeep& keep, int first, Float32Lanes a) {
  return {_mm512_maskz_mov_ps((__mmask16)(keep.bits[first / 32] >> (first % 32)), a.lanes)};
}

struct Float64Lanes {
  using Value = double;
  __m512d lanes;
  static constexpr int width = 8;

  static Float64Lanes load(const double* from) { return {_mm512_loadu_pd(from)}; }
  static Float64Lanes broadcast(double value) { return {_mm512_set1_pd(value)}; }
  void store(double* to) const { _mm512_storeu_pd(to, lanes); }
  void store_around_cache(double* to) const { stream_quarters(to, _mm512_castpd_si512(lanes)); }
};
inline Float64Lanes operator*(Float64Lanes a, Float64Lanes b) { return {_mm512_mul_pd(a.lanes, b.lanes)}; }
inline Float64Lanes zero_unless(const TileKeep& keep, int first, Float64Lanes a) {
  return {_mm512_maskz_mov_pd((__mmask8)(keep.bits[first / 32] >> (first % 32)), a.lanes)};
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
