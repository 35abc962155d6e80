// SPDX-License-Identifier: BSD-3-Clause
// Dropout, residual and layer norm (or RMS norm) in one pass over memory, and its backward pass. A row stays
// in the first-level cache while it is walked two or three times.
#pragma once
#include "../math.h"
#include "strips.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

enum Norm { kLayerNorm, kRmsNorm };

// The places of operands that both norms have, in the rows of shared/operations.h.
template <Norm norm>
struct NormPlaces {
  static constexpr bool is_layer = norm == kLayerNorm;
  static constexpr int weight = 2, bias = 3, x_bias = is_layer ? 4 : 3;
  static constexpr int mean = 2, rstd = is_layer ? 3 : 2;
  // Of the backward pass.
  static constexpr int in_mean = 2, in_rstd = is_layer ? 3 : 2, in_weight = in_rstd + 1, in_dh = in_rstd + 2;
  static constexpr int dweight = 2, dbias = 3, dx_bias = is_layer ? 4 : 3;
};

// h = residual + (keep ? (x + x_bias) * scale : +0.0), and what the first sum is taken of.
template <class Rows, Norm norm>
__attribute__((flatten)) void dropout_add_norm(const RowArgs& args) {
  using Place = NormPlaces<norm>;
  using Value = typename Rows::Value;
  using Compute = typename Rows::Compute;
  using Lanes = typename Rows::Lanes;
  using Parameters = ComputeRows<Rows>;
  KeepBits& keep = *args.keep;
  uint64_t bit = args.first_bit;
  const uintptr_t ahead = prefetch_distance(args);
  const Compute columns = (Compute)args.length;
  for (uint64_t row = 0; row < args.row_count; ++row, bit += args.length) {
    auto x = input_row<Value>(args, 0, row);
    auto residual = input_row<Value>(args, 1, row);
    auto x_bias = input_row<Compute>(args, Place::x_bias, row);
    auto scale = scale_row<Compute>(args);
    auto h = output_row<Value>(args, 1, row);
    // Where h is not wanted it is x.
    Strip<const Value> from = h.is_there() ? Strip<const Value>(h + 0, true) : x;
    uint64_t strip_bit = bit;
    RowSum<Rows> sum;
    for_strips<Lanes>(args.length, [&](auto strip) {
      x.prefetch_next(ahead), residual.prefetch_next(ahead);
      if (h.is_there()) {
        need_bits(keep, strip_bit + kStripElements);
        strip.for_lanes([&](int offset, auto lanes) {
          const Lanes t = load<Rows>(x + offset, lanes) + load<Parameters>(x_bias + offset, lanes);
          const Lanes scaled = t * load<Parameters>(scale + offset, lanes);
          const Lanes total = Rows::rounded(load<Rows>(residual + offset, lanes) +
                                            zero_unless_bits(bits_at(keep, strip_bit + offset), scaled));
          store<Rows>(h + offset, total, lanes);
          sum.add(offset, zero_beyond(norm == kLayerNorm ? total : total * total, lanes));
        });
      } else {
        strip.for_lanes([&](int offset, auto lanes) {
          const Lanes total = load<Rows>(x + offset, lanes);
          sum.add(offset, norm == kLayerNorm ? total : total * total);
        });
      }
      next(x, residual, x_bias, scale, h);
      strip_bit += kStripElements;
    });

    Lanes mean = Lanes::broadcast(0);
    Compute mean_of_squares = sum.total() / columns;
    if constexpr (norm == kLayerNorm) {
      store_row_value(args, Place::mean, row, mean_of_squares);
      mean = Lanes::broadcast(mean_of_squares);
      RowSum<Rows> squares;
      auto h = from;
      for_strips<Lanes>(args.length, [&](auto strip) {
        strip.for_lanes([&](int offset, auto lanes) {
          const Lanes centred = load<Rows>(h + offset, lanes) - mean;
          squares.add(offset, zero_beyond(centred * centred, lanes));
        });
        h.next();
      });
      mean_of_squares = squares.total() / columns;
    }
    const Compute rstd = 1 / square_root(mean_of_squares + (Compute)args.constants[1]);
    store_row_value(args, Place::rstd, row, rstd);

    const Lanes all_rstd = Lanes::broadcast(rstd);
    auto weight = input_row<Compute>(args, Place::weight, row);
    auto bias = input_row<Compute>(args, Place::bias, row);
    auto y = output_row<Value>(args, 0, row);
    const bool non_temporal = args.non_temporal && y.takes_non_temporal();
    for_strips<Lanes>(args.length, [&](auto strip) {
      strip.for_lanes([&](int offset, auto lanes) {
        Lanes a = load<Rows>(from + offset, lanes);
        if (norm == kLayerNorm) a = a - mean;
        a = a * all_rstd * load<Parameters>(weight + offset, lanes);
        if (norm == kLayerNorm) a = a + load<Parameters>(bias + offset, lanes);
        if (strip.is_whole && __builtin_expect(non_temporal, 0))
          Rows::store_non_temporal(y + offset, a);
        else
          store<Rows>(y + offset, a, lanes);
      });
      next(from, weight, bias, y);
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

// With xhat = (h - mean) * rstd, g = dy * weight, m1 and m2 the means of g and g * xhat:
// dresidual = dh + rstd * ((g - m1) - xhat * m2) and dx = keep ? dresidual * scale : +0.0.
template <class Rows, Norm norm>
__attribute__((flatten)) void dropout_add_norm_backward(const RowArgs& args) {
  using Place = NormPlaces<norm>;
  using Value = typename Rows::Value;
  using Compute = typename Rows::Compute;
  using Lanes = typename Rows::Lanes;
  using Parameters = ComputeRows<Rows>;
  KeepBits& keep = *args.keep;
  uint64_t bit = args.first_bit;
  const uintptr_t ahead = prefetch_distance(args);
  const Compute columns = (Compute)args.length;
  for (uint64_t row = 0; row < args.row_count; ++row, bit += args.length) {
    const Lanes rstd = Lanes::broadcast(row_value<Compute>(args, Place::in_rstd, row));
    const Lanes mean =
        Lanes::broadcast(norm == kLayerNorm ? row_value<Compute>(args, Place::in_mean, row) : 0);
    const auto normal = [&](Lanes h) { return (norm == kLayerNorm ? h - mean : h) * rstd; };

    RowSum<Rows> sum_g, sum_g_xhat;
    auto dy = input_row<Value>(args, 0, row);
    auto h = input_row<Value>(args, 1, row);
    auto weight = input_row<Compute>(args, Place::in_weight, row);
    for_strips<Lanes>(args.length, [&](auto strip) {
      dy.prefetch_next(ahead), h.prefetch_next(ahead);
      strip.for_lanes([&](int offset, auto lanes) {
        const Lanes g = load<Rows>(dy + offset, lanes) * load<Parameters>(weight + offset, lanes);
        if (norm == kLayerNorm) sum_g.add(offset, g);
        sum_g_xhat.add(offset, zero_beyond(g * normal(load<Rows>(h + offset, lanes)), lanes));
      });
      next(dy, h, weight);
    });
    const Lanes m1 = Lanes::broadcast(norm == kLayerNorm ? sum_g.total() / columns : 0);
    const Lanes m2 = Lanes::broadcast(sum_g_xhat.total() / columns);

    dy = input_row<Value>(args, 0, row);
    h = input_row<Value>(args, 1, row);
    weight = input_row<Compute>(args, Place::in_weight, row);
    auto dh = input_row<Value>(args, Place::in_dh, row);
    auto scale = scale_row<Compute>(args);
    auto dx = output_row<Value>(args, 0, row);
    auto dresidual = output_row<Value>(args, 1, row);
    auto dweight = output_row<Compute>(args, Place::dweight, row);
    auto dbias = output_row<Compute>(args, Place::dbias, row);
    auto dx_bias = output_row<Compute>(args, Place::dx_bias, row);
    const bool non_temporal = args.non_temporal && dx.takes_non_temporal();
    uint64_t strip_bit = bit;
    for_strips<Lanes>(args.length, [&](auto strip) {
      need_bits(keep, strip_bit + kStripElements);
      strip.for_lanes([&](int offset, auto lanes) {
        const Lanes given = load<Rows>(dy + offset, lanes);
        const Lanes xhat = normal(load<Rows>(h + offset, lanes));
        Lanes g = given * load<Parameters>(weight + offset, lanes);
        if (norm == kLayerNorm) g = g - m1;
        const Lanes total = load<Rows>(dh + offset, lanes) + rstd * (g - xhat * m2);
        const Lanes kept = zero_unless_bits(bits_at(keep, strip_bit + offset),
                                            total * load<Parameters>(scale + offset, lanes));
        if (dresidual.is_there()) store<Rows>(dresidual + offset, total, lanes);
        if (strip.is_whole && __builtin_expect(non_temporal, 0))
          Rows::store_non_temporal(dx + offset, kept);
        else
          store<Rows>(dx + offset, kept, lanes);
        add_to<Rows>(dweight, offset, given * xhat, lanes);
        if (norm == kLayerNorm) add_to<Rows>(dbias, offset, given, lanes);
        add_to<Rows>(dx_bias, offset, kept, lanes);
      });
      next(dy, h, weight, dh, scale, dx, dresidual, dweight, dbias, dx_bias);
      strip_bit += kStripElements;
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

template <class Rows>
void dropout_add_layer_norm_rows(const RowArgs& args) {
  dropout_add_norm<Rows, kLayerNorm>(args);
}
template <class Rows>
void dropout_add_layer_norm_backward_rows(const RowArgs& args) {
  dropout_add_norm_backward<Rows, kLayerNorm>(args);
}
template <class Rows>
void dropout_add_rms_norm_rows(const RowArgs& args) {
  dropout_add_norm<Rows, kRmsNorm>(args);
}
template <class Rows>
void dropout_add_rms_norm_backward_rows(const RowArgs& args) {
  dropout_add_norm_backward<Rows, kRmsNorm>(args);
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
