// SPDX-License-Identifier: BSD-3-Clause
// Bias, activation, dropout and residual in one pass, and its backward pass with the bias's gradient.
#pragma once
#include "../activations.h"
#include "strips.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

template <class A, class B>
constexpr bool kIsSame = false;
template <class A>
constexpr bool kIsSame<A, A> = true;

template <class Activation>
constexpr bool kIsLong = !kIsSame<Activation, Identity> && !kIsSame<Activation, Relu>;

// y = residual + (keep ? round(act(x + bias) * scale) : +0.0)
template <class Rows, class Activation>
__attribute__((flatten)) void bias_dropout_add(const RowArgs& args) {
  using Value = typename Rows::Value;
  using Compute = typename Rows::Compute;
  using Lanes = typename Rows::Lanes;
  KeepBits& keep = *args.keep;
  uint64_t bit = args.first_bit;
  const uintptr_t ahead = prefetch_distance(args);
  for (uint64_t row = 0; row < args.row_count; ++row, bit += args.length) {
    auto x = input_row<Value>(args, 0, row);
    auto bias = input_row<Compute>(args, 1, row);
    auto residual = input_row<Value>(args, 2, row);
    auto scale = scale_row<Compute>(args);
    auto y = output_row<Value>(args, 0, row);
    const bool non_temporal = args.non_temporal && y.takes_non_temporal();
    uint64_t strip_bit = bit;
    for_strips<Lanes>(args.length, [&](auto strip) {
      need_bits(keep, strip_bit + kStripElements);
      x.prefetch_next(ahead), residual.prefetch_next(ahead);
      Lanes results[kStripElements / Lanes::width];
      strip.template for_lanes<kIsLong<Activation>>([&](int offset, auto lanes) {
        const Lanes t =
            load<Rows>(x + offset, lanes) + load<ComputeRows<Rows>>(bias + offset, lanes);
        const Lanes scaled = Activation::value(t) * load<ComputeRows<Rows>>(scale + offset, lanes);
        results[offset / Lanes::width] = load<Rows>(residual + offset, lanes) +
                                         zero_unless_bits(bits_at(keep, strip_bit + offset), scaled);
      });
      if (strip.is_whole && __builtin_expect(non_temporal, 0))
        strip.for_lanes([&](int offset, auto) {
          Rows::store_non_temporal(y + offset, results[offset / Lanes::width]);
        });
      else
        strip.for_lanes([&](int offset, auto lanes) {
          store<Rows>(y + offset, results[offset / Lanes::width], lanes);
        });
      next(x, bias, residual, scale, y);
      strip_bit += kStripElements;
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

// By select where that is what is meant: 0 times an infinite gradient would be NaN.
template <class Activation, class Lanes>
Lanes times_derivative(Lanes dy, Lanes t) {
  if constexpr (kIsSame<Activation, Identity>)
    return dy;
  else if constexpr (kIsSame<Activation, Relu>)
    return selected(t <= Lanes::broadcast(0), Lanes::broadcast(0), dy);
  else
    return dy * Activation::derivative(t);
}

// dx = keep ? round(round(dy * scale) * act'(t)) : +0.0, and dbias += dx, where t = x + bias. Or t is y, the
// result of the forward pass with relu and without a residual: it says what was kept, and what was positive.
template <class Rows, class Activation>
__attribute__((flatten)) void bias_dropout_add_backward(const RowArgs& args) {
  using Value = typename Rows::Value;
  using Compute = typename Rows::Compute;
  using Lanes = typename Rows::Lanes;
  KeepBits& keep = *args.keep;
  uint64_t bit = args.first_bit;
  const uintptr_t ahead = prefetch_distance(args);
  for (uint64_t row = 0; row < args.row_count; ++row, bit += args.length) {
    auto dy = input_row<Value>(args, 0, row);
    auto x = input_row<Value>(args, args.is_there[3] ? 3 : 1, row);
    auto bias = input_row<Compute>(args, 2, row);
    auto scale = scale_row<Compute>(args);
    auto dx = output_row<Value>(args, 0, row);
    auto dbias = output_row<Compute>(args, 1, row);
    const bool non_temporal = args.non_temporal && dx.takes_non_temporal();
    uint64_t strip_bit = bit;
    for_strips<Lanes>(args.length, [&](auto strip) {
      need_bits(keep, strip_bit + kStripElements);
      dy.prefetch_next(ahead), x.prefetch_next(ahead);
      Lanes results[kStripElements / Lanes::width];
      strip.template for_lanes<kIsLong<Activation>>([&](int offset, auto lanes) {
        const Lanes t =
            load<Rows>(x + offset, lanes) + load<ComputeRows<Rows>>(bias + offset, lanes);
        const Lanes scaled = load<Rows>(dy + offset, lanes) * load<ComputeRows<Rows>>(scale + offset, lanes);
        const Lanes kept =
            zero_unless_bits(bits_at(keep, strip_bit + offset), times_derivative<Activation>(scaled, t));
        add_to<Rows>(dbias, offset, kept, lanes);
        results[offset / Lanes::width] = kept;
      });
      if (strip.is_whole && __builtin_expect(non_temporal, 0))
        strip.for_lanes([&](int offset, auto) {
          Rows::store_non_temporal(dx + offset, results[offset / Lanes::width]);
        });
      else
        strip.for_lanes([&](int offset, auto lanes) {
          store<Rows>(dx + offset, results[offset / Lanes::width], lanes);
        });
      next(dy, x, bias, scale, dx, dbias);
      strip_bit += kStripElements;
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

template <class Rows>
void bias_dropout_add_rows(const RowArgs& args) {
  switch ((int)args.constants[1]) {
    case kRelu:
      return bias_dropout_add<Rows, Relu>(args);
    case kGelu:
      return bias_dropout_add<Rows, Gelu>(args);
    case kGeluTanh:
      return bias_dropout_add<Rows, GeluTanh>(args);
    case kSilu:
      return bias_dropout_add<Rows, Silu>(args);
    default:
      return bias_dropout_add<Rows, Identity>(args);
  }
}

template <class Rows>
void bias_dropout_add_backward_rows(const RowArgs& args) {
  switch ((int)args.constants[1]) {
    case kRelu:
      return bias_dropout_add_backward<Rows, Relu>(args);
    case kGelu:
      return bias_dropout_add_backward<Rows, Gelu>(args);
    case kGeluTanh:
      return bias_dropout_add_backward<Rows, GeluTanh>(args);
    case kSilu:
      return bias_dropout_add_backward<Rows, Silu>(args);
    default:
      return bias_dropout_add_backward<Rows, Identity>(args);
  }
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
