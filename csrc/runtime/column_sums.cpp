// SPDX-License-Identifier: BSD-3-Clause
#include "column_sums.h"

#include <cstring>
#include <new>

#include "tuning.h"

namespace fastdrop {
namespace {

std::uint64_t divide_up(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

// How many nodes wait for their partner after so many blocks: a node of 2^i blocks for every bit i.
std::uint64_t nodes_after(std::uint64_t blocks) {
  return static_cast<std::uint64_t>(__builtin_popcountll(blocks));
}

template <class Value>
void add_values(char* to, const char* from, std::uint64_t count) {
  auto* const sums = reinterpret_cast<Value*>(to);
  const auto* const others = reinterpret_cast<const Value*>(from);
  for (std::uint64_t i = 0; i < count; ++i) sums[i] += others[i];
}

}  // namespace

ColumnSums::ColumnSums(const Request& request, std::uint64_t row_count, std::uint64_t length)
    : request_(request), length_(length), item_bytes_(kComputeBytes[request.element]) {
  const OperationInfo& info = kOperations[request.operation];
  for (int i = 0; i < operand_count(info.outputs); ++i)
    if (info.outputs[i].access == kPerColumn && request.outputs[i].data != nullptr)
      wanted_[wanted_count_++] = i;
  const std::uint64_t blocks = divide_up(row_count, kBlockRows);
  while (divide_up(blocks, blocks_per_task_) > kMostTasks) blocks_per_task_ *= 2, ++nodes_per_task_;
  task_count_ = divide_up(blocks, blocks_per_task_);
  values_ = static_cast<std::uint64_t>(wanted_count_) * length_;
  const std::uint64_t bytes = task_count_ * nodes_per_task_ * values_ * item_bytes_;
  if (blocks > 1 && bytes > 0) memory_ = static_cast<char*>(::operator new(bytes, std::align_val_t{64}));
}

ColumnSums::~ColumnSums() {
  if (memory_ != nullptr) ::operator delete(memory_, std::align_val_t{64});
}

char* ColumnSums::node(std::uint64_t task, std::uint64_t depth) const {
  return memory_ + (task * nodes_per_task_ + depth) * values_ * item_bytes_;
}

void ColumnSums::add(char* to, const char* from) const {
  if (item_bytes_ == sizeof(float))
    add_values<float>(to, from, values_);
  else
    add_values<double>(to, from, values_);
}

void ColumnSums::begin_block(std::uint64_t task, std::uint64_t block_of_task, char** outputs) const {
  const std::uint64_t bytes = length_ * item_bytes_;
  for (int i = 0; i < wanted_count_; ++i) {
    char*& sums = outputs[wanted_[i]];
    sums = memory_ == nullptr
               ? static_cast<char*>(request_.outputs[wanted_[i]].data)
               : node(task, nodes_after(block_of_task)) + static_cast<std::uint64_t>(i) * bytes;
    std::memset(sums, 0, bytes);
  }
}

void ColumnSums::end_block(std::uint64_t task, std::uint64_t block_of_task) const {
  if (memory_ == nullptr) return;
  std::uint64_t depth = nodes_after(block_of_task);
  for (std::uint64_t bit = 1; (block_of_task & bit) != 0; bit *= 2, --depth)
    add(node(task, depth - 1), node(task, depth));
}

void ColumnSums::end_task(std::uint64_t task, std::uint64_t blocks) const {
  if (memory_ == nullptr) return;
  for (std::uint64_t depth = nodes_after(blocks); depth > 1; --depth)
    add(node(task, depth - 2), node(task, depth - 1));
}

void ColumnSums::finish() const {
  const std::uint64_t bytes = length_ * item_bytes_;
  if (memory_ != nullptr)
    for (std::uint64_t step = 1; step < task_count_; step *= 2)
      for (std::uint64_t task = 0; task + step < task_count_; task += 2 * step)
        add(node(task, 0), node(task + step, 0));
  for (int i = 0; i < wanted_count_; ++i) {
    void* const to = request_.outputs[wanted_[i]].data;
    if (task_count_ == 0)
      std::memset(to, 0, bytes);
    else if (memory_ != nullptr)
      std::memcpy(to, node(0, 0) + static_cast<std::uint64_t>(i) * bytes, bytes);
  }
}

}  // namespace fastdrop
