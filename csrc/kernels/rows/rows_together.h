// SPDX-License-Identifier: BSD-3-Clause
// How many rows a kernel takes through each of its passes: one row is a chain of sums, divisions and roots.
#pragma once
#include "../../shared/kernel_table.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// Several short ones, all of which stay in the first-level cache. Chosen.
constexpr uint64_t kRowsTogether = 16;
inline uint64_t rows_together(const RowArgs& args, uint64_t row) {
  const uint64_t most = args.length < 64 ? kRowsTogether : args.length < 512 ? kRowsTogether / 4 : 1;
  return args.row_count - row < most ? args.row_count - row : most;
}

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
