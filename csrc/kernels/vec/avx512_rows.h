// SPDX-License-Identifier: BSD-3-Clause
// AVX-512: what kernels on rows need beside avx512.h (the vector contract of csrc/README.md, its second
// part).
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include "avx512.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

inline Float32Lanes zero_unless_bits(uint32_t bits, Float32Lanes a) {
  return {_mm512_maskz_mov_ps((__mmask16)bits, a.lanes)};
}

// The first lanes, `count` of them, from memory and to it; the others are 0.
inline __mmask16 first_16(int count) { return (__mmask16)((1u << count) - 1); }
inline Float32Lanes load_part(const float* from, int count) {
  return {_mm512_maskz_loadu_ps(first_16(count), from)};
}
inline void store_part(float* to, int count, Float32Lanes a) {
  _mm512_mask_storeu_ps(to, first_16(count), a.lanes);
}

// The upper half added to the lower one, again and again.
inline float folded(Float32Lanes a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.lanes), _mm512_extractf32x8_ps(a.lanes, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

// Of lanes that are no NaN.
inline float largest(Float32Lanes a) { return _mm512_reduce_max_ps(a.lanes); }

// For piecewise.h. `index` is a sum whose lowest four bits say which of sixteen values.
inline Float32Lanes lookup(const float* sixteen, Float32Lanes index) {
  return {_mm512_permutexvar_ps(_mm512_castps_si512(index.lanes), _mm512_load_ps(sixteen))};
}
inline Float32Lanes absolute(Float32Lanes a) { return {_mm512_abs_ps(a.lanes)}; }
inline bool all_below(Float32Lanes a, Float32Lanes b) {
  return _mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_NLT_UQ) == 0;
}

// For functions.h. minimum and maximum give b where one of both is a NaN, and where both are zeros.
inline Float32Lanes minimum(Float32Lanes a, Float32Lanes b) { return {_mm512_min_ps(a.lanes, b.lanes)}; }
inline Float32Lanes maximum(Float32Lanes a, Float32Lanes b) { return {_mm512_max_ps(a.lanes, b.lanes)}; }
struct Float32Condition {
  __mmask16 lanes;
};
inline Float32Condition operator<(Float32Lanes a, Float32Lanes b) {
  return {_mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_LT_OQ)};
}
inline Float32Condition operator<=(Float32Lanes a, Float32Lanes b) {
  return {_mm512_cmp_ps_mask(a.lanes, b.lanes, _CMP_LE_OQ)};
}
inline Float32Lanes selected(Float32Condition condition, Float32Lanes a, Float32Lanes otherwise) {
  return {_mm512_mask_mov_ps(otherwise.lanes, condition.lanes, a.lanes)};
}
inline Float32Lanes minus_magnitude(Float32Lanes a) { return {_mm512_or_ps(a.lanes, _mm512_set1_ps(-0.0f))}; }
inline Float32Lanes upper_half(Float32Lanes a) {
  return {_mm512_and_ps(a.lanes, _mm512_castsi512_ps(_mm512_set1_epi32(-(1 << 12))))};
}
inline Float32Lanes times_power_of_two(Float32Lanes a, Float32Lanes sum) {
  const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(sum.lanes), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.lanes), power))};
}

inline Float64Lanes zero_unless_bits(uint32_t bits, Float64Lanes a) {
  return {_mm512_maskz_mov_pd((__mmask8)bits, a.lanes)};
}
inline Float64Lanes load_part(const double* from, int count) {
  return {_mm512_maskz_loadu_pd((__mmask8)first_16(count), from)};
}
inline void store_part(double* to, int count, Float64Lanes a) {
  _mm512_mask_storeu_pd(to, (__mmask8)first_16(count), a.lanes);
}

// As many values of 16 bits as Float32Lanes has, in the order of memory. They are of one kind or the other.
struct Halves {
  __m256i lanes;

  static Halves load(const uint16_t* from) { return {_mm256_loadu_si256((const __m256i*)from)}; }
  void store(uint16_t* to) const { _mm256_storeu_si256((__m256i*)to, lanes); }
};
inline Halves load_part(const uint16_t* from, int count) {
  return {_mm256_maskz_loadu_epi16(first_16(count), from)};
}
inline void store_part(uint16_t* to, int count, Halves a) {
  _mm256_mask_storeu_epi16(to, first_16(count), a.lanes);
}
inline Float32Lanes widen_float16(Halves a) { return {_mm512_cvtph_ps(a.lanes)}; }
inline Halves narrow_to_float16(Float32Lanes a) {
  return {_mm512_cvtps_ph(a.lanes, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline Float32Lanes widen_bfloat16(Halves a) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(a.lanes), 16))};
}
// A NaN is cut off, and stays one by its upper bit.
inline Halves narrow_to_bfloat16(Float32Lanes a) {
  const __m512i bits = _mm512_castps_si512(a.lanes);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(a.lanes, a.lanes, _CMP_UNORD_Q);
  const __m512i result = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(1 << 22));
  return {_mm512_cvtepi32_epi16(_mm512_srli_epi32(result, 16))};
}

inline double largest(Float64Lanes a) { return _mm512_reduce_max_pd(a.lanes); }
inline double folded(Float64Lanes a) {
  const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(a.lanes), _mm512_extractf64x4_pd(a.lanes, 1));
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

inline Float64Lanes minimum(Float64Lanes a, Float64Lanes b) { return {_mm512_min_pd(a.lanes, b.lanes)}; }
inline Float64Lanes maximum(Float64Lanes a, Float64Lanes b) { return {_mm512_max_pd(a.lanes, b.lanes)}; }
struct Float64Condition {
  __mmask8 lanes;
};
inline Float64Condition operator<(Float64Lanes a, Float64Lanes b) {
  return {_mm512_cmp_pd_mask(a.lanes, b.lanes, _CMP_LT_OQ)};
}
inline Float64Condition operator<=(Float64Lanes a, Float64Lanes b) {
  return {_mm512_cmp_pd_mask(a.lanes, b.lanes, _CMP_LE_OQ)};
}
inline Float64Lanes selected(Float64Condition condition, Float64Lanes a, Float64Lanes otherwise) {
  return {_mm512_mask_mov_pd(otherwise.lanes, condition.lanes, a.lanes)};
}
inline Float64Lanes minus_magnitude(Float64Lanes a) { return {_mm512_or_pd(a.lanes, _mm512_set1_pd(-0.0))}; }
inline Float64Lanes upper_half(Float64Lanes a) {
  return {_mm512_and_pd(a.lanes, _mm512_castsi512_pd(_mm512_set1_epi64(-(1ll << 27))))};
}
inline Float64Lanes times_power_of_two(Float64Lanes a, Float64Lanes sum) {
  const __m512i power = _mm512_slli_epi64(_mm512_castpd_si512(sum.lanes), 52);
  return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a.lanes), power))};
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
