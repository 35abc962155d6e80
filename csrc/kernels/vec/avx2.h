// SPDX-License-Identifier: BSD-3-Clause
// AVX2 with AES-NI, or with VAES where the compiler may use it: the vector contract of csrc/README.md, 256
// bits wide.
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include "../../shared/tile.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// Two: with VAES one is 10 % slower (Philox 30 %); with three float32 is 4 % faster and float64 up to 10 %
// slower.
constexpr int kAheadDraws = 2;
// Decisions go through memory on their way to a value's width, so let them wait there.
constexpr bool kDecideAhead = true;
// Prefetches share the loads' units: with them 4 Mi took 1.3 times as long, and nothing less.
constexpr uintptr_t kPrefetchBytes = 0;
constexpr int kUnroll = 32;  // registers must not be indexed by a variable

struct Blocks {
  __m256i lanes;
  static constexpr int count = 2;

  static Blocks broadcast(uint64_t low, uint64_t high) {
    return {_mm256_broadcastsi128_si256(_mm_set_epi64x((int64_t)high, (int64_t)low))};
  }
  static Blocks counters(uint64_t first, uint64_t upper) {
    return {_mm256_add_epi64(broadcast(first, upper).lanes, _mm256_set_epi64x(0, 1, 0, 0))};
  }
  void store(uint32_t* words) const { _mm256_storeu_si256((__m256i*)words, lanes); }
};

constexpr int kAesInFlight = 4;       // with the round keys, what fits the registers: 8 take 7 to 11 % longer
constexpr int kProductsInFlight = 8;  // 4 take 30 % longer
constexpr int kTileBlocks = kTileVectors * Blocks::count;
constexpr int kTileElements = kTileBlocks * kBlockElements;

inline Blocks operator^(Blocks a, Blocks b) { return {_mm256_xor_si256(a.lanes, b.lanes)}; }

inline Blocks even_products(Blocks a, Blocks b) { return {_mm256_mul_epu32(a.lanes, b.lanes)}; }
inline Blocks reverse_words(Blocks a) { return {_mm256_shuffle_epi32(a.lanes, _MM_SHUFFLE(0, 1, 2, 3))}; }
inline Blocks odd_words(Blocks a) { return {_mm256_srli_epi64(a.lanes, 32)}; }

#if defined(__VAES__)

using AesBlocks = Blocks;
inline AesBlocks aes_round(AesBlocks state, AesBlocks key) {
  return {_mm256_aesenc_epi128(state.lanes, key.lanes)};
}
inline AesBlocks aes_last_round(AesBlocks state, AesBlocks key) {
  return {_mm256_aesenclast_epi128(state.lanes, key.lanes)};
}
inline Blocks widened(AesBlocks a) { return a; }

#else

// AES-NI works on 128 bits, so its blocks stay in 128-bit registers until they are random numbers.
struct AesBlocks {
  __m128i low, high;
  static constexpr int count = 2;

  static AesBlocks broadcast(uint64_t low, uint64_t high) {
    const __m128i block = _mm_set_epi64x((int64_t)high, (int64_t)low);
    return {block, block};
  }
  static AesBlocks counters(uint64_t first, uint64_t upper) {
    const __m128i block = _mm_set_epi64x((int64_t)upper, (int64_t)first);
    return {block, _mm_add_epi64(block, _mm_set_epi64x(0, 1))};
  }
};
inline AesBlocks operator^(AesBlocks a, AesBlocks b) {
  return {_mm_xor_si128(a.low, b.low), _mm_xor_si128(a.high, b.high)};
}
inline AesBlocks aes_round(AesBlocks state, AesBlocks key) {
  return {_mm_aesenc_si128(state.low, key.low), _mm_aesenc_si128(state.high, key.low)};
}
inline AesBlocks aes_last_round(AesBlocks state, AesBlocks key) {
  return {_mm_aesenclast_si128(state.low, key.low), _mm_aesenclast_si128(state.high, key.low)};
}
inline Blocks widened(Blocks a) { return a; }
inline Blocks widened(AesBlocks a) { return {_mm256_set_m128i(a.high, a.low)}; }

#endif

// Whether any number seen equals its bound.
class Ties {
 public:
  void look(Blocks numbers, Blocks bounds) {
    tied_ = _mm256_or_si256(tied_, _mm256_cmpeq_epi16(numbers.lanes, bounds.lanes));
  }
  bool found() const { return !_mm256_testz_si256(tied_, tied_); }

 private:
  __m256i tied_ = _mm256_setzero_si256();
};

// Decisions as 16-bit lanes, -1 where dropped, else 0: they widen to a value's own width in one instruction.
struct TileKeep {
  alignas(32) int16_t lanes[kTileElements];

  void set(int first, Blocks numbers, Blocks bounds) {
    const __m256i dropped = _mm256_cmpgt_epi16(bounds.lanes, numbers.lanes);
    _mm256_store_si256((__m256i*)(lanes + first), dropped);
  }
  void drop(int element) { lanes[element] = -1; }
  void load(const uint8_t* from) {
    const __m256i places = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 1 << 8, 1 << 9, 1 << 10, 1 << 11,
                                             1 << 12, 1 << 13, 1 << 14, (int16_t)(1 << 15));
#pragma GCC unroll kUnroll
    for (int i = 0; i < kTileElements; i += 16) {
      int16_t bits;
      __builtin_memcpy(&bits, from + i / 8, sizeof bits);
      const __m256i kept = _mm256_and_si256(_mm256_set1_epi16(bits), places);
      _mm256_store_si256((__m256i*)(lanes + i), _mm256_cmpeq_epi16(kept, _mm256_setzero_si256()));
    }
  }
  void store(uint8_t* bytes) const {
#pragma GCC unroll kUnroll
    for (int i = 0; i < kTileElements; i += 32) {
      const auto from = (const __m256i*)(lanes + i);
      const __m256i halves = _mm256_packs_epi16(_mm256_load_si256(from), _mm256_load_si256(from + 1));
      const __m256i dropped = _mm256_permute4x64_epi64(halves, _MM_SHUFFLE(3, 1, 2, 0));
      _mm256_storeu_si256((__m256i*)(bytes + i), _mm256_add_epi8(dropped, _mm256_set1_epi8(1)));
    }
  }
};

// NumPy aligns large arrays to 16 bytes, so a 32-byte streaming store would often not be allowed; small
// ones to the same cache line are combined by the processor before they leave it.
inline void stream_halves(void* to, __m256i lanes) {
  auto halves = static_cast<__m128i*>(to);
  _mm_stream_si128(halves, _mm256_castsi256_si128(lanes));
  _mm_stream_si128(halves + 1, _mm256_extracti128_si256(lanes, 1));
}
inline void finish_stores_around_cache() { _mm_sfence(); }

struct Float32Lanes {
  using Value = float;
  __m256 lanes;
  static constexpr int width = 8;

  static Float32Lanes load(const float* from) { return {_mm256_loadu_ps(from)}; }
  static Float32Lanes broadcast(double value) { return {_mm256_set1_ps((float)value)}; }
  void store(float* to) const { _mm256_storeu_ps(to, lanes); }
  void store_around_cache(float* to) const { stream_halves(to, _mm256_castps_si256(lanes)); }
};
inline Float32Lanes operator*(Float32Lanes a, Float32Lanes b) { return {_mm256_mul_ps(a.lanes, b.lanes)}; }
inline Float32Lanes zero_unless(const TileKeep& keep, int first, Float32Lanes a) {
  const __m128i lanes = _mm_load_si128((const __m128i*)(keep.lanes + first));
  return {_mm256_andnot_ps(_mm256_castsi256_ps(_mm256_cvtepi16_epi32(lanes)), a.lanes)};
}

struct Float64Lanes {
  using Value = double;
  __m256d lanes;
  static constexpr int width = 4;

  static Float64Lanes load(const double* from) { return {_mm256_loadu_pd(from)}; }
  static Float64Lanes broadcast(double value) { return {_mm256_set1_pd(value)}; }
  void store(double* to) const { _mm256_storeu_pd(to, lanes); }
  void store_around_cache(double* to) const { stream_halves(to, _mm256_castpd_si256(lanes)); }
};
inline Float64Lanes operator*(Float64Lanes a, Float64Lanes b) { return {_mm256_mul_pd(a.lanes, b.lanes)}; }
inline Float64Lanes zero_unless(const TileKeep& keep, int first, Float64Lanes a) {
  const __m128i lanes = _mm_loadl_epi64((const __m128i*)(keep.lanes + first));
  return {_mm256_andnot_pd(_mm256_castsi256_pd(_mm256_cvtepi16_epi64(lanes)), a.lanes)};
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
