// SPDX-License-Identifier: BSD-3-Clause
// What follows from an operation's row about its operands.
#pragma once
#include <cstdint>

#include "request.h"

namespace fastdrop {

template <int most>
int operand_count(const OperandInfo (&operands)[most]) {
  int count = 0;
  while (count < most && operands[count].name != nullptr) ++count;
  return count;
}

inline int constant_count(const OperationInfo& info) {
  int count = 0;
  while (count < kMaxConstants && info.constants[count].name != nullptr) ++count;
  return count;
}

inline std::uint64_t item_bytes(const OperandInfo& operand, Element element) {
  return operand.type == kElementType ? kElementBytes[element] : kComputeBytes[element];
}

// Whether an axis of the window is an axis of the operand.
inline bool has_axis(const OperandInfo& operand, int axis, int rank) {
  return operand.access == kFull || (operand.access == kPerColumn) == (axis == rank - 1);
}

// Whether a kernel must know where rows end. Then the window's last axis is a row.
inline bool has_row_ends(const OperationInfo& info) {
  bool all_full = true;
  for (const OperandInfo& operand : info.inputs) all_full &= operand.access == kFull;
  for (const OperandInfo& operand : info.outputs) all_full &= operand.access == kFull;
  return !all_full;
}

}  // namespace fastdrop
