// SPDX-License-Identifier: BSD-3-Clause
// The unit of work: a tile is four registers of generator blocks, so that its size is the ISA's.
#pragma once

namespace fastdrop {

constexpr int kBlockElements = 8;  // a 128-bit block holds eight 16-bit words
constexpr int kTileVectors = 4;
constexpr int kMaxTileElements = 128;  // every ISA's tile size divides it

}  // namespace fastdrop
