// SPDX-License-Identifier: BSD-3-Clause
// A value of a request where it may differ from element to element.
#pragma once
#include <cstdint>
#include <cstring>

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

}  // namespace fastdrop
