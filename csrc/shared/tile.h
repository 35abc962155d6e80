// SPDX-License-Identifier: BSD-3-Clause
// The unit of work: a tile is 128 consecutive mask indices, which are 16 generator blocks.
#pragma once

namespace fastdrop {

constexpr int kBlockElements = 8;  // a 128-bit block holds eight 16-bit numbers
constexpr int kTileBlocks = 16;
constexpr int kTileElements = kTileBlocks * kBlockElements;

}  // namespace fastdrop
