// SPDX-License-Identifier: BSD-3-Clause
// An operand: its values in C order, the layout that it has in memory, and the memory itself. That is exactly
// as long as the elements reach, so that AddressSanitizer sees each byte beyond, and every byte between the
// elements is watched.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../csrc/runtime/operands.h"

namespace fuzz {

constexpr int kMostAxes = 4;

struct Layout {
  std::int64_t strides[kMostAxes] = {};  // in bytes; 0 along the axes that the access leaves out
  std::int64_t offset = 0;               // bytes before the lowest element: its alignment
  bool swapped = false;
};

struct OperandCase {
  const fastdrop::OperandInfo* info = nullptr;
  bool is_there = false;
  int in_place_of = -1;  // of an output: the input whose memory it is
  std::int64_t item = 0;
  int rank = 0;
  std::int64_t shape[kMostAxes] = {};  // 1 along the axes that the access leaves out
  Layout layout;
  std::vector<char> values;

  std::int64_t count() const;
  Layout contiguous() const;
};

class Memory {
 public:
  // Holds the values, or of an output watched bytes.
  Memory(const OperandCase& operand, const Layout& layout, bool is_output);

  void* data() const { return bytes_.get() + first_; }
  // The elements as they are now, in C order and native byte order.
  std::vector<char> elements() const;
  // Whether nothing else has changed.
  bool is_untouched_between();

 private:
  template <class Visit>
  void for_elements(Visit visit) const;

  OperandCase operand_;
  Layout layout_;
  std::int64_t size_ = 0, first_ = 0;
  std::unique_ptr<char[]> bytes_;
  std::vector<char> before_;
};

}  // namespace fuzz
