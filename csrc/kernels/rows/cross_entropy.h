// SPDX-License-Identifier: BSD-3-Clause
// The logarithm of softmax, its backward pass, and the cross entropy with its gradient.
#pragma once
#include "softmax.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The normaliser of a row of scores; powers are written as sum_of_powers() says.
template <class Rows>
__attribute__((always_inline)) inline Normalizer<Rows> normalizer_of(
    const RowArgs& args, PlainScores<Rows> z, StripOf<typename Rows::Value, Rows> powers) {
  Normalizer<Rows> normalizer{largest_score<Rows>(args, z, args.length), 0};
  normalizer.sum = sum_of_powers<Rows>(args, z, args.length, normalizer.shift(), powers);
  return normalizer;
}

// y = (x - largest) - ln(sum of e^(x - largest))
template <class Rows>
__attribute__((flatten)) void log_softmax(const RowArgs& args) {
  using Lanes = typename Rows::Lanes;
  const Operands<Rows> operands(args);
  for (uint64_t row = 0; row < args.row_count; ++row) {
    auto x = operands.input(0, row);
    auto y = operands.output(0, row);
    const Normalizer<Rows> normalizer = normalizer_of<Rows>(args, {x}, {nullptr, false});
    const Lanes shift = Lanes::broadcast(normalizer.shift());
    const Lanes logarithm = Lanes::broadcast(normalizer.logarithm());
    const bool non_temporal = args.non_temporal && y.takes_non_temporal();
    for_strips<Rows>(args, args.length, [&](auto strip) __attribute__((always_inline)) {
      strip.for_registers([&](int offset, auto place) __attribute__((always_inline)) {
        store<Rows>(y + offset, (load<Rows>(x + offset, place) - shift) - logarithm, place, non_temporal);
      });
      next(x, y);
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

// dx = dy - e^y * (sum of dy)
template <class Rows>
__attribute__((flatten)) void log_softmax_backward(const RowArgs& args) {
  using Lanes = typename Rows::Lanes;
  const Operands<Rows> operands(args);
  const uintptr_t ahead = args.prefetches ? kPrefetchBytes : 0;
  for (uint64_t row = 0; row < args.row_count; ++row) {
    auto gradients = operands.input(0, row);
    RowSum<Rows> sum;
    for_strips<Rows>(args, args.length, [&](auto strip) __attribute__((always_inline)) {
      gradients.prefetch_next(ahead);
      strip.for_registers([&](int offset, auto place) __attribute__((always_inline)) {
        sum.add(offset, load<Rows>(gradients + offset, place), place);
      });
      gradients.next();
    });
    const Lanes total = Lanes::broadcast(sum.total());
    auto dy = operands.input(0, row), y = operands.input(1, row);
    auto dx = operands.output(0, row);
    const bool non_temporal = args.non_temporal && dx.takes_non_temporal();
    for_strips<Rows>(args, args.length, [&](auto strip) __attribute__((always_inline)) {
      strip.template for_chains<kPowersTogether>([&](int offset, auto place) __attribute__((always_inline)) {
        const auto weight = weight_of(load<Rows>(y + offset, place));
        store<Rows>(dx + offset, load<Rows>(dy + offset, place) - weight * spread(total, place), place,
                    non_temporal);
      });
      next(dy, y, dx);
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

// One value as lanes, and back.
template <class Rows>
inline typename Rows::Compute first_lane(typename Rows::Lanes a) {
  typename Rows::Compute lanes[Rows::Lanes::width];
  a.store(lanes);
  return lanes[0];
}

// loss = ln(sum of e^(x - largest)) - (x[target] - largest), and dlogits = (weights - [j is target]) *
// factor. A row whose target is no column does not count.
template <class Rows>
__attribute__((flatten)) void cross_entropy(const RowArgs& args) {
  using Lanes = typename Rows::Lanes;
  using Compute = typename Rows::Compute;
  const Operands<Rows> operands(args);
  const Lanes scale = Lanes::broadcast(args.constants[0]);
  for (uint64_t row = 0; row < args.row_count; ++row) {
    PlainScores<Rows> z{operands.input(0, row)};
    auto dlogits = operands.output(0, row);
    const Compute target = operands.row_value(1, row);
    if (!(target >= 0 && target < (Compute)args.length)) {
      write_zeros<Rows>(dlogits, 0, args.length);
      operands.store_row_value(1, row, 0);
      continue;
    }
    const auto place_of_target = (int64_t)target;
    const Lanes score = Rows::load(z.scores + 0 + place_of_target, 1);
    const Normalizer<Rows> normalizer = normalizer_of<Rows>(args, z, dlogits);
    const Lanes shift = Lanes::broadcast(normalizer.shift()), factor = Lanes::broadcast(normalizer.factor());
    const Lanes centred = score - shift;
    operands.store_row_value(1, row, (Compute)normalizer.logarithm() - first_lane<Rows>(centred));
    for_strips<Rows>(args, args.length, [&](auto strip) __attribute__((always_inline)) {
      strip.for_registers([&](int offset, auto place) __attribute__((always_inline)) {
        const Lanes power = power_again<Rows>(z, shift, dlogits, offset, place);
        store<Rows>(dlogits + offset, (power * factor) * scale, place);
      });
      next(z, dlogits);
    });
    const Lanes weight = raised_exponential_to_zero(centred) * factor;
    Rows::store(operands.output(0, row) + 0 + place_of_target, (weight - Lanes::broadcast(1)) * scale, 1);
  }
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
