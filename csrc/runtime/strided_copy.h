// SPDX-License-Identifier: BSD-3-Clause
// Copies a few elements, which fit a cache, from one layout to another.
#pragma once
#include <cstdint>

#include "tuning.h"

namespace fastdrop {

// A line of each of the items that a line has, which are bytes at the least.
constexpr std::int64_t kBetweenBytes = kCacheLineBytes * kCacheLineBytes;

struct StridedCopy {
  int rank;
  const std::int64_t* shape;
  const std::int64_t* from_strides;  // in bytes
  const std::int64_t* to_strides;
  std::int64_t item_bytes;  // 1, 2, 4 or 8
  bool swapped;             // reverses the bytes of every item
  char* between;            // kBetweenBytes of memory, where lines are transposed
};

// At any alignment. The two sides do not overlap.
void strided_copy(const StridedCopy& copy, const char* from, char* to);

}  // namespace fastdrop
