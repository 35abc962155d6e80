// SPDX-License-Identifier: BSD-3-Clause
// Decisions that do not lie in the mask as they do in the window: gathered as bits for a block of elements.
#pragma once
#include <cstdint>

#include "../shared/kernel_table.h"
#include "../shared/tile.h"
#include "rows.h"

namespace fastdrop {

// So many elements at a time: their decisions and their data stay in the first-level cache.
constexpr std::uint64_t kGatherElements = 32 * kPartElements;

// The decisions about the window's elements from first to last, at most kGatherElements, as bits from the
// first on, as kStored reads them. keep_mask writes a run's decisions as bytes; keep says which mask.
void gather(const Rows& rows, Kernel keep_mask, const KeepArgs& keep, std::uint64_t first, std::uint64_t last,
            std::uint8_t (&bits)[kGatherElements / 8]);

}  // namespace fastdrop
