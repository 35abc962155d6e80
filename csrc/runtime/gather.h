// SPDX-License-Identifier: BSD-3-Clause
// Decisions in the order of a window whose elements are not consecutive in the whole mask.
#pragma once
#include <cstdint>

#include "rows.h"
#include "tuning.h"

namespace fastdrop {

// Writes the decisions at the positions from `first` to `last`, at most kBlockDecisions, as bytes. keep_mask
// writes those of a run of indices, and `keep` says of which mask. Where p varies, rows must have stride 1,
// and `keep` points to the thresholds from position `first` on.
void gather(const Rows& rows, Kernel keep_mask, const KeepArgs& keep, std::uint64_t first, std::uint64_t last,
            std::uint8_t* bytes);

// Writes every decision `repeat` times, the first one only `repeat - skip` times, `count` bytes in all. May
// overwrite up to kMaxOverwrite bytes after them.
constexpr std::uint64_t kMaxOverwrite = 64;
void repeat_each(const std::uint8_t* decisions, std::uint64_t repeat, std::uint64_t skip, std::uint64_t count,
                 std::uint8_t* bytes);

}  // namespace fastdrop
