// SPDX-License-Identifier: BSD-3-Clause
// The decisions of DropBlock: blocks that begin where a mask drops.
#pragma once
#include "request.h"

namespace fastdrop {

// Writes the decisions of an array of that shape as the bits of a kStored mask, and returns how many are
// kept, or writes any if it is interrupted. `corners` is the mask of the elements at which a whole block can
// begin, in C order. Such an element drops the block of that shape that begins there.
std::uint64_t draw_blocks(const MaskState& corners, int rank, const std::int64_t* shape,
                          const std::int64_t* block, std::uint64_t* bits, Interrupt* interrupt);

}  // namespace fastdrop
