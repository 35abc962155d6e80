// SPDX-License-Identifier: BSD-3-Clause
// Several registers that go through a long computation side by side: a processor looks some fifty
// instructions ahead, which is less than one register's chain of them.
#pragma once
#include "../piecewise.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

template <class Lanes, int count>
struct Several {
  Lanes of[count];

  static Several broadcast(double value) {
    Several all;
#pragma GCC unroll kUnroll
    for (int i = 0; i < count; ++i) all.of[i] = Lanes::broadcast(value);
    return all;
  }
};

template <class Condition, int count>
struct SeveralConditions {
  Condition of[count];
};

#define FASTDROP_EACH(Result, name, parameters, value)                         \
  template <class Lanes, int count>                                            \
  __attribute__((always_inline)) inline Result name parameters {               \
    Result all;                                                                \
    _Pragma("GCC unroll 8") for (int i = 0; i < count; ++i) all.of[i] = value; \
    return all;                                                                \
  }
#define FASTDROP_ALL Several<Lanes, count>

FASTDROP_EACH(FASTDROP_ALL, operator+, (FASTDROP_ALL a, FASTDROP_ALL b), a.of[i] + b.of[i])
FASTDROP_EACH(FASTDROP_ALL, operator-, (FASTDROP_ALL a, FASTDROP_ALL b), a.of[i] - b.of[i])
FASTDROP_EACH(FASTDROP_ALL, operator*, (FASTDROP_ALL a, FASTDROP_ALL b), a.of[i] * b.of[i])
FASTDROP_EACH(FASTDROP_ALL, operator/, (FASTDROP_ALL a, FASTDROP_ALL b), a.of[i] / b.of[i])
FASTDROP_EACH(FASTDROP_ALL, minimum, (FASTDROP_ALL a, FASTDROP_ALL b), minimum(a.of[i], b.of[i]))
FASTDROP_EACH(FASTDROP_ALL, maximum, (FASTDROP_ALL a, FASTDROP_ALL b), maximum(a.of[i], b.of[i]))
FASTDROP_EACH(FASTDROP_ALL, upper_half, (FASTDROP_ALL a), upper_half(a.of[i]))
FASTDROP_EACH(FASTDROP_ALL, minus_magnitude, (FASTDROP_ALL a), minus_magnitude(a.of[i]))
FASTDROP_EACH(FASTDROP_ALL, times_power_of_two, (FASTDROP_ALL a, FASTDROP_ALL sum),
              times_power_of_two(a.of[i], sum.of[i]))

FASTDROP_EACH(FASTDROP_ALL, absolute, (FASTDROP_ALL a), absolute(a.of[i]))
FASTDROP_EACH(FASTDROP_ALL, lookup, (const float* sixteen, FASTDROP_ALL index), lookup(sixteen, index.of[i]))

#undef FASTDROP_ALL
#undef FASTDROP_EACH

template <class Lanes, int count>
__attribute__((always_inline)) inline auto operator<(Several<Lanes, count> a, Several<Lanes, count> b) {
  SeveralConditions<decltype(a.of[0] < b.of[0]), count> all;
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) all.of[i] = a.of[i] < b.of[i];
  return all;
}
template <class Lanes, int count>
__attribute__((always_inline)) inline auto operator<=(Several<Lanes, count> a, Several<Lanes, count> b) {
  SeveralConditions<decltype(a.of[0] <= b.of[0]), count> all;
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) all.of[i] = a.of[i] <= b.of[i];
  return all;
}
template <class Condition, class Lanes, int count>
__attribute__((always_inline)) inline Several<Lanes, count> selected(
    SeveralConditions<Condition, count> condition, Several<Lanes, count> a, Several<Lanes, count> otherwise) {
  Several<Lanes, count> all;
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) all.of[i] = selected(condition.of[i], a.of[i], otherwise.of[i]);
  return all;
}

template <class Lanes, int count, class Function>
__attribute__((always_inline)) inline Several<Lanes, count> exact_beyond(Several<Lanes, count> x, double end,
                                                                         Several<Lanes, count> inside,
                                                                         Several<Lanes, count> t,
                                                                         Function exact) {
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) inside.of[i] = exact_beyond(x.of[i], end, inside.of[i], t.of[i], exact);
  return inside;
}

template <class Lanes, int count, class Function>
__attribute__((always_inline)) inline Several<Lanes, count> each(Several<Lanes, count> all,
                                                                 Function function) {
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) all.of[i] = function(all.of[i]);
  return all;
}

template <int count>
constexpr bool kHasTables<Several<Float32Lanes, count>> = true;
template <class Lanes, int count>
struct FunctionConstants<Several<Lanes, count>> : FunctionConstants<Lanes> {};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
