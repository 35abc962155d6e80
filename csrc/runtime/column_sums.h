// SPDX-License-Identifier: BSD-3-Clause
// Sums over rows as a binary tree over blocks of 64 rows, which depends on the rows' numbers only. A task is
// a whole subtree: a run of 2^k blocks that begins at a multiple of it.
#pragma once
#include <cstdint>

#include "operands.h"

namespace fastdrop {

constexpr std::uint64_t kBlockRows = 64;

class ColumnSums {
 public:
  // For the sums that are wanted among the request's outputs. Allocates.
  ColumnSums(const Request& request, std::uint64_t row_count, std::uint64_t length);
  ~ColumnSums();
  ColumnSums(const ColumnSums&) = delete;
  ColumnSums& operator=(const ColumnSums&) = delete;

  std::uint64_t task_count() const { return task_count_; }
  std::uint64_t blocks_per_task() const { return blocks_per_task_; }

  // Sets the sums of the task's next block to zero and points to them, for each output.
  void begin_block(std::uint64_t task, std::uint64_t block_of_task, char** outputs) const;
  // Joins the block's sums with those before it that make a whole node of the tree.
  void end_block(std::uint64_t task, std::uint64_t block_of_task) const;
  // Joins what is left of a task of that many blocks.
  void end_task(std::uint64_t task, std::uint64_t blocks) const;
  // Joins the tasks and writes the sums.
  void finish() const;

 private:
  char* node(std::uint64_t task, std::uint64_t depth) const;
  void add(char* to, const char* from) const;

  const Request& request_;
  int wanted_[kMaxOutputs], wanted_count_ = 0;  // places of outputs
  std::uint64_t length_, item_bytes_, task_count_ = 1, blocks_per_task_ = 1, nodes_per_task_ = 1;
  std::uint64_t values_;    // of a node: all wanted sums
  char* memory_ = nullptr;  // null: one block, whose sums are the outputs
};

}  // namespace fastdrop
