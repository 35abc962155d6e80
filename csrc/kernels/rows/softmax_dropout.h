// SPDX-License-Identifier: BSD-3-Clause
// Scale, mask, softmax and dropout in one pass over memory, its backward pass, and the backward pass of
// attention, which computes the weights again.
#pragma once
#include "softmax.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The places of constants in the rows of shared/operations.h.
constexpr int kFactor = 1, kVisible = 2;

// How many elements of a row a query sees: in each matrix of rows, one more from row to row.
inline uint64_t visible_elements(const RowArgs& args, uint64_t row) {
  if (!(args.constants[kVisible] < (double)args.length)) return args.length;
  const uint64_t visible = (uint64_t)args.constants[kVisible] + (args.first_row + row) % args.matrix_rows;
  return visible < args.length ? visible : args.length;
}

// With z = scores * factor + mask and e = e^(z - largest): weights = e / (sum of e), as e * (1 / sum), and
// y = keep ? weights * scale : +0.0.
template <class Rows, class Scores, class Draw, bool is_scale_fixed>
class SoftmaxForward {
  using Lanes = typename Rows::Lanes;
  using Compute = typename Rows::Compute;
  using Parameters = typename Operands<Rows>::Parameters;

 public:
  explicit SoftmaxForward(const RowArgs& args)
      : args_(args),
        operands_(args),
        draw_(*args.keep),
        room_(reinterpret_cast<typename Rows::Value*>(args.room)),
        factor_(Lanes::broadcast(args.constants[kFactor])) {}

  // Of the next rows to take together.
  void begin(uint64_t row, uint64_t count) {
    first_ = row;
    uses_room_ = kHasRoom && args_.non_temporal && count * args_.length <= kRoom;
  }

  Compute largest(uint64_t row) const {
    return largest_score<Rows>(args_, scores(row), visible_elements(args_, row));
  }

  Compute sum(uint64_t row, Compute shift) {
    return sum_of_powers<Rows>(args_, scores(row), visible_elements(args_, row), shift, powers(row));
  }

  void write(uint64_t row, const Normalizer<Rows>& normalizer) {
    const uint64_t visible = visible_elements(args_, row);
    const Lanes factor = Lanes::broadcast(normalizer.factor());
    const Lanes shift = Lanes::broadcast(normalizer.shift());
    auto z = scores(row);
    auto from = powers(row), y = operands_.output(0, row), weights = operands_.output(1, row);
    auto scale = operands_.template scale<is_scale_fixed>();
    const bool writes_apart = args_.non_temporal && (uses_room_ || weights.is_there());
    const bool non_temporal = writes_apart && y.takes_non_temporal();
    const bool weights_non_temporal = uses_room_ && weights.takes_non_temporal();
    uint64_t bit = args_.first_bit + row * args_.length;
    for_strips<Rows>(args_, visible, [&](auto strip) __attribute__((always_inline)) {
      const StripBits<kStripElements<Rows>> keep(draw_, bit);
      strip.for_registers([&](int offset, auto place) __attribute__((always_inline)) {
        const Lanes weight = power_again<Rows>(z, shift, from, offset, place) * factor;
        if (weights.is_there()) store<Rows>(weights + offset, weight, place, weights_non_temporal);
        const Lanes scaled = weight * load<Parameters>(scale + offset, place);
        store<Rows>(y + offset, zero_unless(keep, offset, scaled), place, non_temporal);
      });
      next(z, from, y, weights, scale);
      bit += kStripElements<Rows>;
    });
    write_zeros<Rows>(operands_.output(0, row), visible, args_.length);
    write_zeros<Rows>(operands_.output(1, row), visible, args_.length);
  }

 private:
  Scores scores(uint64_t row) const { return {operands_, 0, row, factor_}; }
  // Powers wait for their sum where the weights or y go, or apart where stores to these go around the cache.
  StripOf<typename Rows::Value, Rows> powers(uint64_t row) {
    if (uses_room_) return {room_ + (row - first_) * args_.length, true};
    const auto weights = operands_.output(1, row);
    return weights.is_there() ? weights : operands_.output(0, row);
  }

  const RowArgs& args_;
  const Operands<Rows> operands_;
  Draw draw_;
  typename Rows::Value* const room_;
  const Lanes factor_;
  // Where a register is a cache line. With half of a line for each output in turn, 16 Mi elements took 1.5
  // times as long.
  static constexpr bool kHasRoom = kHoldsPowers<Rows> && sizeof(Lanes) == 64;
  static constexpr uint64_t kRoom = kRoomBytes / sizeof(typename Rows::Value);
  bool uses_room_;
  uint64_t first_;
};

template <class Rows, class Scores, class Draw, bool is_scale_fixed>
__attribute__((flatten)) void softmax_dropout_of(const RowArgs& args) {
  SoftmaxForward<Rows, Scores, Draw, is_scale_fixed> forward(args);
  const Operands<Rows> operands(args);
  for (uint64_t row = 0, count; row < args.row_count; row += count) {
    count = rows_together(args, row);
    forward.begin(row, count);
    Normalizer<Rows> normalizers[kRowsTogether];
    for (uint64_t i = 0; i < count; ++i) normalizers[i].largest = forward.largest(row + i);
    for (uint64_t i = 0; i < count; ++i) normalizers[i].sum = forward.sum(row + i, normalizers[i].shift());
    for (uint64_t i = 0; i < count; ++i) forward.write(row + i, normalizers[i]);
    if (args.outputs[2] == nullptr) continue;
    for (uint64_t i = 0; i < count; ++i) operands.store_row_value(2, row + i, normalizers[i].log_sum_exp());
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

template <class Rows>
void softmax_dropout(const RowArgs& args) {
  if constexpr (Rows::element == kFloat32) {  // what is used most
    if (!args.is_there[1] && !args.scale_varies) {
      if constexpr (kInlineDraws)
        if (draws_inline(args))
          return softmax_dropout_of<Rows, ScaledScores<Rows>, InlineDraw<Ars4x32>, true>(args);
      return softmax_dropout_of<Rows, ScaledScores<Rows>, CalledDraw, true>(args);
    }
  }
  softmax_dropout_of<Rows, MaskedScores<Rows>, CalledDraw, false>(args);
}

// With dP = keep ? dy * scale : +0.0: dscores = (weights * (dP - sum of dP * weights)) * factor.
template <class Rows, class Draw, bool is_scale_fixed>
class SoftmaxBackward {
  using Lanes = typename Rows::Lanes;
  using Compute = typename Rows::Compute;
  using Parameters = typename Operands<Rows>::Parameters;

 public:
  explicit SoftmaxBackward(const RowArgs& args)
      : args_(args), operands_(args), draw_(*args.keep), ahead_(args.prefetches ? kPrefetchBytes : 0) {}

  Compute sum(uint64_t row) {
    RowSum<Rows> sum;
    walk(row, [&](int offset, Lanes gradient, Lanes weight, auto place) __attribute__((always_inline)) {
      sum.add(offset, zero_beyond(gradient * weight, place), place);
    });
    return sum.total();
  }

  void write(uint64_t row, Compute sum) {
    const Lanes all_sum = Lanes::broadcast(sum), factor = Lanes::broadcast(args_.constants[kFactor]);
    auto dscores = operands_.output(0, row);
    const bool non_temporal = args_.non_temporal && dscores.takes_non_temporal();
    walk(
        row,
        [&](int offset, Lanes gradient, Lanes weight, auto place) __attribute__((always_inline)) {
          store<Rows>(dscores + offset, (weight * (gradient - all_sum)) * factor, place, non_temporal);
        },
        dscores);
  }

 private:
  // Calls work(offset, dP, weight, place) for all registers of a row, and moves `others` along it.
  template <class Work, class... Others>
  __attribute__((always_inline)) void walk(uint64_t row, Work work, Others&... others) {
    auto dy = operands_.input(0, row), weights = operands_.input(1, row);
    auto scale = operands_.template scale<is_scale_fixed>();
    uint64_t bit = args_.first_bit + row * args_.length;
    for_strips<Rows>(args_, args_.length, [&](auto strip) __attribute__((always_inline)) {
      const StripBits<kStripElements<Rows>> keep(draw_, bit);
      dy.prefetch_next(ahead_), weights.prefetch_next(ahead_);
      strip.for_registers([&](int offset, auto place) __attribute__((always_inline)) {
        const Lanes scaled = load<Rows>(dy + offset, place) * load<Parameters>(scale + offset, place);
        work(offset, zero_unless(keep, offset, scaled), load<Rows>(weights + offset, place), place);
      });
      next(dy, weights, scale, others...);
      bit += kStripElements<Rows>;
    });
  }

  const RowArgs& args_;
  const Operands<Rows> operands_;
  Draw draw_;
  const uintptr_t ahead_;
};

template <class Rows, class Draw, bool is_scale_fixed>
__attribute__((flatten)) void softmax_dropout_backward_of(const RowArgs& args) {
  SoftmaxBackward<Rows, Draw, is_scale_fixed> backward(args);
  for (uint64_t row = 0, count; row < args.row_count; row += count) {
    count = rows_together(args, row);
    typename Rows::Compute sums[kRowsTogether];
    for (uint64_t i = 0; i < count; ++i) sums[i] = backward.sum(row + i);
    for (uint64_t i = 0; i < count; ++i) backward.write(row + i, sums[i]);
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

template <class Rows>
void softmax_dropout_backward(const RowArgs& args) {
  if constexpr (Rows::element == kFloat32) {
    if (!args.scale_varies) {
      if constexpr (kInlineDraws)
        if (draws_inline(args)) return softmax_dropout_backward_of<Rows, InlineDraw<Ars4x32>, true>(args);
      return softmax_dropout_backward_of<Rows, CalledDraw, true>(args);
    }
  }
  softmax_dropout_backward_of<Rows, CalledDraw, false>(args);
}

// With weights = e^(z - lse) and dP = keep ? dweights * scale : +0.0: dropped = keep ? weights * scale : +0.0
// and dscores = (weights * (dP - delta)) * factor.
template <class Rows, class Scores, bool is_scale_fixed>
__attribute__((flatten)) void attention_backward_of(const RowArgs& args) {
  using Lanes = typename Rows::Lanes;
  using Parameters = typename Operands<Rows>::Parameters;
  constexpr int lse = 3, delta = 4;
  const Operands<Rows> operands(args);
  CalledDraw draw(*args.keep);
  const Lanes factor = Lanes::broadcast(args.constants[kFactor]);
  for (uint64_t row = 0; row < args.row_count; ++row) {
    const Lanes all_lse = Lanes::broadcast(operands.row_value(lse, row));
    const Lanes all_delta = Lanes::broadcast(operands.row_value(delta, row));
    const uint64_t visible = visible_elements(args, row);
    Scores z(operands, 1, row, factor);
    auto dweights = operands.input(0, row);
    auto scale = operands.template scale<is_scale_fixed>();
    auto dscores = operands.output(0, row), dropped = operands.output(1, row);
    uint64_t bit = args.first_bit + row * args.length;
    for_strips<Rows>(args, visible, [&](auto strip) __attribute__((always_inline)) {
      const StripBits<kStripElements<Rows>> keep(draw, bit);
      strip.template for_chains<kPowersTogether>([&](int offset, auto place) __attribute__((always_inline)) {
        const auto weight = weight_of(z.at(offset, place) - spread(all_lse, place));
        const auto s = load<Parameters>(scale + offset, place);
        const auto gradient = zero_unless(keep, offset, load<Rows>(dweights + offset, place) * s);
        store<Rows>(dropped + offset, zero_unless(keep, offset, weight * s), place);
        store<Rows>(dscores + offset,
                    (weight * (gradient - spread(all_delta, place))) * spread(factor, place), place);
      });
      next(z, dweights, scale, dscores, dropped);
      bit += kStripElements<Rows>;
    });
    write_zeros<Rows>(operands.output(0, row), visible, args.length);
    write_zeros<Rows>(operands.output(1, row), visible, args.length);
  }
}

template <class Rows>
void attention_backward(const RowArgs& args) {
  if constexpr (Rows::element == kFloat32)
    if (!args.is_there[2] && !args.scale_varies)
      return attention_backward_of<Rows, ScaledScores<Rows>, true>(args);
  attention_backward_of<Rows, MaskedScores<Rows>, false>(args);
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
