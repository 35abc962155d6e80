// SPDX-License-Identifier: BSD-3-Clause
// The order in which a window's elements lie in the whole.
#pragma once
#include <cstdint>

#include "request.h"

namespace fastdrop {

// A window as equal rows of evenly spaced indices: its innermost axis, after neighbouring axes have been
// merged where one stride steps over both. Trailing axes of stride 0 are not part of a row: they repeat each
// of its indices. Below, a position counts the indices in the window's order, each once instead of `repeat`
// times.
class Rows {
 public:
  explicit Rows(const Window& window) {
    for (int axis = window.rank - 1; axis >= 0; --axis) {
      const auto size = static_cast<std::uint64_t>(window.shape[axis]);
      const std::uint64_t stride =
          window.strides == nullptr ? element_count_ : static_cast<std::uint64_t>(window.strides[axis]);
      element_count_ *= size;
      if (size == 1) continue;
      if (rank_ > 0 && stride == strides_[rank_ - 1] * lengths_[rank_ - 1]) {
        lengths_[rank_ - 1] *= size;
      } else {
        lengths_[rank_] = size, strides_[rank_] = stride;
        ++rank_;
      }
    }
    start_ = window.start;
    if (rank_ > 0 && strides_[0] == 0) repeat_ = lengths_[outer_++];
    if (rank_ > outer_) length_ = lengths_[outer_], stride_ = strides_[outer_], ++outer_;
  }

  std::uint64_t element_count() const { return element_count_; }
  std::uint64_t repeat() const { return repeat_; }  // consecutive elements that have the same index
  std::uint64_t length() const { return length_; }  // positions in a row
  std::uint64_t stride() const { return stride_; }  // from one index of a row to the next, modulo 2^64
  bool is_one_row() const { return rank_ == outer_; }

  // Positions from `position` to the end of its row.
  std::uint64_t left_in_row(std::uint64_t position) const {
    return length_ - (is_one_row() ? position : position % length_);
  }

  // Distance from this row to the last row of the next axis along which rows differ, or 0 if consecutive ones
  // are `within` or more apart.
  std::int64_t reach_of_next_rows(std::uint64_t position, std::uint64_t within) const {
    std::uint64_t row = position / length_;
    int axis = outer_;
    for (; axis < rank_ && strides_[axis] == 0; ++axis) row /= lengths_[axis];  // the same row again
    if (axis == rank_) return 0;
    const auto step = static_cast<std::int64_t>(strides_[axis]);
    if (step >= static_cast<std::int64_t>(within) || step <= -static_cast<std::int64_t>(within)) return 0;
    const std::uint64_t following = lengths_[axis] - 1 - row % lengths_[axis];
    return step * static_cast<std::int64_t>(following);
  }

  // How many rows, from `row` on, are the same as the row before `row`.
  std::uint64_t identical_rows_after(std::uint64_t row) const {
    if (rank_ == outer_ || strides_[outer_] != 0) return 0;
    return (lengths_[outer_] - row % lengths_[outer_]) % lengths_[outer_];
  }

  std::uint64_t index_at(std::uint64_t position) const {
    if (is_one_row()) return start_ + position * stride_;  // no division: it counts in small calls
    std::uint64_t index = start_ + position % length_ * stride_;
    position /= length_;
    for (int axis = outer_; axis < rank_; ++axis) {
      index += position % lengths_[axis] * strides_[axis];
      position /= lengths_[axis];
    }
    return index;
  }

 private:
  std::uint64_t start_, element_count_ = 1, repeat_ = 1, length_ = 1, stride_ = 1;
  int rank_ = 0, outer_ = 0;  // the merged axes, innermost first; those from outer_ on say where a row begins
  std::uint64_t lengths_[kMaxRank], strides_[kMaxRank];
};

}  // namespace fastdrop
