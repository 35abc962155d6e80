// SPDX-License-Identifier: BSD-3-Clause
// The order in which a window's elements lie in the whole.
#pragma once
#include <cstdint>

#include "run.h"

namespace fastdrop {

// A window as equal rows of evenly spaced places: its innermost axis, after neighbouring axes have been
// merged where one stride steps over both. Trailing axes of stride 0 are not part of a row: they repeat its
// places.
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
  std::uint64_t repeat() const { return repeat_; }  // elements with the same place, one after another
  std::uint64_t length() const { return length_; }  // places in a row
  std::uint64_t stride() const { return stride_; }  // from one to the next, modulo 2^64
  bool is_one_row() const { return rank_ == outer_; }

  // The place whose number is that, when each is counted once instead of `repeat` times.
  std::uint64_t place(std::uint64_t number) const {
    std::uint64_t place = start_ + number % length_ * stride_;
    number /= length_;
    for (int axis = outer_; axis < rank_; ++axis) {
      place += number % lengths_[axis] * strides_[axis];
      number /= lengths_[axis];
    }
    return place;
  }

 private:
  std::uint64_t start_, element_count_ = 1, repeat_ = 1, length_ = 1, stride_ = 1;
  int rank_ = 0, outer_ = 0;  // the merged axes, innermost first; those from outer_ on say where a row begins
  std::uint64_t lengths_[kMaxRank], strides_[kMaxRank];
};

}  // namespace fastdrop
