// SPDX-License-Identifier: BSD-3-Clause
// Decisions in the order of a window whose elements do not lie in the whole mask one after another.
#pragma once
#include <cstdint>

#include "../shared/kernel_table.h"
#include "../shared/tile.h"
#include "rows.h"

namespace fastdrop {

// So many at a time: they and their elements stay in the first-level cache.
constexpr std::uint64_t kBlockDecisions = 32 * kPartElements;

// The decisions with the numbers from `first` to `last`, at most kBlockDecisions, as bytes. keep_mask writes
// those of a run of indices, and keep says of which mask.
void gather(const Rows& rows, Kernel keep_mask, const KeepArgs& keep, std::uint64_t first, std::uint64_t last,
            std::uint8_t* bytes);

// Each of these decisions `repeat` times, the first one `missing` times less: `count` bytes. Writes up to
// kSpreadPast more.
constexpr std::uint64_t kSpreadPast = 64;
void spread(const std::uint8_t* decisions, std::uint64_t repeat, std::uint64_t missing, std::uint64_t count,
            std::uint8_t* bytes);

}  // namespace fastdrop
