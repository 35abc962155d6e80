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

// Sums along a row are made of so many partial sums (docs/numerics.md, section 10).
constexpr int kPartialSums = 32;
// Rows are worked on in strips of at most so many bytes of the type that is computed with: eight registers of
// the widest ISA.
constexpr int kStripBytes = 512;

// After so many elements of a row, at most, a kernel asks whether to stop. All strips divide it.
constexpr int kRowPieceElements = 1 << 18;
// A row of this size stays in the first-level cache beside what it is made of. Chosen.
constexpr int kRoomBytes = 4096;

// What a long sequence of ARS blocks needs (kernels/generators.h): what 256 of them begin with.
constexpr int kSequenceBytes = 256 * 16;

// What drawing bits needs: a generator and its counters in the widest registers; and bytes after the bits,
// because tiles are drawn together, and a strip's bits are read by words, one more than it has. The kernels'
// keep_bits.h and rows/strip_bits.h check that these are enough.
constexpr int kDrawingBytes = 1280;
constexpr int kKeepBitsSlack = 4 * kMaxTileElements / 8;

}  // namespace fastdrop
