// SPDX-License-Identifier: BSD-3-Clause
// AVX2 with AES-NI, or with VAES where the compiler may use it: the vector contract of csrc/README.md, 256
// bits wide.
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include "../../shared/tile.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// Figures without a source of their own: docs/performance-log.md, What helped.

// Two. One is 10 % slower with VAES (Philox 30 %). With three, float32 is 4 % faster and float64 up to 10 %
// slower.
constexpr int kDrawsAhead = 2;
// Decisions go through memory on their way to a value's width, so they wait there.
constexpr bool kCompareAhead = true;
// Prefetches share the loads' units: with them 4 Mi floats take 1.3 times as long, and no size is faster.
constexpr uintptr_t kPrefetchBytes = 0;
constexpr int kLoadsTogether = 1;     // more gain nothing and cost registers
constexpr int kChainsTogether = 2;    // gelu of 65,536: 68 us. With 1: 77. With 4: 65, at twice the size
constexpr int kPowersTogether = 4;    // softmax of 4096 x 256: 0.92 ms. With 2: 0.97
constexpr bool kInlineDraws = false;  // relu in cache: 3.3 times a copy inline, without VAES, instead of 3.0
constexpr bool kInlineNormals =
    false;                   // their constants do not fit the registers, so that a call costs nothing
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

constexpr int kAesRegisters = 4;  // with the round keys, what fits the registers: 8 take 7 to 11 % longer
constexpr int kMultiplyRegisters = 8;  // 4 take 30 % longer
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
inline Blocks as_blocks(AesBlocks a) { return a; }

#else

// AES-NI works on 128 bits, so its blocks stay in 128-bit registers until they are random words.
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
inline Blocks as_blocks(Blocks a) { return a; }
inline Blocks as_blocks(AesBlocks a) { return {_mm256_set_m128i(a.high, a.low)}; }

#endif

inline uint32_t equal_words(Blocks a, Blocks b) {
  const __m256i equal = _mm256_cmpeq_epi16(a.lanes, b.lanes);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(equal), _mm256_extracti128_si256(equal, 1));
  return (uint32_t)_mm_movemask_epi8(bytes);
}

// Whether any word seen equals its bound.
class Ties {
 public:
  void look(Blocks words, Blocks bounds) {
    tied_ = _mm256_or_si256(tied_, _mm256_cmpeq_epi16(words.lanes, bounds.lanes));
  }
  bool found() const { return !_mm256_testz_si256(tied_, tied_); }

 private:
  __m256i tied_ = _mm256_setzero_si256();
};

// Decisions as 16-bit lanes, -1 where dropped, else 0: they widen to a value's own width in one instruction.
struct TileKeep {
  alignas(32) int16_t lanes[kTileElements];

  void set(int first, Blocks words, Blocks bounds) {
    const __m256i dropped = _mm256_cmpgt_epi16(bounds.lanes, words.lanes);
    _mm256_store_si256((__m256i*)(lanes + first), dropped);
  }
  void drop(int element) { lanes[element] = -1; }
  void load_bits(const uint8_t* from) {
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
  void load_bytes(const uint8_t* bytes) {
#pragma GCC unroll kUnroll
    for (int i = 0; i < kTileElements; i += 16) {
      const __m256i kept = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)(bytes + i)));
      _mm256_store_si256((__m256i*)(lanes + i), _mm256_sub_epi16(kept, _mm256_set1_epi16(1)));
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
  void store_bits(uint8_t* to) const {
#pragma GCC unroll kUnroll
    for (int i = 0; i < kTileElements; i += 32) {
      const auto from = (const __m256i*)(lanes + i);
      const __m256i halves = _mm256_packs_epi16(_mm256_load_si256(from), _mm256_load_si256(from + 1));
      const __m256i dropped = _mm256_permute4x64_epi64(halves, _MM_SHUFFLE(3, 1, 2, 0));
      const uint32_t bits = ~(uint32_t)_mm256_movemask_epi8(dropped);
      __builtin_memcpy(to + i / 8, &bits, sizeof bits);
    }
  }
};

// NumPy aligns large arrays to 16 bytes, so a non-temporal store of 32 bytes would often not be allowed. The
// processor combines small ones to the same cache line before they leave it.
inline void stream_halves(void* to, __m256i lanes) {
  auto halves = static_cast<__m128i*>(to);
  _mm_stream_si128(halves, _mm256_castsi256_si128(lanes));
  _mm_stream_si128(halves + 1, _mm256_extracti128_si256(lanes, 1));
}
inline void finish_non_temporal_stores() { _mm_sfence(); }

struct Float32Lanes {
  __m256 lanes;
  static constexpr int width = 8;

  static Float32Lanes load(const float* from) { return {_mm256_loadu_ps(from)}; }
  static Float32Lanes broadcast(double value) { return {_mm256_set1_ps((float)value)}; }
  static Float32Lanes load_float32(const float* from) { return load(from); }
  void store(float* to) const { _mm256_storeu_ps(to, lanes); }
  void store_non_temporal(float* to) const { stream_halves(to, _mm256_castps_si256(lanes)); }
};
inline Float32Lanes operator*(Float32Lanes a, Float32Lanes b) { return {_mm256_mul_ps(a.lanes, b.lanes)}; }
inline Float32Lanes to_storage(Float32Lanes a) { return a; }
inline Float32Lanes operator+(Float32Lanes a, Float32Lanes b) { return {_mm256_add_ps(a.lanes, b.lanes)}; }
inline Float32Lanes operator-(Float32Lanes a, Float32Lanes b) { return {_mm256_sub_ps(a.lanes, b.lanes)}; }
inline Float32Lanes operator/(Float32Lanes a, Float32Lanes b) { return {_mm256_div_ps(a.lanes, b.lanes)}; }
inline Float32Lanes square_root(Float32Lanes a) { return {_mm256_sqrt_ps(a.lanes)}; }
inline __m256 dropped_float32(const TileKeep& keep, int first) {
  const __m128i lanes = _mm_load_si128((const __m128i*)(keep.lanes + first));
  return _mm256_castsi256_ps(_mm256_cvtepi16_epi32(lanes));
}
inline Float32Lanes zero_unless(const TileKeep& keep, int first, Float32Lanes a) {
  return {_mm256_andnot_ps(dropped_float32(keep, first), a.lanes)};
}
inline Float32Lanes selected(const TileKeep& keep, int first, Float32Lanes a, Float32Lanes otherwise) {
  return {_mm256_blendv_ps(a.lanes, otherwise.lanes, dropped_float32(keep, first))};
}

struct Float64Lanes {
  __m256d lanes;
  static constexpr int width = 4;

  static Float64Lanes load(const double* from) { return {_mm256_loadu_pd(from)}; }
  static Float64Lanes broadcast(double value) { return {_mm256_set1_pd(value)}; }
  static Float64Lanes load_float32(const float* from) { return {_mm256_cvtps_pd(_mm_loadu_ps(from))}; }
  void store(double* to) const { _mm256_storeu_pd(to, lanes); }
  void store_non_temporal(double* to) const { stream_halves(to, _mm256_castpd_si256(lanes)); }
};
inline Float64Lanes operator*(Float64Lanes a, Float64Lanes b) { return {_mm256_mul_pd(a.lanes, b.lanes)}; }
inline Float64Lanes to_storage(Float64Lanes a) { return a; }
inline Float64Lanes operator+(Float64Lanes a, Float64Lanes b) { return {_mm256_add_pd(a.lanes, b.lanes)}; }
inline Float64Lanes operator-(Float64Lanes a, Float64Lanes b) { return {_mm256_sub_pd(a.lanes, b.lanes)}; }
inline Float64Lanes operator/(Float64Lanes a, Float64Lanes b) { return {_mm256_div_pd(a.lanes, b.lanes)}; }
inline Float64Lanes square_root(Float64Lanes a) { return {_mm256_sqrt_pd(a.lanes)}; }
inline __m256d dropped_float64(const TileKeep& keep, int first) {
  const __m128i lanes = _mm_loadl_epi64((const __m128i*)(keep.lanes + first));
  return _mm256_castsi256_pd(_mm256_cvtepi16_epi64(lanes));
}
inline Float64Lanes zero_unless(const TileKeep& keep, int first, Float64Lanes a) {
  return {_mm256_andnot_pd(dropped_float64(keep, first), a.lanes)};
}
inline Float64Lanes selected(const TileKeep& keep, int first, Float64Lanes a, Float64Lanes otherwise) {
  return {_mm256_blendv_pd(a.lanes, otherwise.lanes, dropped_float64(keep, first))};
}

// Values of 16 bits as they are stored: decisions have their width.
struct StoredHalves {
  __m256i lanes;

  void store(uint16_t* to) const { _mm256_storeu_si256((__m256i*)to, lanes); }
  void store_non_temporal(uint16_t* to) const { stream_halves(to, lanes); }
};
inline StoredHalves zero_unless(const TileKeep& keep, int first, StoredHalves a) {
  return {_mm256_andnot_si256(_mm256_load_si256((const __m256i*)(keep.lanes + first)), a.lanes)};
}
inline StoredHalves selected(const TileKeep& keep, int first, StoredHalves a, StoredHalves otherwise) {
  const __m256i dropped = _mm256_load_si256((const __m256i*)(keep.lanes + first));
  return {_mm256_blendv_epi8(a.lanes, otherwise.lanes, dropped)};
}

struct Float32Pair {
  Float32Lanes first, second;
};

// The lower and the upper half of a register.
inline Float32Pair float16_to_float32(const uint16_t* from) {
  const auto halves = (const __m128i*)from;
  return {{_mm256_cvtph_ps(_mm_loadu_si128(halves))}, {_mm256_cvtph_ps(_mm_loadu_si128(halves + 1))}};
}
inline Float32Pair float32_in_float16_order(const float* from) {
  return {Float32Lanes::load(from), Float32Lanes::load(from + Float32Lanes::width)};
}
inline StoredHalves float32_to_float16(Float32Pair a) {
  constexpr int nearest_even = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  const __m128i low = _mm256_cvtps_ph(a.first.lanes, nearest_even);
  return {_mm256_set_m128i(_mm256_cvtps_ph(a.second.lanes, nearest_even), low)};
}

// The even and the odd places: a bfloat16 is the upper half of a float32.
inline Float32Pair bfloat16_to_float32(const uint16_t* from) {
  const __m256i halves = _mm256_loadu_si256((const __m256i*)from);
  return {{_mm256_castsi256_ps(_mm256_slli_epi32(halves, 16))},
          {_mm256_castsi256_ps(_mm256_and_si256(halves, _mm256_set1_epi32((int)0xFFFF0000)))}};
}
inline Float32Pair float32_in_bfloat16_order(const float* from) {
  const __m256 low = _mm256_loadu_ps(from), high = _mm256_loadu_ps(from + 8);
  const auto sorted = [](__m256 quarters) {
    const __m256d pairs = _mm256_castps_pd(quarters);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, _MM_SHUFFLE(3, 1, 2, 0)));
  };
  return {{sorted(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)))},
          {sorted(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)))}};
}
// Rounds to nearest even: adds 1 to the upper half if lower + 0x7FFF + (upper & 1) overflows 16 bits. An
// average is (a + b + 1) >> 1, so its top bit is that overflow. A NaN never rounds: its lower half is 0,
// whether it was widened from 16 bits or made by arithmetic.
inline StoredHalves float32_to_bfloat16(Float32Pair a) {
  constexpr int odd_places = 0xAA;
  const __m256i even = _mm256_castps_si256(a.first.lanes), odd = _mm256_castps_si256(a.second.lanes);
  const __m256i upper = _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, odd_places);
  const __m256i lower = _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), odd_places);
  const __m256i last_bit = _mm256_and_si256(upper, _mm256_set1_epi16(1));
  const __m256i carry = _mm256_avg_epu16(lower, _mm256_or_si256(last_bit, _mm256_set1_epi16(0x7FFE)));
  return {_mm256_add_epi16(upper, _mm256_srli_epi16(carry, 15))};
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
