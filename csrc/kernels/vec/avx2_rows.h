// SPDX-License-Identifier: BSD-3-Clause
// AVX2: what kernels on rows need beside avx2.h (the vector contract of csrc/README.md, its second part).
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include "avx2.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

inline Float32Lanes zero_unless_bits(uint32_t bits, Float32Lanes a) {
  const __m256i places = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i kept = _mm256_and_si256(_mm256_set1_epi32((int)bits), places);
  return {_mm256_and_ps(a.lanes, _mm256_castsi256_ps(_mm256_cmpeq_epi32(kept, places)))};
}

// The first lanes, `count` of them, from memory and to it; the others are 0.
inline __m256i first_8(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Float32Lanes load_part(const float* from, int count) {
  return {_mm256_maskload_ps(from, first_8(count))};
}
inline void store_part(float* to, int count, Float32Lanes a) {
  _mm256_maskstore_ps(to, first_8(count), a.lanes);
}

// The upper half added to the lower one, again and again.
inline float folded(Float32Lanes a) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.lanes), _mm256_extractf128_ps(a.lanes, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

// Of lanes that are no NaN.
inline float largest(Float32Lanes a) {
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(a.lanes), _mm256_extractf128_ps(a.lanes, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

// For piecewise.h. `index` is a sum whose lowest four bits say which of sixteen values.
inline Float32Lanes lookup(const float* sixteen, Float32Lanes index) {
  const __m256i place = _mm256_castps_si256(index.lanes);  // three bits of it are looked at
  const __m256 lower = _mm256_permutevar8x32_ps(_mm256_load_ps(sixteen), place);
  const __m256 upper = _mm256_permutevar8x32_ps(_mm256_load_ps(sixteen + 8), place);
  return {_mm256_blendv_ps(lower, upper, _mm256_castsi256_ps(_mm256_slli_epi32(place, 28)))};
}
inline Float32Lanes absolute(Float32Lanes a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.lanes)}; }
inline bool all_below(Float32Lanes a, Float32Lanes b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a.lanes, b.lanes, _CMP_NLT_UQ)) == 0;
}

// For functions.h. minimum and maximum give b where one of both is a NaN, and where both are zeros.
inline Float32Lanes minimum(Float32Lanes a, Float32Lanes b) { return {_mm256_min_ps(a.lanes, b.lanes)}; }
inline Float32Lanes maximum(Float32Lanes a, Float32Lanes b) { return {_mm256_max_ps(a.lanes, b.lanes)}; }
struct Float32Condition {
  __m256 lanes;
};
inline Float32Condition operator<(Float32Lanes a, Float32Lanes b) {
  return {_mm256_cmp_ps(a.lanes, b.lanes, _CMP_LT_OQ)};
}
inline Float32Condition operator<=(Float32Lanes a, Float32Lanes b) {
  return {_mm256_cmp_ps(a.lanes, b.lanes, _CMP_LE_OQ)};
}
inline Float32Lanes selected(Float32Condition condition, Float32Lanes a, Float32Lanes otherwise) {
  return {_mm256_blendv_ps(otherwise.lanes, a.lanes, condition.lanes)};
}
inline Float32Lanes minus_magnitude(Float32Lanes a) { return {_mm256_or_ps(a.lanes, _mm256_set1_ps(-0.0f))}; }
inline Float32Lanes upper_half(Float32Lanes a) {
  return {_mm256_and_ps(a.lanes, _mm256_castsi256_ps(_mm256_set1_epi32(-(1 << 12))))};
}
inline Float32Lanes times_power_of_two(Float32Lanes a, Float32Lanes sum) {
  const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(sum.lanes), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.lanes), power))};
}

inline Float64Lanes zero_unless_bits(uint32_t bits, Float64Lanes a) {
  const __m256i places = _mm256_setr_epi64x(1, 2, 4, 8);
  const __m256i kept = _mm256_and_si256(_mm256_set1_epi64x((int64_t)bits), places);
  return {_mm256_and_pd(a.lanes, _mm256_castsi256_pd(_mm256_cmpeq_epi64(kept, places)))};
}
inline __m256i first_4(int count) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
inline Float64Lanes load_part(const double* from, int count) {
  return {_mm256_maskload_pd(from, first_4(count))};
}
inline void store_part(double* to, int count, Float64Lanes a) {
  _mm256_maskstore_pd(to, first_4(count), a.lanes);
}

// As many values of 16 bits as Float32Lanes has, in the order of memory. They are of one kind or the other.
struct Halves {
  __m128i lanes;

  static Halves load(const uint16_t* from) { return {_mm_loadu_si128((const __m128i*)from)}; }
  void store(uint16_t* to) const { _mm_storeu_si128((__m128i*)to, lanes); }
};
inline Halves load_part(const uint16_t* from, int count) {
  uint16_t all[8] = {};
  for (int i = 0; i < count; ++i) all[i] = from[i];
  return Halves::load(all);
}
inline void store_part(uint16_t* to, int count, Halves a) {
  uint16_t all[8];
  a.store(all);
  for (int i = 0; i < count; ++i) to[i] = all[i];
}
inline Float32Lanes widen_float16(Halves a) { return {_mm256_cvtph_ps(a.lanes)}; }
inline Halves narrow_to_float16(Float32Lanes a) {
  return {_mm256_cvtps_ph(a.lanes, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline Float32Lanes widen_bfloat16(Halves a) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(a.lanes), 16))};
}
// A NaN is cut off, and stays one by its upper bit.
inline Halves narrow_to_bfloat16(Float32Lanes a) {
  const __m256i bits = _mm256_castps_si256(a.lanes);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  const __m256i cut = _mm256_or_si256(bits, _mm256_set1_epi32(1 << 22));
  const __m256 is_nan = _mm256_cmp_ps(a.lanes, a.lanes, _CMP_UNORD_Q);
  const __m256i result =
      _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(cut), is_nan));
  const __m256i upper = _mm256_srli_epi32(result, 16);
  return {_mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1))};
}

inline double largest(Float64Lanes a) {
  const __m128d two = _mm_max_pd(_mm256_castpd256_pd128(a.lanes), _mm256_extractf128_pd(a.lanes, 1));
  return _mm_cvtsd_f64(_mm_max_sd(two, _mm_unpackhi_pd(two, two)));
}
inline double folded(Float64Lanes a) {
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(a.lanes), _mm256_extractf128_pd(a.lanes, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

inline Float64Lanes minimum(Float64Lanes a, Float64Lanes b) { return {_mm256_min_pd(a.lanes, b.lanes)}; }
inline Float64Lanes maximum(Float64Lanes a, Float64Lanes b) { return {_mm256_max_pd(a.lanes, b.lanes)}; }
struct Float64Condition {
  __m256d lanes;
};
inline Float64Condition operator<(Float64Lanes a, Float64Lanes b) {
  return {_mm256_cmp_pd(a.lanes, b.lanes, _CMP_LT_OQ)};
}
inline Float64Condition operator<=(Float64Lanes a, Float64Lanes b) {
  return {_mm256_cmp_pd(a.lanes, b.lanes, _CMP_LE_OQ)};
}
inline Float64Lanes selected(Float64Condition condition, Float64Lanes a, Float64Lanes otherwise) {
  return {_mm256_blendv_pd(otherwise.lanes, a.lanes, condition.lanes)};
}
inline Float64Lanes minus_magnitude(Float64Lanes a) { return {_mm256_or_pd(a.lanes, _mm256_set1_pd(-0.0))}; }
inline Float64Lanes upper_half(Float64Lanes a) {
  return {_mm256_and_pd(a.lanes, _mm256_castsi256_pd(_mm256_set1_epi64x(-(1ll << 27))))};
}
inline Float64Lanes times_power_of_two(Float64Lanes a, Float64Lanes sum) {
  const __m256i power = _mm256_slli_epi64(_mm256_castpd_si256(sum.lanes), 52);
  return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a.lanes), power))};
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
