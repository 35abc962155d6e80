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
constexpr bool kIsShort = kIsSame<Activation, Identity> || kIsSame<Activation, Relu>;

// Calls work(offset in the strip, place) for all of a strip.
template <class Activation, class Strip, class Work>
__attribute__((always_inline)) inline void for_all(const Strip& strip, Work work) {
  if constexpr (kIsShort<Activation>)
    strip.for_registers(work);
  else
    strip.for_chains(work);
}

// What is known before: whether the scale is one value, and whether there is no residual.
enum Known { kNothing, kFixedScale, kFixedScaleAndNoResidual };

// y = residual + (keep ? round(act(x + bias) * scale) : +0.0)
template <class Rows, class Activation, class Draw, Known known>
__attribute__((flatten)) void bias_dropout_add(const RowArgs& args) {
  using Lanes = typename Rows::Lanes;
  using Parameters = typename Operands<Rows>::Parameters;
  const Operands<Rows> operands(args);
  Draw draw(*args.keep);
  const uintptr_t ahead = args.prefetches ? kPrefetchBytes : 0;
  uint64_t row_bit = args.first_bit;
  const auto residual_of = [&]([[maybe_unused]] uint64_t row) {
    if constexpr (known == kFixedScaleAndNoResidual)
      return Fixed<Lanes>{Lanes::broadcast(-0.0)};
    else
      return operands.input(2, row);
  };
  for (uint64_t row = 0; row < args.row_count; ++row, row_bit += args.length) {
    auto x = operands.input(0, row);
    auto residual = residual_of(row);
    auto bias = operands.parameter(1, row);
    auto scale = operands.template scale<known != kNothing>();
    auto y = operands.output(0, row);
    const bool non_temporal = args.non_temporal && y.takes_non_temporal();
    uint64_t bit = row_bit;
    for_strips<Rows>(args, args.length, [&](auto strip) {
      const StripBits<kStripElements<Rows>> keep(draw, bit);
      x.prefetch_next(ahead), residual.prefetch_next(ahead);
      for_all<Activation>(strip, [&](int offset, auto place) {
        const auto t = load<Rows>(x + offset, place) + load<Parameters>(bias + offset, place);
        const auto scaled = Activation::value(t) * load<Parameters>(scale + offset, place);
        const auto result = load<Rows>(residual + offset, place) + zero_unless(keep, offset, scaled);
        store<Rows>(y + offset, result, place, non_temporal);
      });
      next(x, bias, residual, scale, y);
      bit += kStripElements<Rows>;
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

// By select where that is what is meant: 0 times an infinite gradient would be NaN.
template <class Activation, class Lanes>
__attribute__((always_inline)) inline Lanes times_derivative(Lanes dy, Lanes t) {
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
  using Parameters = typename Operands<Rows>::Parameters;
  const Operands<Rows> operands(args);
  CalledDraw draw(*args.keep);
  const uintptr_t ahead = args.prefetches ? kPrefetchBytes : 0;
  uint64_t row_bit = args.first_bit;
  for (uint64_t row = 0; row < args.row_count; ++row, row_bit += args.length) {
    auto dy = operands.input(0, row), x = operands.input(args.is_there[3] ? 3 : 1, row);
    auto bias = operands.parameter(2, row), scale = operands.scale();
    auto dx = operands.output(0, row);
    auto dbias = operands.sums(1);
    const bool non_temporal = args.non_temporal && dx.takes_non_temporal();
    uint64_t bit = row_bit;
    for_strips<Rows>(args, args.length, [&](auto strip) {
      const StripBits<kStripElements<Rows>> keep(draw, bit);
      dy.prefetch_next(ahead), x.prefetch_next(ahead);
      for_all<Activation>(strip, [&](int offset, auto place) {
        const auto t = load<Rows>(x + offset, place) + load<Parameters>(bias + offset, place);
        const auto scaled = load<Rows>(dy + offset, place) * load<Parameters>(scale + offset, place);
        const auto kept = zero_unless(keep, offset, times_derivative<Activation>(scaled, t));
        add_to<Parameters>(dbias, offset, kept, place);
        store<Rows>(dx + offset, kept, place, non_temporal);
      });
      next(dy, x, bias, scale, dx, dbias);
      bit += kStripElements<Rows>;
    });
  }
  if (args.non_temporal) finish_non_temporal_stores();
}

template <class Rows, class Activation>
void bias_dropout_add_with(const RowArgs& args) {
  // Where the computation is short, what it saves to know more shows. float32 is what is used most.
  if constexpr (kIsShort<Activation> && Rows::element == kFloat32) {
    if (args.scale_varies) return bias_dropout_add<Rows, Activation, CalledDraw, kNothing>(args);
    if constexpr (kInlineDraws) {
      using Ars = InlineDraw<Ars4x32>;
      if (args.keep->rule == kArs4x32)
        return args.is_there[2] ? bias_dropout_add<Rows, Activation, Ars, kFixedScale>(args)
                                : bias_dropout_add<Rows, Activation, Ars, kFixedScaleAndNoResidual>(args);
    }
    if (!args.is_there[2])
      return bias_dropout_add<Rows, Activation, CalledDraw, kFixedScaleAndNoResidual>(args);
  }
  bias_dropout_add<Rows, Activation, CalledDraw, kNothing>(args);
}

// Calls work(activation), a struct of activations.h, for the one that the constants say.
template <class Work>
inline void with_activation(const RowArgs& args, Work work) {
  switch ((int)args.constants[1]) {
    case kRelu:
      return work(Relu{});
    case kGelu:
      return work(Gelu{});
    case kGeluTanh:
      return work(GeluTanh{});
    case kSilu:
      return work(Silu{});
    default:
      return work(Identity{});
  }
}

template <class Rows>
void bias_dropout_add_rows(const RowArgs& args) {
  with_activation(args, [&](auto activation) { bias_dropout_add_with<Rows, decltype(activation)>(args); });
}

template <class Rows>
void bias_dropout_add_backward_rows(const RowArgs& args) {
  with_activation(args,
                  [&](auto activation) { bias_dropout_add_backward<Rows, decltype(activation)>(args); });
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
