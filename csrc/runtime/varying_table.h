// SPDX-License-Identifier: BSD-3-Clause
// p and the constants where they vary, as kernels read them: an entry for every element.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "request.h"
#include "rows.h"
#include "tuning.h"

namespace fastdrop {

// Which entries are in a table: those of a whole period, again and again, or a block of consecutive ones.
class Entries {
 public:
  Entries(std::uint64_t period, std::uint64_t total)
      : period_(period <= kPatternEntries && period < total ? period : 0) {
    if (period_ != 0) count_ = std::max(std::min(kPatternRun, total) / period_, std::uint64_t{1}) * period_;
  }

  bool is_periodic() const { return period_ != 0; }
  std::uint64_t count() const { return count_; }
  void hold(std::uint64_t first, std::uint64_t count) { first_ = first, count_ = count; }
  // Where the entry of that index is, and how many there are from it on.
  std::uint64_t place(std::uint64_t index) const { return is_periodic() ? index % period_ : index - first_; }
  std::uint64_t left(std::uint64_t index) const {
    return place(index) < count_ ? count_ - place(index) : 0;  // place() is huge before the first
  }

 private:
  std::uint64_t period_, first_ = 0, count_ = 0;
};

class VaryingTable {
 public:
  // In the window, `repeat` consecutive elements at a time share their decision and their p.
  VaryingTable(const Request& request, std::uint64_t element_count, std::uint64_t repeat);

  // Whether it has all entries from the beginning: then threads may share it.
  bool is_complete() const { return positions_.is_periodic() && elements_.is_periodic(); }

  // How many entries there are from that position, or element, on. A table that is not complete gets them
  // first.
  std::uint64_t hold_thresholds(std::uint64_t position);
  std::uint64_t hold_constants(std::uint64_t element);
  // Points to the entries that are held.
  void point_thresholds(std::uint64_t position, KeepArgs& keep) const;
  void point_constants(std::uint64_t element, KernelArgs& args) const;

  // Copies the elements, of those from `element` on, that are kept and whose constants are neutral.
  template <class Item>
  void copy_kept(std::uint64_t element, std::uint64_t count, const char* from, char* to) const {
    const std::uint64_t begin = elements_.place(element), end = begin + count;
    auto range = std::upper_bound(copied_.begin(), copied_.end(), begin,
                                  [](std::uint64_t at, const auto& other) { return at < other.second; });
    for (; range != copied_.end() && range->first < end; ++range)
      // Item by item: most ranges are short.
      for (std::uint64_t at = std::max(range->first, begin); at < std::min(range->second, end); ++at)
        std::memcpy(to + (at - begin) * sizeof(Item), from + (at - begin) * sizeof(Item), sizeof(Item));
  }
  bool copies_any() const { return !copied_.empty(); }

 private:
  // A value along the elements of the pattern.
  struct Source {
    double constant;
    const char* values;  // null: the constant
    Rows rows;
    void read(std::uint64_t first, std::uint64_t step, std::uint64_t count, double* to) const;
  };

  Source source(const Value& value) const;
  void fill_thresholds(std::uint64_t first, std::uint64_t count);
  void fill_constants(std::uint64_t first, std::uint64_t count);

  const Request& request_;
  const int constant_count_;
  const std::uint64_t repeat_;
  const int outer_;  // axes before the pattern's
  const std::uint64_t period_;
  Entries positions_, elements_;
  Source p_;
  std::vector<Source> constants_;
  // With a margin at both ends.
  std::unique_ptr<std::uint16_t[]> high_;
  std::unique_ptr<std::uint64_t[]> low_;
  std::unique_ptr<char[]> converted_[kMaxConstants];
  std::vector<std::pair<std::uint64_t, std::uint64_t>> copied_;
};

}  // namespace fastdrop
