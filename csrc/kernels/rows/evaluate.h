// SPDX-License-Identifier: BSD-3-Clause
// The functions of functions.h over arrays, for tests: in the order of kFunctionNames.
#pragma once
#include "../../shared/kernel_table.h"
#include "../functions.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

template <class Lanes, class T, Lanes (*function)(Lanes)>
void evaluate(const void* from, uint64_t count, void* to) {
  const T* x = static_cast<const T*>(from);
  T* y = static_cast<T*>(to);
  for (uint64_t first = 0; first < count; first += Lanes::width) {
    const uint64_t left = count - first, here = left < Lanes::width ? left : Lanes::width;
    T values[Lanes::width] = {};
    __builtin_memcpy(values, x + first, here * sizeof(T));
    function(Lanes::load(values)).store(values);
    __builtin_memcpy(y + first, values, here * sizeof(T));
  }
}

template <class Lanes, class T>
constexpr void add_functions(RowTable& table, Element element) {
  const FunctionKernel kernels[kFunctionCount] = {&evaluate<Lanes, T, exponential<Lanes>>,
                                                  &evaluate<Lanes, T, sigmoid<Lanes>>,
                                                  &evaluate<Lanes, T, normal_cdf<Lanes>>};
  for (int i = 0; i < kFunctionCount; ++i) table.functions[i][element] = kernels[i];
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
