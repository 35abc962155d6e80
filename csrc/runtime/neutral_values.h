// SPDX-License-Identifier: BSD-3-Clause
// What kernels read where an operand is absent, or has one value for all elements.
#pragma once
#include <cstdint>
#include <cstring>

#include "operands.h"

namespace fastdrop {

// A strip of -0.0 of every element type, which changes nothing where it is added, or of another value.
struct Neutral {
  alignas(64) char bytes[kStripBytes];

  template <class Value>
  void fill(Value value) {
    for (std::size_t at = 0; at < sizeof bytes; at += sizeof value)
      std::memcpy(bytes + at, &value, sizeof value);
  }
  void fill(double value, std::uint64_t item) {
    if (item == sizeof(float))
      fill(static_cast<float>(value));
    else
      fill(value);
  }
};

struct NeutralValues {
  Neutral addend[kElementCount], factor[kElementCount];
  NeutralValues() {
    for (const Element element : {kFloat32, kFloat64}) {
      addend[element].fill(-0.0, kElementBytes[element]);
      factor[element].fill(1.0, kElementBytes[element]);
    }
    for (const Element element : {kFloat16, kBFloat16}) addend[element].fill(std::uint16_t{0x8000});
  }
  const char* of(const OperandInfo& operand, Element element) const {
    const Element type = operand.type == kComputeType && kElementBytes[element] == 2 ? kFloat32 : element;
    return (operand.is_factor ? factor : addend)[type].bytes;
  }
};

}  // namespace fastdrop
