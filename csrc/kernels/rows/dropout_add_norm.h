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

// Short rows are taken several at a time through each pass: one row is a chain of sums, divisions and a root.
constexpr uint64_t kRowsTogether = 16;
inline uint64_t rows_together(const RowArgs& args, uint64_t row) {
  const uint64_t most = args.length < 64 ? kRowsTogether : args.length < 512 ? kRowsTogether / 4 : 1;
  return args.row_count - row < most ? args.row_count - row : most;
}

// h = residual + (keep ? round((x + x_bias) * scale) : +0.0), rounded to the type of x, and
// y = ((h - mean) * rstd) * weight + bias, or y = (h * rstd) * weight.
template <class Rows, Norm norm, class Draw>
class NormForward {
  using At = NormPlaces<norm>;
  using Lanes = typename Rows::Lanes;
  using Compute = typename Rows::Compute;
  using Parameters = typename Operands<Rows>::Parameters;

 public:
  explicit NormForward(const RowArgs& args)
      : args_(args), operands_(args), draw_(*args.keep), ahead_(args.prefetches ? kPrefetchBytes : 0) {}

  // Makes h, and sums it up, or its squares for the RMS norm.
  Compute make_h(uint64_t row) {
    auto x = operands_.input(0, row), residual = operands_.input(1, row);
    auto x_bias = operands_.parameter(At::x_bias, row), scale = operands_.scale();
    auto h = operands_.output(1, row);
    uint64_t bit = args_.first_bit + row * args_.length;
    RowSum<Compute, Lanes> sum;
    const auto sum_up = [&sum](int partial, Lanes a) { sum.add(partial, norm == kLayerNorm ? a : a * a); };
    for_strips<Lanes>(args_.length, [&](auto strip) {
      x.prefetch_next(ahead_), residual.prefetch_next(ahead_);
      if (h.is_there()) {
        const StripBits<kStripElements<Lanes>> keep(draw_, bit);
        strip.for_registers([&](int offset, auto place) {
          const Lanes t = load<Rows>(x + offset, place) + load<Parameters>(x_bias + offset, place);
          const Lanes scaled = t * load<Parameters>(scale + offset, place);
          const Lanes total =
              Rows::rounded(load<Rows>(residual + offset, place) + zero_unless(keep, offset, scaled));
          store<Rows>(h + offset, total, place);
          sum_up(place.partial, zero_beyond(total, place));
        });
      } else {
        strip.for_registers(
            [&](int offset, auto place) { sum_up(place.partial, load<Rows>(x + offset, place)); });
      }
      next(x, residual, x_bias, scale, h);
      bit += kStripElements<Lanes>;
    });
    return sum.total();
  }

  Compute squares(uint64_t row, Compute mean) const {
    const Lanes all_mean = Lanes::broadcast(mean);
    auto h = made_h(row);
    RowSum<Compute, Lanes> sum;
    for_strips<Lanes>(args_.length, [&](auto strip) {
      strip.for_registers([&](int offset, auto place) {
        const Lanes centred = load<Rows>(h + offset, place) - all_mean;
        sum.add(place.partial, zero_beyond(centred * centred, place));
      });
      h.next();
    });
    return sum.total();
  }

  void write_y(uint64_t row, Compute mean, Compute rstd) const {
    const Lanes all_mean = Lanes::broadcast(mean), all_rstd = Lanes::broadcast(rstd);
    auto h = made_h(row);
    auto weight = operands_.parameter(At::weight, row), bias = operands_.parameter(At::bias, row);
    auto y = operands_.output(0, row);
    const bool non_temporal = args_.non_temporal && y.takes_non_temporal();
    for_strips<Lanes>(args_.length, [&](auto strip) {
      strip.for_registers([&](int offset, auto place) {
        Lanes a = load<Rows>(h + offset, place);
        if (norm == kLayerNorm) a = a - all_mean;
        a = a * all_rstd * load<Parameters>(weight + offset, place);
        if (norm == kLayerNorm) a = a + load<Parameters>(bias + offset, place);
        store<Rows>(y + offset, a, place, non_temporal);
      });
      next(h, weight, bias, y);
    });
  }

 private:
  // Where h is not wanted it is x.
  StripOf<const typename Rows::Value, Lanes> made_h(uint64_t row) const {
    const auto h = operands_.output(1, row);
    return {h.is_there() ? h + 0 : operands_.input(0, row) + 0, true};
  }

  const RowArgs& args_;
  const Operands<Rows> operands_;
  Draw draw_;
  const uintptr_t ahead_;
};

template <class Rows, Norm norm, class Draw>
__attribute__((flatten)) void dropout_add_norm(const RowArgs& args) {
  using At = NormPlaces<norm>;
  using Compute = typename Rows::Compute;
  NormForward<Rows, norm, Draw> forward(args);
  const Operands<Rows> operands(args);
  const Compute columns = (Compute)args.length, eps = (Compute)args.constants[1];
  for (uint64_t row = 0, count; row < args.row_count; row += count) {
    count = rows_together(args, row);
    Compute mean[kRowsTogether], rstd[kRowsTogether];
    for (uint64_t i = 0; i < count; ++i) mean[i] = forward.make_h(row + i) / columns;
    for (uint64_t i = 0; i < count; ++i) {
      Compute mean_of_squares = mean[i];
      if constexpr (norm == kLayerNorm) {
        operands.store_row_value(At::mean, row + i, mean[i]);
        mean_of_squares = forward.squares(row + i, mean[i]) / columns;
      }
      rstd[i] = 1 / square_root(mean_of_squares + eps);
      operands.store_row_value(At::rstd, row + i, rstd[i]);
    }
    for (uint64_t i = 0; i < count; ++i) forward.write_y(row + i, mean[i], rstd[i]);
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

// With xhat = (h - mean) * rstd, or h * rstd, g = dy * weight, m1 and m2 the means of g and g * xhat:
// dresidual = dh + rstd * ((g - m1) - xhat * m2), without m1 for the RMS norm, and
// dx = keep ? dresidual * scale : +0.0.
template <class Rows, Norm norm>
class NormBackward {
  using At = NormPlaces<norm>;
  using Lanes = typename Rows::Lanes;
  using Compute = typename Rows::Compute;
  using Parameters = typename Operands<Rows>::Parameters;

 public:
  explicit NormBackward(const RowArgs& args)
      : args_(args), operands_(args), draw_(*args.keep), ahead_(args.prefetches ? kPrefetchBytes : 0) {}

  // m1 and m2.
  struct Means {
    Compute g, g_xhat;
  };
  Means means(uint64_t row) const {
    const Row of(operands_, row);
    auto dy = operands_.input(0, row), h = operands_.input(1, row);
    auto weight = operands_.parameter(At::in_weight, row);
    RowSum<Compute, Lanes> g_sum, g_xhat_sum;
    for_strips<Lanes>(args_.length, [&](auto strip) {
      dy.prefetch_next(ahead_), h.prefetch_next(ahead_);
      strip.for_registers([&](int offset, auto place) {
        const Lanes g = load<Rows>(dy + offset, place) * load<Parameters>(weight + offset, place);
        if (norm == kLayerNorm) g_sum.add(place.partial, g);
        g_xhat_sum.add(place.partial, zero_beyond(g * of.normalised(load<Rows>(h + offset, place)), place));
      });
      next(dy, h, weight);
    });
    const Compute columns = (Compute)args_.length;
    return {norm == kLayerNorm ? g_sum.total() / columns : 0, g_xhat_sum.total() / columns};
  }

  void write(uint64_t row, const Means& means) {
    const Row of(operands_, row);
    const Lanes m1 = Lanes::broadcast(means.g), m2 = Lanes::broadcast(means.g_xhat);
    auto dy = operands_.input(0, row), h = operands_.input(1, row), dh = operands_.input(At::in_dh, row);
    auto weight = operands_.parameter(At::in_weight, row), scale = operands_.scale();
    auto dx = operands_.output(0, row), dresidual = operands_.output(1, row);
    auto dweight = operands_.sums(At::dweight), dx_bias = operands_.sums(At::dx_bias);
    auto dbias = operands_.sums(At::dbias);  // of the layer norm
    const bool non_temporal = args_.non_temporal && dx.takes_non_temporal();
    uint64_t bit = args_.first_bit + row * args_.length;
    for_strips<Lanes>(args_.length, [&](auto strip) {
      const StripBits<kStripElements<Lanes>> keep(draw_, bit);
      strip.for_registers([&](int offset, auto place) {
        const Lanes given = load<Rows>(dy + offset, place);
        const Lanes xhat = of.normalised(load<Rows>(h + offset, place));
        Lanes g = given * load<Parameters>(weight + offset, place);
        if (norm == kLayerNorm) g = g - m1;
        const Lanes total = load<Rows>(dh + offset, place) + of.rstd * (g - xhat * m2);
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

 private:
  struct Row {
    Lanes mean, rstd;

    Row(const Operands<Rows>& operands, uint64_t row)
        : mean(Lanes::broadcast(norm == kLayerNorm ? operands.row_value(At::in_mean, row) : 0)),
          rstd(Lanes::broadcast(operands.row_value(At::in_rstd, row))) {}
    Lanes normalised(Lanes h) const { return (norm == kLayerNorm ? h - mean : h) * rstd; }
  };

  const RowArgs& args_;
  const Operands<Rows> operands_;
  CalledDraw draw_;
  const uintptr_t ahead_;
};

template <class Rows, Norm norm>
__attribute__((flatten)) void dropout_add_norm_backward(const RowArgs& args) {
  NormBackward<Rows, norm> backward(args);
  for (uint64_t row = 0, count; row < args.row_count; row += count) {
    count = rows_together(args, row);
    typename NormBackward<Rows, norm>::Means means[kRowsTogether];
    for (uint64_t i = 0; i < count; ++i) means[i] = backward.means(row + i);
    for (uint64_t i = 0; i < count; ++i) backward.write(row + i, means[i]);
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
