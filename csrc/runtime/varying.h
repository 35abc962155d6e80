// SPDX-License-Identifier: BSD-3-Clause
// A value of a request where it may differ from element to element.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "operands.h"
#include "request.h"
#include "rows.h"

namespace fastdrop {

class VaryingValue {
 public:
  explicit VaryingValue(const Value& value)
      : constant_(value.constant),
        values_(value.varying == nullptr ? nullptr : value.varying->values),
        rows_(value.varying == nullptr ? Window{} : value.varying->window) {}

  double at(std::uint64_t element) const {
    if (values_ == nullptr) return constant_;
    double value;
    std::memcpy(&value, values_ + rows_.index_at(element / rows_.repeat()) * sizeof value, sizeof value);
    return value;
  }

  // A lower bound on how many elements, from `element` on, have the same value.
  std::uint64_t run_length(std::uint64_t element) const {
    return values_ == nullptr ? ~std::uint64_t{0} : rows_.repeat() - element % rows_.repeat();
  }

 private:
  double constant_;
  const char* values_;
  Rows rows_;
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
