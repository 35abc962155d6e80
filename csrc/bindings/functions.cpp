// SPDX-License-Identifier: BSD-3-Clause
#include "functions.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <string>

#include "../dispatch/isa_registry.h"
#include "../runtime/run_rows.h"
#include "arrays.h"
#include "gil.h"

namespace fastdrop {
namespace {

// Activations are those of bias_dropout_add, where everything is kept: their value, and the gradient for 1.
struct Function {
  const char* name;
  Activation activation;
  bool is_derivative;
};
constexpr Function kActivations[] = {
    {"relu", kRelu, false},          {"relu_derivative", kRelu, true},
    {"gelu", kGelu, false},          {"gelu_derivative", kGelu, true},
    {"gelu_tanh", kGeluTanh, false}, {"gelu_tanh_derivative", kGeluTanh, true},
    {"silu", kSilu, false},          {"silu_derivative", kSilu, true},
};

py::array ones_like(const py::array& x) {
  py::array ones = new_array(x.dtype(), static_cast<int>(x.ndim()), x.shape());
  if (to_element(x.dtype()) == kFloat32)
    std::fill_n(static_cast<float*>(ones.mutable_data()), ones.size(), 1.0F);
  else
    std::fill_n(static_cast<double*>(ones.mutable_data()), ones.size(), 1.0);
  return ones;
}

void activate(const Function& function, Element element, const py::array& x, py::array& y) {
  const std::int64_t size = x.size();
  const MaskState all_kept{kArs4x32, {}, 0, {0, nullptr}, nullptr};
  Request request{function.is_derivative ? kBiasDropoutAddBackward : kBiasDropoutAdd,
                  element,
                  all_kept,
                  {0, 1, &size, nullptr},
                  {},
                  {},
                  {{1, nullptr}, {static_cast<double>(function.activation), nullptr}}};
  const py::array ones = function.is_derivative ? ones_like(x) : x;
  if (function.is_derivative) request.inputs[0].data = const_cast<void*>(ones.data());
  request.inputs[function.is_derivative ? 1 : 0].data = const_cast<void*>(x.data());
  request.outputs[0].data = y.mutable_data();
  run_without_gil(request, [&] { run_rows(request); });
}

py::array evaluate(const std::string& name, const py::array& x) {
  const Element element = to_element(x.dtype());
  if ((element != kFloat32 && element != kFloat64) || !is_contiguous_native(x, false))
    throw std::invalid_argument("x must be a contiguous array of float32 or float64");
  py::array y = new_array(x.dtype(), static_cast<int>(x.ndim()), x.shape());
  for (int i = 0; i < kFunctionCount; ++i) {
    if (name != kFunctionNames[i]) continue;
    const auto count = static_cast<std::uint64_t>(x.size());
    without_gil(count, [&](Interrupt*) {
      current_isa().rows->functions[i][element](x.data(), count, y.mutable_data());
    });
    return y;
  }
  for (const Function& function : kActivations) {
    if (name != function.name) continue;
    activate(function, element, x, y);
    return y;
  }
  throw std::invalid_argument("no such function");
}

}  // namespace

void add_functions(py::module_& module) {
  module.def("function", &evaluate, "A function of one value, on the ISA in use; for tests.");
  py::list names;
  for (const char* name : kFunctionNames) names.append(name);
  for (const Function& function : kActivations) names.append(function.name);
  module.attr("functions") = py::tuple(names);
}

}  // namespace fastdrop
