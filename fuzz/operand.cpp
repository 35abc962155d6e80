// SPDX-License-Identifier: BSD-3-Clause
#include "operand.h"

#include <algorithm>
#include <cstring>

namespace fuzz {
namespace {

void copy_item(char* to, const char* from, std::int64_t item, bool swapped) {
  for (std::int64_t i = 0; i < item; ++i) to[i] = from[swapped ? item - 1 - i : i];
}

}  // namespace

std::int64_t OperandCase::count() const {
  std::int64_t items = 1;
  for (int axis = 0; axis < rank; ++axis) items *= shape[axis];
  return items;
}

Layout OperandCase::contiguous() const {
  Layout layout;
  std::int64_t next = item;
  for (int axis = rank - 1; axis >= 0; --axis) {
    if (!fastdrop::has_axis(*info, axis, rank)) continue;
    layout.strides[axis] = next;
    next *= shape[axis];
  }
  return layout;
}

Memory::Memory(const OperandCase& operand, const Layout& layout, bool is_output)
    : operand_(operand), layout_(layout) {
  std::int64_t lowest = 0, highest = operand.item;
  for (int axis = 0; axis < operand.rank; ++axis) {
    const std::int64_t reach = (operand.shape[axis] - 1) * layout.strides[axis];
    (reach < 0 ? lowest : highest) += reach;
  }
  if (operand.count() == 0) lowest = highest = 0;
  first_ = layout.offset - lowest, size_ = layout.offset + highest - lowest;
  bytes_.reset(new char[static_cast<std::size_t>(size_)]);
  for (std::int64_t i = 0; i < size_; ++i) bytes_[static_cast<std::size_t>(i)] = static_cast<char>(0xA5 ^ i);
  if (!is_output) {
    const char* from = operand.values.data();
    for_elements([&](char* at) {
      copy_item(at, from, operand_.item, layout_.swapped);
      from += operand_.item;
    });
  }
  before_.assign(bytes_.get(), bytes_.get() + size_);
}

std::vector<char> Memory::elements() const {
  std::vector<char> all(static_cast<std::size_t>(operand_.count() * operand_.item));
  char* to = all.data();
  for_elements([&](const char* at) {
    copy_item(to, at, operand_.item, layout_.swapped);
    to += operand_.item;
  });
  return all;
}

bool Memory::is_untouched_between() {
  for_elements([&](char* at) {
    std::memcpy(at, before_.data() + (at - bytes_.get()), static_cast<std::size_t>(operand_.item));
  });
  return std::equal(before_.begin(), before_.end(), bytes_.get());
}

template <class Visit>
void Memory::for_elements(Visit visit) const {
  const std::int64_t count = operand_.count();
  const int rank = operand_.rank;
  std::int64_t index[kMostAxes] = {}, place = first_;
  for (std::int64_t i = 0; i < count; ++i) {
    visit(bytes_.get() + place);
    for (int axis = rank - 1; axis >= 0; --axis) {
      place += layout_.strides[axis];
      if (++index[axis] < operand_.shape[axis]) break;
      place -= operand_.shape[axis] * layout_.strides[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace fuzz
