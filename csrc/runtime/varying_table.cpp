// SPDX-License-Identifier: BSD-3-Clause
#include "varying_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "operands.h"
#include "threshold.h"

namespace fastdrop {
namespace {

// What kernels read beside a run.
constexpr std::uint64_t kMargin = kThresholdsBeside;
static_assert(kThresholdsBeside >= kMaxTileElements);
// The generators flip the top bit of a word, so that words compare as signed integers.
constexpr std::uint16_t kTopBit = 0x8000;

bool varies_along(const Value& value, int axis) {
  return value.varying != nullptr && value.varying->window.strides[axis] != 0;
}

// The axes before the first one along which something varies, and before those that share a decision.
int outer_axes(const Request& request, int constant_count, std::uint64_t repeat) {
  int axis = 0;
  for (; product(request.window.shape, axis, request.window.rank) > repeat; ++axis) {
    bool varies = varies_along(request.mask.p, axis);
    for (int i = 0; i < constant_count; ++i) varies |= varies_along(request.constants[i], axis);
    if (varies && request.window.shape[axis] > 1) break;
  }
  return axis;
}

// Writes the first `period` bytes again and again, as far as `count`.
void repeat_bytes(void* bytes, std::uint64_t period, std::uint64_t count) {
  char* const first = static_cast<char*>(bytes);
  for (std::uint64_t done = period; done < count;) {
    const std::uint64_t part = std::min(done, count - done);
    std::memcpy(first + done, first, part);
    done += part;
  }
}

// Memory for entries between two margins, which are 0. What is between is not.
template <class Entry>
std::unique_ptr<Entry[]> with_margins(std::uint64_t count, std::uint64_t margin) {
  std::unique_ptr<Entry[]> entries(new Entry[margin + count + margin]);
  std::fill_n(entries.get(), margin, Entry{0});
  std::fill_n(entries.get() + margin + count, margin, Entry{0});
  return entries;
}

}  // namespace

VaryingTable::VaryingTable(const Request& request, std::uint64_t element_count, std::uint64_t repeat)
    : request_(request),
      constant_count_(constant_count(kOperations[request.operation])),
      repeat_(repeat),
      outer_(outer_axes(request, constant_count_, repeat)),
      period_(product(request.window.shape, outer_, request.window.rank)),
      positions_(period_ / repeat, element_count / repeat),
      elements_(period_, element_count),
      p_(source(request.mask.p)) {
  // All the memory that later fills need.
  const std::uint64_t item = kComputeBytes[request.element];
  const std::uint64_t positions = positions_.is_periodic() ? positions_.count() : kBlockDecisions;
  const std::uint64_t elements = elements_.is_periodic() ? elements_.count() : kBlockDecisions;
  high_ = with_margins<std::uint16_t>(positions, kMargin),
  low_ = with_margins<std::uint64_t>(positions, kMargin);
  copied_.reserve(kBlockDecisions / 2);
  for (int i = 0; i < constant_count_; ++i) {
    constants_.push_back(source(request.constants[i]));
    converted_[i] = with_margins<char>(elements * item, kMargin * item);
  }
  if (positions_.is_periodic()) {
    const std::uint64_t period = period_ / repeat;
    fill_thresholds(0, period);
    repeat_bytes(&high_[kMargin], period * sizeof high_[0], positions * sizeof high_[0]);
    repeat_bytes(&low_[kMargin], period * sizeof low_[0], positions * sizeof low_[0]);
  }
  if (elements_.is_periodic()) {
    fill_constants(0, period_);
    for (int i = 0; i < constant_count_; ++i)
      repeat_bytes(&converted_[i][kMargin * item], period_ * item, elements * item);
    const std::size_t copied = copied_.size();
    for (std::uint64_t at = period_; at < elements; at += period_)
      for (std::size_t i = 0; i < copied; ++i)
        copied_.emplace_back(copied_[i].first + at, copied_[i].second + at);
  }
}

VaryingTable::Source VaryingTable::source(const Value& value) const {
  if (value.varying == nullptr) return {value.constant, nullptr, Rows(Window{})};
  const Window& window = value.varying->window;
  const Window pattern{window.start, window.rank - outer_, window.shape + outer_, window.strides + outer_};
  return {0, value.varying->values, Rows(pattern)};
}

// The values of `count` elements that are `step` apart, which is where the values may change.
void VaryingTable::Source::read(std::uint64_t first, std::uint64_t step, std::uint64_t count,
                                double* to) const {
  if (values == nullptr) {
    std::fill_n(to, count, constant);
    return;
  }
  const std::uint64_t repeat = rows.repeat() / step;
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t position = first * step / rows.repeat();
    const std::uint64_t again = repeat == 1 ? 1 : repeat - first % repeat;
    const std::uint64_t in_row = std::min(rows.left_in_row(position), again == 1 ? count - done : 1);
    const char* from = values + rows.index_at(position) * sizeof(double);
    if (repeat == 1 && rows.stride() == 1) {
      std::memcpy(to + done, from, in_row * sizeof(double));
      first += in_row, done += in_row;
      continue;
    }
    double value;
    std::memcpy(&value, from, sizeof value);
    const std::uint64_t same = std::min(again, count - done);
    std::fill_n(to + done, same, value);
    first += same, done += same;
  }
}

std::uint64_t VaryingTable::hold_thresholds(std::uint64_t position) {
  if (positions_.left(position) == 0) {
    const std::uint64_t total = period_ / repeat_;
    const std::uint64_t count = std::min(kBlockDecisions, total - position % total);
    fill_thresholds(position % total, count);
    // The block may be shorter than the memory, and the margin follows what is held.
    std::fill_n(&high_[kMargin + count], kMargin, std::uint16_t{0});
    std::fill_n(&low_[kMargin + count], kMargin, std::uint64_t{0});
    positions_.hold(position, count);
  }
  return positions_.left(position);
}

std::uint64_t VaryingTable::hold_constants(std::uint64_t element) {
  if (elements_.left(element) == 0) {
    const std::uint64_t count = std::min(kBlockDecisions, period_ - element % period_);
    fill_constants(element % period_, count);
    const std::uint64_t item = kComputeBytes[request_.element];
    for (int i = 0; i < constant_count_; ++i)
      std::memset(&converted_[i][(kMargin + count) * item], 0, kMargin * item);
    elements_.hold(element, count);
  }
  return elements_.left(element);
}

void VaryingTable::fill_thresholds(std::uint64_t first, std::uint64_t count) {
  const std::uint64_t period = period_ / repeat_;
  double rates[kReadAtOnce];
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t at = (first + done) % period;
    const std::uint64_t part = std::min({kReadAtOnce, count - done, period - at});
    p_.read(at, repeat_, part, rates);
    for (std::uint64_t i = 0; i < part; ++i) {
      const Threshold bound = threshold(rates[i]);
      high_[kMargin + done + i] = bound.high ^ kTopBit;
      low_[kMargin + done + i] = bound.low;
    }
    done += part;
  }
}

void VaryingTable::fill_constants(std::uint64_t first, std::uint64_t count) {
  const std::uint64_t item = kComputeBytes[request_.element];
  const OperationInfo& info = kOperations[request_.operation];
  const bool may_copy = info.copies_where_kept && request_.mask.rule != kStored;
  copied_.clear();
  double values[kReadAtOnce];
  bool copies[kReadAtOnce];
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t at = (first + done) % period_;
    const std::uint64_t part = std::min({kReadAtOnce, count - done, period_ - at});
    bool copies_some = false;
    if (may_copy) {
      p_.read(at, 1, part, values);
      for (std::uint64_t i = 0; i < part; ++i) copies[i] = values[i] == 0;
      copies_some = std::memchr(copies, true, part) != nullptr;
    }
    for (int c = 0; c < constant_count_; ++c) {
      const auto place = static_cast<std::size_t>(c);
      constants_[place].read(at, 1, part, values);
      char* to = &converted_[c][(kMargin + done) * item];
      for (std::uint64_t i = 0; item == sizeof(float) && i < part; ++i) {
        const auto rounded = static_cast<float>(values[i]);
        std::memcpy(to + i * sizeof rounded, &rounded, sizeof rounded);
      }
      if (item == sizeof(double)) std::memcpy(to, values, part * sizeof(double));
      const double neutral = info.constants[c].neutral;
      for (std::uint64_t i = 0; copies_some && !std::isnan(neutral) && i < part; ++i)
        copies[i] &= values[i] == neutral;
    }
    for (std::uint64_t i = 0; copies_some && i < part; ++i) {
      if (!copies[i]) continue;
      if (!copied_.empty() && copied_.back().second == done + i)
        ++copied_.back().second;
      else
        copied_.emplace_back(done + i, done + i + 1);
    }
    done += part;
  }
}

void VaryingTable::point_thresholds(std::uint64_t position, KeepArgs& keep) const {
  keep.varying_high = high_.get() + kMargin + positions_.place(position);
  keep.varying_low = low_.get() + kMargin + positions_.place(position);
}

void VaryingTable::point_constants(std::uint64_t element, KernelArgs& args) const {
  const std::uint64_t place = kMargin + elements_.place(element);
  for (int i = 0; i < constant_count_; ++i)
    args.varying_constants[i] = &converted_[i][place * kComputeBytes[request_.element]];
}

}  // namespace fastdrop
