// SPDX-License-Identifier: BSD-3-Clause
// The functions of functions.h and activations.h over arrays, for tests: in the order of kFunctionNames.
#pragma once
#include "../../shared/kernel_table.h"
#include "../activations.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

template <class Lanes, class T, Lanes (*function)(Lanes)>
void evaluate(const void* from, uint64_t count, void* to) {
  const T* x = static_cast<const T*>(from);
  T* y = static_cast<T*>(to);
  for (uint64_t i = 0; i < count; i += Lanes::width) {
    const uint64_t left = count - i;
    if (left >= Lanes::width) {
      function(Lanes::load(x + i)).store(y + i);
      continue;
    }
    T values[Lanes::width] = {};
    for (uint64_t j = 0; j < left; ++j) values[j] = x[i + j];
    function(Lanes::load(values)).store(values);
    for (uint64_t j = 0; j < left; ++j) y[i + j] = values[j];
  }
}

template <class Lanes, class T>
constexpr void add_functions(RowTable& table, Element element) {
  const FunctionKernel kernels[kFunctionCount] = {
      &evaluate<Lanes, T, exponential<Lanes>>,          &evaluate<Lanes, T, sigmoid<Lanes>>,
      &evaluate<Lanes, T, normal_cdf<Lanes>>,           &evaluate<Lanes, T, Relu::value<Lanes>>,
      &evaluate<Lanes, T, Relu::derivative<Lanes>>,     &evaluate<Lanes, T, Gelu::value<Lanes>>,
      &evaluate<Lanes, T, Gelu::derivative<Lanes>>,     &evaluate<Lanes, T, GeluTanh::value<Lanes>>,
      &evaluate<Lanes, T, GeluTanh::derivative<Lanes>>, &evaluate<Lanes, T, Silu::value<Lanes>>,
      &evaluate<Lanes, T, Silu::derivative<Lanes>>};
  for (int i = 0; i < kFunctionCount; ++i) table.functions[i][element] = kernels[i];
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
