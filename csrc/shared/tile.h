// SPDX-License-Identifier: BSD-3-Clause
// The unit of work: a tile is four registers of generator blocks, so that its size is the ISA's.
#pragma once

namespace fastdrop {

constexpr int kBlockElements = 8;  // a 128-bit block holds eight 16-bit numbers
constexpr int kTileVectors = 4;
constexpr int kPartElements = 128;  // the largest tile; threads' parts begin at multiples of it

}  // namespace fastdrop
