// SPDX-License-Identifier: BSD-3-Clause
// Where the rows of operands are.
#pragma once
#include <cstdint>
#include <vector>

#include "operands.h"

namespace fastdrop {

// The leading axes of the window, merged where one stride steps over two of them in every operand: rows are
// counted along them in C order.
class RowPlaces {
 public:
  explicit RowPlaces(const Request& request) {
    const OperationInfo& info = kOperations[request.operation];
    const Window& window = request.window;
    inputs_ = operand_count(info.inputs);
    for (int i = 0; i < inputs_; ++i) add(info.inputs[i], request.inputs[i]);
    for (int i = 0; i < operand_count(info.outputs); ++i) add(info.outputs[i], request.outputs[i]);
    std::int64_t c_stride[kMaxOperands];
    for (int i = 0; i < count_; ++i)
      c_stride[i] = static_cast<std::int64_t>(item_bytes(*infos_[i], request.element)) *
                    (infos_[i]->access == kFull ? window.shape[window.rank - 1] : 1);
    for (int axis = window.rank - 2; axis >= 0; --axis) {
      const std::int64_t length = window.shape[axis];
      if (length == 1) continue;
      Axis next{length, {}};
      for (int i = 0; i < count_; ++i) {
        if (infos_[i]->access == kPerColumn) continue;
        next.strides[i] = operands_[i]->strides != nullptr ? operands_[i]->strides[axis] : c_stride[i];
        c_stride[i] *= length;
      }
      if (!axes_.empty() && continues(next, axes_.back()))
        axes_.back().length *= length;
      else
        axes_.push_back(next);
    }
    if (axes_.empty()) axes_.push_back({1, {}});
  }

  // Whether every operand is C-contiguous, but for those per column.
  bool is_flat(const Request& request) const {
    const Window& window = request.window;
    for (int i = 0; i < count_; ++i) {
      if (operands_[i]->data == nullptr || infos_[i]->access == kPerColumn) continue;
      const auto row_bytes =
          static_cast<std::int64_t>(item_bytes(*infos_[i], request.element)) * window.shape[window.rank - 1];
      const Axis& axis = axes_.front();
      if (infos_[i]->access != kFull || axes_.size() > 1) return false;
      if (axis.length > 1 && axis.strides[i] != row_bytes) return false;
    }
    return true;
  }

  // How many rows, from `row` on, are evenly spaced.
  std::uint64_t run_length(std::uint64_t row) const {
    const auto length = static_cast<std::uint64_t>(axes_.front().length);
    return length - row % length;
  }

  // Points to row `row`, and to its elements from `column` on.
  void point(const Request& request, std::uint64_t row, std::uint64_t column, RowArgs& args) const {
    for (int i = 0; i < count_; ++i) {
      if (operands_[i]->data == nullptr) continue;
      std::int64_t offset = 0;
      std::uint64_t left = row;
      if (infos_[i]->access != kPerColumn) {
        for (const Axis& axis : axes_) {
          const auto length = static_cast<std::uint64_t>(axis.length);
          offset += static_cast<std::int64_t>(axes_.size() == 1 ? left : left % length) * axis.strides[i];
          if (axes_.size() > 1) left /= length;
        }
      }
      if (infos_[i]->access != kPerRow)
        offset += static_cast<std::int64_t>(column * item_bytes(*infos_[i], request.element));
      put(i, offset, infos_[i]->access == kPerColumn ? 0 : axes_.front().strides[i], args);
    }
  }

  // The same where operands are flat, and rows are taken to be of that length.
  void point_flat(const Request& request, std::uint64_t length, std::uint64_t row, std::uint64_t column,
                  RowArgs& args) const {
    for (int i = 0; i < count_; ++i) {
      if (operands_[i]->data == nullptr) continue;
      const std::uint64_t item = item_bytes(*infos_[i], request.element);
      const bool is_full = infos_[i]->access == kFull;
      put(i, static_cast<std::int64_t>((is_full ? row * length + column : column) * item),
          is_full ? static_cast<std::int64_t>(length * item) : 0, args);
    }
  }

 private:
  void put(int operand, std::int64_t offset, std::int64_t step, RowArgs& args) const {
    char* const data = static_cast<char*>(operands_[operand]->data) + offset;
    if (operand < inputs_)
      args.inputs[operand] = data, args.input_rows[operand] = step;
    else if (infos_[operand]->access != kPerColumn)  // the others are the sums'
      args.outputs[operand - inputs_] = data, args.output_rows[operand - inputs_] = step;
  }

  struct Axis {
    std::int64_t length;
    std::int64_t strides[kMaxOperands];
  };

  void add(const OperandInfo& info, const Operand& operand) {
    infos_[count_] = &info;
    operands_[count_++] = &operand;
  }
  bool continues(const Axis& outer, const Axis& inner) const {
    for (int i = 0; i < count_; ++i)
      if (operands_[i]->data != nullptr && outer.strides[i] != inner.length * inner.strides[i]) return false;
    return true;
  }

  const OperandInfo* infos_[kMaxOperands];
  const Operand* operands_[kMaxOperands];  // the inputs, then the outputs
  int inputs_ = 0, count_ = 0;
  std::vector<Axis> axes_;  // the innermost one first
};

}  // namespace fastdrop
