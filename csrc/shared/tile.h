// SPDX-License-Identifier: BSD-3-Clause
// The unit of work: a tile is four registers of generator blocks, so that its size is the ISA's.
#pragma once

namespace fastdrop {

constexpr int kBlockElements = 8;  // a 128-bit block holds eight 16-bit words
constexpr int kTileVectors = 4;
constexpr int kMaxTileElements = 128;  // every ISA's tile size divides it
// So many elements before a run and after it have a threshold that can be read: kernels work on whole tiles,
// and compare some of them ahead.
constexpr int kThresholdsBeside = 2 * kMaxTileElements;

}  // namespace fastdrop
