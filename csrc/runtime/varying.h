// SPDX-License-Identifier: BSD-3-Clause
// A value of a request where it may differ from element to element.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "operands.h"
#include "request.h"

namespace fastdrop {

// How many elements at a time have the same index: the axes at the end of stride 0.
inline std::uint64_t repeat_of(const Window& window) {
  std::uint64_t repeat = 1;
  if (window.strides == nullptr) return repeat;
  for (int axis = window.rank - 1; axis >= 0 && (window.strides[axis] == 0 || window.shape[axis] == 1);
       --axis)
    repeat *= static_cast<std::uint64_t>(window.shape[axis]);
  return repeat;
}

class VaryingValue {
 public:
  explicit VaryingValue(const Value& value)
      : constant_(value.constant),
        varying_(value.varying),
        repeat_(value.varying == nullptr ? 1 : repeat_of(value.varying->window)) {}

  double at(std::uint64_t element) const {
    if (varying_ == nullptr) return constant_;
    const Window& window = varying_->window;
    std::uint64_t index = window.start, c_stride = 1;
    for (int axis = window.rank - 1; axis >= 0 && element > 0; --axis) {
      const auto length = static_cast<std::uint64_t>(window.shape[axis]);
      index += element % length * stride(window, axis, c_stride);
      element /= length, c_stride *= length;
    }
    double value;
    std::memcpy(&value, varying_->values + index * sizeof value, sizeof value);
    return value;
  }

  // A lower bound on how many elements, from `element` on, have the same value.
  std::uint64_t run_length(std::uint64_t element) const {
    return varying_ == nullptr ? ~std::uint64_t{0} : repeat_ - element % repeat_;
  }

 private:
  static std::uint64_t stride(const Window& window, int axis, std::uint64_t c_stride) {
    return window.strides == nullptr ? c_stride : static_cast<std::uint64_t>(window.strides[axis]);
  }

  double constant_;
  const Varying* varying_;
  std::uint64_t repeat_;
};

// p and the constants of a request.
class VaryingValues {
 public:
  explicit VaryingValues(const Request& request)
      : constant_count_(constant_count(kOperations[request.operation])),
        p_(request.mask.p),
        constants_{VaryingValue(request.constants[0]), VaryingValue(request.constants[1]),
                   VaryingValue(request.constants[2]), VaryingValue(request.constants[3])} {}

  // p at that element. The constants go to the arguments.
  double at(std::uint64_t element, KernelArgs& args) const {
    for (int i = 0; i < constant_count_; ++i) args.constants[i] = constants_[i].at(element);
    return p_.at(element);
  }

  // A lower bound on how many elements, from `element` on, have the same values.
  std::uint64_t run_length(std::uint64_t element) const {
    std::uint64_t length = p_.run_length(element);
    for (int i = 0; i < constant_count_; ++i) length = std::min(length, constants_[i].run_length(element));
    return length;
  }

 private:
  int constant_count_;
  VaryingValue p_, constants_[kMaxConstants];
};

}  // namespace fastdrop
