// SPDX-License-Identifier: BSD-3-Clause
// What softmax along a row is made of: the largest score, and powers of e with their sum (docs/numerics.md,
// section 11).
#pragma once
#include "../functions.h"
#include "../logarithm.h"
#include "rows_together.h"
#include "strips.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The scores of a row as they are.
template <class Rows>
struct PlainScores {
  StripOf<const typename Rows::Value, Rows> scores;

  template <class Place>
  __attribute__((always_inline)) auto at(int offset, Place place) const {
    return load<Rows>(scores + offset, place);
  }
  void next() { scores.next(); }
  void prefetch_next(uintptr_t ahead_bytes) const { scores.prefetch_next(ahead_bytes); }
};

// The same times a factor.
template <class Rows>
struct ScaledScores {
  StripOf<const typename Rows::Value, Rows> scores;
  typename Rows::Lanes factor;

  ScaledScores(const Operands<Rows>& operands, int input, uint64_t row, typename Rows::Lanes factor)
      : scores(operands.input(input, row)), factor(factor) {}
  template <class Place>
  __attribute__((always_inline)) auto at(int offset, Place place) const {
    return load<Rows>(scores + offset, place) * spread(factor, place);
  }
  void next() { scores.next(); }
  void prefetch_next(uintptr_t ahead_bytes) const { scores.prefetch_next(ahead_bytes); }
};

// The same with a mask that is added, the next input.
template <class Rows>
struct MaskedScores {
  StripOf<const typename Rows::Value, Rows> scores, mask;
  typename Rows::Lanes factor;

  MaskedScores(const Operands<Rows>& operands, int input, uint64_t row, typename Rows::Lanes factor)
      : scores(operands.input(input, row)), mask(operands.input(input + 1, row)), factor(factor) {}

  template <class Place>
  __attribute__((always_inline)) auto at(int offset, Place place) const {
    return load<Rows>(scores + offset, place) * spread(factor, place) + load<Rows>(mask + offset, place);
  }
  void next() { scores.next(), mask.next(); }
  void prefetch_next(uintptr_t ahead_bytes) const {
    scores.prefetch_next(ahead_bytes), mask.prefetch_next(ahead_bytes);
  }
};

// The largest value of a row that is no NaN, or -infinity.
template <class Rows>
class RowMaximum {
  using Lanes = typename Rows::Lanes;
  static constexpr int registers = kPartialSums / Lanes::width;

 public:
  RowMaximum() {
#pragma GCC unroll kUnroll
    for (int i = 0; i < registers; ++i) part_[i] = minus_infinity();
  }

  void add(int offset, Lanes a, OneRegister) {
    Lanes& part = part_[offset / Lanes::width % registers];
    part = maximum(a, part);
  }
  void add(int, Lanes a, SomeLanes lanes) { part_[0] = maximum(first_lanes(a, lanes.count), part_[0]); }

  typename Rows::Compute total() {
#pragma GCC unroll kUnroll
    for (int i = 1; i < registers; ++i) part_[0] = maximum(part_[i], part_[0]);
    return largest(part_[0]);
  }

 private:
  static Lanes minus_infinity() { return Lanes::broadcast(-__builtin_inf()); }
  // -infinity in the lanes beyond.
  static Lanes first_lanes(Lanes a, int count) {
    if (count == Lanes::width) return a;
    alignas(64) typename Rows::Compute lanes[Lanes::width];
    minus_infinity().store(lanes);
    store_part(lanes, count, a);
    return Lanes::load(lanes);
  }

  Lanes part_[registers];
};

template <class Rows, class Scores>
__attribute__((always_inline)) inline typename Rows::Compute largest_score(const RowArgs& args, Scores z,
                                                                           uint64_t length) {
  const uintptr_t ahead_bytes = args.prefetches ? kPrefetchBytes : 0;
  RowMaximum<Rows> maximum;
  for_strips<Rows>(args, length, [&](auto strip) __attribute__((always_inline)) {
    z.prefetch_next(ahead_bytes);
    strip.for_registers([&](int offset, auto place) __attribute__((always_inline)) {
      maximum.add(offset, z.at(offset, place), place);
    });
    z.next();
  });
  return maximum.total();
}

// Whether the memory of an output can hold powers until their sum is known. Else they are computed again.
template <class Rows>
constexpr bool kHoldsPowers = sizeof(typename Rows::Value) == sizeof(typename Rows::Compute);

// How a row is normalised: by its largest score, and by the sum of the powers, which are raised.
template <class Rows>
struct Normalizer {
  using Compute = typename Rows::Compute;
  Compute largest, sum;

  // What is subtracted from scores, so that powers are at most 1.
  Compute shift() const { return has_largest() ? largest : 0; }
  // What powers are multiplied by. Of -infinity only, nothing is left; a NaN would have made the sum a NaN.
  Compute factor() const { return is_empty() ? 0 : 1 / sum; }
  // The logarithm of the sum; infinite where nothing is left, so that e^(z - lse) is 0.
  double logarithm() const {
    constexpr double lowered = FunctionConstants<typename Rows::Lanes>::kLowered;
    return is_empty() ? __builtin_inf() : natural_logarithm((double)sum * lowered);
  }
  Compute log_sum_exp() const { return (Compute)((double)shift() + logarithm()); }

 private:
  bool has_largest() const { return largest != -Compute(__builtin_inf()); }
  bool is_empty() const { return !has_largest() && sum == sum; }
};

template <class Rows, int count>
__attribute__((always_inline)) inline void add_all(RowSum<Rows>& sum, int offset,
                                                   Several<typename Rows::Lanes, count> a, Registers<count>) {
  // All partial sums, or some that are known when the kernel is compiled.
  const int first = count * Rows::Lanes::width % kPartialSums == 0 ? 0 : offset;
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) sum.add(first + i * Rows::Lanes::width, a.of[i], OneRegister{});
}
template <class Rows>
__attribute__((always_inline)) inline void add_all(RowSum<Rows>& sum, int offset, typename Rows::Lanes a,
                                                   SomeLanes place) {
  sum.add(offset, zero_beyond(a, place), place);
}

// The sum of e^(z - shift), raised, whose terms are written to `powers` where that is memory.
template <class Rows, class Scores>
__attribute__((always_inline)) inline typename Rows::Compute sum_of_powers(
    const RowArgs& args, Scores z, uint64_t length, typename Rows::Compute shift,
    StripOf<typename Rows::Value, Rows> powers) {
  using Lanes = typename Rows::Lanes;
  const Lanes all_shift = Lanes::broadcast(shift);
  RowSum<Rows> sum;
  for_strips<Rows>(args, length, [&](auto strip) __attribute__((always_inline)) {
    strip.template for_chains<kPowersTogether>([&](int offset, auto place) __attribute__((always_inline)) {
      const auto power = raised_exponential_to_zero(z.at(offset, place) - spread(all_shift, place));
      add_all(sum, offset, power, place);
      if constexpr (kHoldsPowers<Rows>)
        if (powers.is_there()) store<Rows>(powers + offset, power, place);
    });
    next(z, powers);
  });
  return sum.total();
}

// A term of that sum: where it was held, or computed once more.
template <class Rows, class Scores, class Place>
__attribute__((always_inline)) inline typename Rows::Lanes power_again(
    const Scores& z, typename Rows::Lanes shift, StripOf<typename Rows::Value, Rows> held, int offset,
    Place place) {
  if constexpr (kHoldsPowers<Rows>)
    return load<Rows>(held + offset, place);
  else
    return raised_exponential_to_zero(z.at(offset, place) - shift);
}

// A weight from its logarithm, which may be a little above 0 by rounding.
template <class Lanes>
__attribute__((always_inline)) inline Lanes weight_of(Lanes logarithm) {
  return lowered(raised_exponential_to_zero(minimum(constant<Lanes>(0), logarithm)));
}

// Writes +0.0 to the elements from `first` on.
template <class Rows>
__attribute__((always_inline)) inline void write_zeros(StripOf<typename Rows::Value, Rows> to, uint64_t first,
                                                       uint64_t length) {
  if (to.is_there() && first < length)
    __builtin_memset(to + 0 + first, 0, (length - first) * sizeof(typename Rows::Value));
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
