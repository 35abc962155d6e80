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

// h = residual + (keep ? round((x + x_bias) * scale) : +0.0), rounded to the type of x, and
// y = ((h - mean) * rstd) * weight + bias, or y = (h * rstd) * weight.
template <class Rows, Norm norm, class Draw>
__attribute__((flatten)) void dropout_add_norm(const RowArgs& args) {
  using At = NormPlaces<norm>;
  using Lanes = typename Rows::Lanes;
  using Compute = typename Rows::Compute;
  using Parameters = typename Operands<Rows>::Parameters;
  const Operands<Rows> operands(args);
  Draw draw(*args.keep);
  const uintptr_t ahead = args.prefetches ? kPrefetchBytes : 0;
  const Compute columns = (Compute)args.length, eps = (Compute)args.constants[1];
  uint64_t row_bit = args.first_bit;
  for (uint64_t row = 0; row < args.row_count; ++row, row_bit += args.length) {
    auto x = operands.input(0, row), residual = operands.input(1, row);
    auto x_bias = operands.parameter(At::x_bias, row), scale = operands.scale();
    auto h = operands.output(1, row);
    const StripOf<typename Rows::Value const, Lanes> all_h(h.is_there() ? h + 0 : x + 0, true);
    uint64_t bit = row_bit;
    RowSum<Compute, Lanes> sum;
    const auto sum_up = [&sum](int offset, Lanes a) { sum.add(offset, norm == kLayerNorm ? a : a * a); };
    for_strips<Lanes>(args.length, [&](auto strip) {
      x.prefetch_next(ahead), residual.prefetch_next(ahead);
      if (h.is_there()) {
        const StripBits<kStripElements<Lanes>> keep(draw, bit);
        strip.for_registers([&](int offset, auto place) {
          const Lanes t = load<Rows>(x + offset, place) + load<Parameters>(x_bias + offset, place);
          const Lanes scaled = t * load<Parameters>(scale + offset, place);
          const Lanes total =
              Rows::rounded(load<Rows>(residual + offset, place) + zero_unless(keep, offset, scaled));
          store<Rows>(h + offset, total, place);
          sum_up(offset, zero_beyond(total, place));
        });
      } else {
        strip.for_registers([&](int offset, auto place) { sum_up(offset, load<Rows>(x + offset, place)); });
      }
      next(x, residual, x_bias, scale, h);
      bit += kStripElements<Lanes>;
    });

    Compute mean = sum.total() / columns, mean_of_squares = mean;
    const Lanes all_mean = Lanes::broadcast(mean);
    if constexpr (norm == kLayerNorm) {
      operands.store_row_value(At::mean, row, mean);
      RowSum<Compute, Lanes> squares;
      auto h = all_h;
      for_strips<Lanes>(args.length, [&](auto strip) {
        strip.for_registers([&](int offset, auto place) {
          const Lanes centred = load<Rows>(h + offset, place) - all_mean;
          squares.add(offset, zero_beyond(centred * centred, place));
        });
        h.next();
      });
      mean_of_squares = squares.total() / columns;
    }
    const Compute rstd = 1 / square_root(mean_of_squares + eps);
    operands.store_row_value(At::rstd, row, rstd);

    const Lanes all_rstd = Lanes::broadcast(rstd);
    auto from = all_h;
    auto weight = operands.parameter(At::weight, row), bias = operands.parameter(At::bias, row);
    auto y = operands.output(0, row);
    const bool non_temporal = args.non_temporal && y.takes_non_temporal();
    for_strips<Lanes>(args.length, [&](auto strip) {
      strip.for_registers([&](int offset, auto place) {
        Lanes a = load<Rows>(from + offset, place);
        if (norm == kLayerNorm) a = a - all_mean;
        a = a * all_rstd * load<Parameters>(weight + offset, place);
        if (norm == kLayerNorm) a = a + load<Parameters>(bias + offset, place);
        store<Rows>(y + offset, a, place, non_temporal);
      });
      next(from, weight, bias, y);
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

// With xhat = (h - mean) * rstd, or h * rstd, g = dy * weight, m1 and m2 the means of g and g * xhat:
// dresidual = dh + rstd * ((g - m1) - xhat * m2), without m1 for the RMS norm, and
// dx = keep ? dresidual * scale : +0.0.
template <class Rows, Norm norm>
__attribute__((flatten)) void dropout_add_norm_backward(const RowArgs& args) {
  using At = NormPlaces<norm>;
  using Lanes = typename Rows::Lanes;
  using Compute = typename Rows::Compute;
  using Parameters = typename Operands<Rows>::Parameters;
  const Operands<Rows> operands(args);
  CalledDraw draw(*args.keep);
  const uintptr_t ahead = args.prefetches ? kPrefetchBytes : 0;
  const Compute columns = (Compute)args.length;
  uint64_t row_bit = args.first_bit;
  for (uint64_t row = 0; row < args.row_count; ++row, row_bit += args.length) {
    const Lanes rstd = Lanes::broadcast(operands.row_value(At::in_rstd, row));
    const Lanes mean = Lanes::broadcast(norm == kLayerNorm ? operands.row_value(At::in_mean, row) : 0);
    const auto normalised = [&](Lanes h) { return (norm == kLayerNorm ? h - mean : h) * rstd; };

    RowSum<Compute, Lanes> sum_g, sum_g_xhat;
    auto dy = operands.input(0, row), h = operands.input(1, row);
    auto weight = operands.parameter(At::in_weight, row);
    for_strips<Lanes>(args.length, [&](auto strip) {
      dy.prefetch_next(ahead), h.prefetch_next(ahead);
      strip.for_registers([&](int offset, auto place) {
        const Lanes g = load<Rows>(dy + offset, place) * load<Parameters>(weight + offset, place);
        if (norm == kLayerNorm) sum_g.add(offset, g);
        sum_g_xhat.add(offset, zero_beyond(g * normalised(load<Rows>(h + offset, place)), place));
      });
      next(dy, h, weight);
    });
    const Lanes m1 = Lanes::broadcast(norm == kLayerNorm ? sum_g.total() / columns : 0);
    const Lanes m2 = Lanes::broadcast(sum_g_xhat.total() / columns);

    dy = operands.input(0, row), h = operands.input(1, row);
    weight = operands.parameter(At::in_weight, row);
    auto dh = operands.input(At::in_dh, row);
    auto scale = operands.scale();
    auto dx = operands.output(0, row), dresidual = operands.output(1, row);
    auto dweight = operands.sums(At::dweight), dx_bias = operands.sums(At::dx_bias);
    auto dbias = operands.sums(At::dbias);  // of the layer norm
    const bool non_temporal = args.non_temporal && dx.takes_non_temporal();
    uint64_t bit = row_bit;
    for_strips<Lanes>(args.length, [&](auto strip) {
      const StripBits<kStripElements<Lanes>> keep(draw, bit);
      strip.for_registers([&](int offset, auto place) {
        const Lanes given = load<Rows>(dy + offset, place);
        const Lanes xhat = normalised(load<Rows>(h + offset, place));
        Lanes g = given * load<Parameters>(weight + offset, place);
        if (norm == kLayerNorm) g = g - m1;
        const Lanes total = load<Rows>(dh + offset, place) + rstd * (g - xhat * m2);
        const Lanes kept = zero_unless(keep, offset, total * load<Parameters>(scale + offset, place));
        add_to<Parameters>(dweight, offset, given * xhat, place);
        if (norm == kLayerNorm) add_to<Parameters>(dbias, offset, given, place);
        add_to<Parameters>(dx_bias, offset, kept, place);
        if (dresidual.is_there()) store<Rows>(dresidual + offset, total, place);
        store<Rows>(dx + offset, kept, place, non_temporal);
      });
      next(dy, h, weight, dh, scale, dx, dresidual, dweight, dbias, dx_bias);
      bit += kStripElements<Lanes>;
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

template <class Rows, Norm norm>
void dropout_add_norm_with(const RowArgs& args) {
  if constexpr (Rows::element == kFloat32)
    if (args.keep->rule == kArs4x32) return dropout_add_norm<Rows, norm, InlineDraw<Ars4x32>>(args);
  dropout_add_norm<Rows, norm, CalledDraw>(args);
}

template <class Rows>
void dropout_add_layer_norm_rows(const RowArgs& args) {
  dropout_add_norm_with<Rows, kLayerNorm>(args);
}
template <class Rows>
void dropout_add_layer_norm_backward_rows(const RowArgs& args) {
  dropout_add_norm_backward<Rows, kLayerNorm>(args);
}
template <class Rows>
void dropout_add_rms_norm_rows(const RowArgs& args) {
  dropout_add_norm_with<Rows, kRmsNorm>(args);
}
template <class Rows>
void dropout_add_rms_norm_backward_rows(const RowArgs& args) {
  dropout_add_norm_backward<Rows, kRmsNorm>(args);
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
