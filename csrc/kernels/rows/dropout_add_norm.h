// SPDX-License-Identifier: BSD-3-Clause
// Dropout, residual and layer norm (or RMS norm) in one pass over memory, and its backward pass. A row stays
// in the first-level cache while it is walked two or three times.
#pragma once
#include "../math.h"
#include "rows_together.h"
#include "strips.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The places of operands in the rows of shared/operations.h, of a layer norm.
struct NormPlaces {
  static constexpr int weight = 2, bias = 3, x_bias = 4, mean = 2, rstd = 3;
};
struct NormBackwardPlaces {
  static constexpr int mean = 2, rstd = 3, weight = 4, dh = 5, dweight = 2, dbias = 3, dx_bias = 4;
};

// h = residual + (keep ? round((x + x_bias) * scale) : +0.0), rounded to the type of x, and
// y = ((h - mean) * rstd) * weight + bias. A RMS norm has a mean of 0, which changes no bit of h, and no
// bias.
template <class Rows, class Draw>
class NormForward {
  using At = NormPlaces;
  using Lanes = typename Rows::Lanes;
  using Compute = typename Rows::Compute;
  using Parameters = typename Operands<Rows>::Parameters;

 public:
  explicit NormForward(const RowArgs& args)
      : args_(args), operands_(args), draw_(*args.keep), ahead_(args.prefetches ? kPrefetchBytes : 0) {}

  // Makes h, and sums it up.
  Compute make_h(uint64_t row) {
    auto x = operands_.input(0, row), residual = operands_.input(1, row);
    auto x_bias = operands_.parameter(At::x_bias, row), scale = operands_.scale();
    auto h = operands_.output(1, row);
    uint64_t bit = args_.first_bit + row * args_.length;
    RowSum<Rows> sum;
    for_strips<Rows>(args_, args_.length, [&](auto strip) {
      x.prefetch_next(ahead_), residual.prefetch_next(ahead_);
      if (h.is_there()) {
        const StripBits<kStripElements<Rows>> keep(draw_, bit);
        strip.for_registers([&](int offset, auto place) {
          const Lanes t = load<Rows>(x + offset, place) + load<Parameters>(x_bias + offset, place);
          const Lanes scaled = t * load<Parameters>(scale + offset, place);
          const Lanes total =
              Rows::rounded(load<Rows>(residual + offset, place) + zero_unless(keep, offset, scaled));
          store<Rows>(h + offset, total, place);
          sum.add(offset, zero_beyond(total, place), place);
        });
      } else {
        strip.for_registers(
            [&](int offset, auto place) { sum.add(offset, load<Rows>(x + offset, place), place); });
      }
      next(x, residual, x_bias, scale, h);
      bit += kStripElements<Rows>;
    });
    return sum.total();
  }

  Compute squares(uint64_t row, Compute mean) const {
    const Lanes all_mean = Lanes::broadcast(mean);
    auto h = made_h(row);
    RowSum<Rows> sum;
    for_strips<Rows>(args_, args_.length, [&](auto strip) {
      strip.for_registers([&](int offset, auto place) {
        const Lanes centred = load<Rows>(h + offset, place) - all_mean;
        sum.add(offset, zero_beyond(centred * centred, place), place);
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
    for_strips<Rows>(args_, args_.length, [&](auto strip) {
      strip.for_registers([&](int offset, auto place) {
        const Lanes a = (load<Rows>(h + offset, place) - all_mean) * all_rstd;
        store<Rows>(y + offset,
                    a * load<Parameters>(weight + offset, place) + load<Parameters>(bias + offset, place),
                    place, non_temporal);
      });
      next(h, weight, bias, y);
    });
  }

 private:
  // Where h is not wanted it is x.
  StripOf<const typename Rows::Value, Rows> made_h(uint64_t row) const {
    const auto h = operands_.output(1, row);
    return {h.is_there() ? h + 0 : operands_.input(0, row) + 0, true};
  }

  const RowArgs& args_;
  const Operands<Rows> operands_;
  Draw draw_;
  const uintptr_t ahead_;
};

template <class Rows, class Draw>
__attribute__((flatten)) void dropout_add_norm(const RowArgs& args) {
  using Compute = typename Rows::Compute;
  NormForward<Rows, Draw> forward(args);
  const Operands<Rows> operands(args);
  const Compute columns = (Compute)args.length, eps = (Compute)args.constants[1];
  const bool has_mean = args.outputs[NormPlaces::mean] != nullptr;
  for (uint64_t row = 0, count; row < args.row_count; row += count) {
    count = rows_together(args, row);
    Compute mean[kRowsTogether], rstd[kRowsTogether];
    for (uint64_t i = 0; i < count; ++i) {
      const Compute sum = forward.make_h(row + i);
      mean[i] = has_mean ? sum / columns : 0;
      if (has_mean) operands.store_row_value(NormPlaces::mean, row + i, mean[i]);
    }
    for (uint64_t i = 0; i < count; ++i) {
      rstd[i] = 1 / square_root(forward.squares(row + i, mean[i]) / columns + eps);
      operands.store_row_value(NormPlaces::rstd, row + i, rstd[i]);
    }
    for (uint64_t i = 0; i < count; ++i) forward.write_y(row + i, mean[i], rstd[i]);
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

// With xhat = (h - mean) * rstd, g = dy * weight, m1 and m2 the means of g and g * xhat:
// dresidual = dh + rstd * ((g - m1) - xhat * m2), and dx = keep ? dresidual * scale : +0.0. Of a RMS norm,
// mean and m1 are 0.
template <class Rows>
class NormBackward {
  using At = NormBackwardPlaces;
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
    const Row of(*this, row);
    auto dy = operands_.input(0, row), h = operands_.input(1, row);
    auto weight = operands_.parameter(At::weight, row);
    RowSum<Rows> g_sum, g_xhat_sum;
    for_strips<Rows>(args_, args_.length, [&](auto strip) {
      dy.prefetch_next(ahead_), h.prefetch_next(ahead_);
      strip.for_registers([&](int offset, auto place) {
        const Lanes g = load<Rows>(dy + offset, place) * load<Parameters>(weight + offset, place);
        g_sum.add(offset, g, place);
        g_xhat_sum.add(offset, zero_beyond(g * of.normalised(load<Rows>(h + offset, place)), place), place);
      });
      next(dy, h, weight);
    });
    const Compute columns = (Compute)args_.length;
    return {has_mean() ? g_sum.total() / columns : 0, g_xhat_sum.total() / columns};
  }

  void write(uint64_t row, const Means& means) {
    const Row of(*this, row);
    const Lanes m1 = Lanes::broadcast(means.g), m2 = Lanes::broadcast(means.g_xhat);
    auto dy = operands_.input(0, row), h = operands_.input(1, row), dh = operands_.input(At::dh, row);
    auto weight = operands_.parameter(At::weight, row), scale = operands_.scale();
    auto dx = operands_.output(0, row), dresidual = operands_.output(1, row);
    auto dweight = operands_.sums(At::dweight), dx_bias = operands_.sums(At::dx_bias);
    auto dbias = operands_.sums(At::dbias);
    const bool non_temporal = args_.non_temporal && dx.takes_non_temporal();
    uint64_t bit = args_.first_bit + row * args_.length;
    for_strips<Rows>(args_, args_.length, [&](auto strip) {
      const StripBits<kStripElements<Rows>> keep(draw_, bit);
      strip.for_registers([&](int offset, auto place) {
        const Lanes given = load<Rows>(dy + offset, place);
        const Lanes xhat = of.normalised(load<Rows>(h + offset, place));
        const Lanes g = given * load<Parameters>(weight + offset, place);
        const Lanes total = load<Rows>(dh + offset, place) + of.rstd * ((g - m1) - xhat * m2);
        const Lanes kept = zero_unless(keep, offset, total * load<Parameters>(scale + offset, place));
        add_to<Parameters>(dweight, offset, given * xhat, place);
        add_to<Parameters>(dbias, offset, given, place);
        add_to<Parameters>(dx_bias, offset, kept, place);
        if (dresidual.is_there()) store<Rows>(dresidual + offset, total, place);
        store<Rows>(dx + offset, kept, place, non_temporal);
      });
      next(dy, h, weight, dh, scale, dx, dresidual, dweight, dbias, dx_bias);
      bit += kStripElements<Rows>;
    });
  }

 private:
  struct Row {
    Lanes mean, rstd;

    Row(const NormBackward& backward, uint64_t row)
        : mean(Lanes::broadcast(backward.has_mean() ? backward.operands_.row_value(At::mean, row) : 0)),
          rstd(Lanes::broadcast(backward.operands_.row_value(At::rstd, row))) {}
    Lanes normalised(Lanes h) const { return (h - mean) * rstd; }
  };
  bool has_mean() const { return args_.is_there[At::mean]; }

  const RowArgs& args_;
  const Operands<Rows> operands_;
  CalledDraw draw_;
  const uintptr_t ahead_;
};

template <class Rows>
__attribute__((flatten)) void dropout_add_layer_norm_backward(const RowArgs& args) {
  NormBackward<Rows> backward(args);
  for (uint64_t row = 0, count; row < args.row_count; row += count) {
    count = rows_together(args, row);
    typename NormBackward<Rows>::Means means[kRowsTogether];
    for (uint64_t i = 0; i < count; ++i) means[i] = backward.means(row + i);
    for (uint64_t i = 0; i < count; ++i) backward.write(row + i, means[i]);
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

template <class Rows>
void dropout_add_layer_norm(const RowArgs& args) {
  if constexpr (Rows::element == kFloat32 && kInlineDraws)
    if (draws_inline(args)) return dropout_add_norm<Rows, InlineDraw<Ars4x32>>(args);
  dropout_add_norm<Rows, CalledDraw>(args);
}

// A strip of -0.0.
template <class Compute>
struct NoBias {
  alignas(64) Compute values[kStripBytes / sizeof(Compute)];
  constexpr NoBias() : values() {
    for (Compute& value : values) value = Compute(-0.0);
  }
};

// The operands of a layer norm without a mean and a bias.
template <class Rows>
void dropout_add_rms_norm(const RowArgs& args) {
  static constexpr NoBias<typename Rows::Compute> kNoBias{};
  using At = NormPlaces;
  RowArgs layer = args;
  layer.inputs[At::x_bias] = args.inputs[3], layer.input_rows[At::x_bias] = 0;
  layer.is_there[At::x_bias] = args.is_there[3];
  layer.inputs[At::bias] = reinterpret_cast<const char*>(kNoBias.values), layer.input_rows[At::bias] = 0;
  layer.is_there[At::bias] = false;
  layer.outputs[At::rstd] = args.outputs[2], layer.output_rows[At::rstd] = args.output_rows[2];
  layer.outputs[At::mean] = nullptr;
  dropout_add_layer_norm<Rows>(layer);
}

template <class Rows>
void dropout_add_rms_norm_backward(const RowArgs& args) {
  using At = NormBackwardPlaces;
  RowArgs layer = args;
  layer.is_there[At::mean] = false;
  for (int input = At::rstd; input <= At::dh; ++input) {
    layer.inputs[input] = args.inputs[input - 1], layer.input_rows[input] = args.input_rows[input - 1];
    layer.is_there[input] = args.is_there[input - 1];
  }
  layer.outputs[At::dx_bias] = args.outputs[3], layer.output_rows[At::dx_bias] = 0;
  layer.outputs[At::dbias] = nullptr;
  dropout_add_layer_norm_backward<Rows>(layer);
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
