// SPDX-License-Identifier: BSD-3-Clause
// What the two worlds agree on: the arguments of a kernel, and the table of kernels that each ISA fills.
// Plain data only; a function defined here would be compiled with several sets of flags.
#pragma once
#include <stdint.h>

#include "operations.h"
#include "tile.h"

namespace fastdrop {

// kBool is keep_mask's alone.
enum Element : int { kFloat32, kFloat64, kFloat16, kBFloat16, kBool, kElementCount };
constexpr uint64_t kElementBytes[] = {4, 8, 2, 2, 1};
constexpr uint64_t kComputeBytes[] = {4, 8, 4, 4, 1};
static_assert(sizeof kElementBytes / sizeof *kElementBytes == kElementCount, "a size for every element type");
static_assert(sizeof kComputeBytes / sizeof *kComputeBytes == kElementCount, "a size for every element type");

// The generators, a user's bits, and decisions that the runtime has gathered.
enum KeepRule : int { kArs4x32, kPhilox4x32, kStored, kGathered, kKeepRuleCount };
constexpr int kGeneratorCount = kStored, kMaskRuleCount = kGathered;
// The names of the rules that masks have, in the enum's order; Python uses them too.
constexpr const char* kKeepRuleNames[kMaskRuleCount] = {"ars4x32-7", "philox4x32-10", "stored"};

// The part of a mask that does not change from element to element (stream document, sections 2 and 3).
struct KeepArgs {
  uint64_t key[2];
  uint64_t stream;
  uint32_t threshold_high;  // H, the upper 16 bits of D; H = 2^16 - 1 and L = 2^48 where D = 2^64
  uint64_t threshold_low;   // L, the lower 48 bits
  // Of a kernel where p varies: H and L of every element of the run, H with its top bit flipped. Readable
  // from kThresholdsBeside elements before the run to as many after it.
  const uint16_t* varying_high;
  const uint64_t* varying_low;
  // 1 keeps, and whole tiles can be read. kStored: index i is bit i % 8 of byte i / 8; kGathered: byte i.
  const uint8_t* decisions;
};

// One run of consecutive mask indices. The operands are those of the operation's row, each from the run's
// first element on: contiguous, and a single value where the access is per row. A run of an operation with
// an operand per column or per row does not pass the end of a row. An output may be an input of the same
// access and type.
struct KernelArgs {
  const void* inputs[kMaxInputs];
  void* outputs[kMaxOutputs];
  uint64_t start;  // mask index of the first element
  uint64_t element_count;
  KeepArgs keep;
  double constants[kMaxConstants];  // each is rounded once to the type that is computed with
  // Of a kernel where constants vary: a value of the compute type for every element. Readable from the
  // beginning of the run's first tile to the end of its last one.
  const void* varying_constants[kMaxConstants];
  // Write whole tiles with non-temporal stores, where the output is 16-byte aligned; no output is an input.
  bool non_temporal;
  bool prefetches;  // whether to prefetch inputs, where the ISA does
  char* sequence;   // kSequenceBytes, aligned by 64, or null: then long sequences are drawn as short ones are
};

using Kernel = void (*)(const KernelArgs&);

// Decisions of consecutive elements as bits, 1 for kept. A kernel asks for more when it comes near the end of
// those that there are, so that drawing and the data's way through memory overlap.
struct KeepBits {
  uint8_t* bits;   // readable and writable for kKeepBitsSlack bytes after the last one wanted
  uint64_t there;  // bits that are there; the greatest number where all are
  uint64_t wanted;
  uint64_t next_tile;                            // of the mask, to draw
  KeepRule rule;                                 // a generator, where bits are to be drawn
  KeepArgs mask;                                 // of what it draws
  void (*draw)(KeepBits& keep, uint64_t until);  // makes at least so many bits, or all
  alignas(64) char drawing[kDrawingBytes];       // the ISA's own
};

// Prepares `draw` for the decisions of keep.mask. Bits begin with a tile.
using BeginBits = void (*)(KeepBits& keep);

// Rows of an operation with whole_rows, whose elements are contiguous. An output may be an input of the same
// access and type.
struct RowArgs {
  // Of the first row. An absent input is kStripBytes of its neutral value; an output that is not wanted is
  // null. Outputs per column hold sums, to which the rows are added.
  const char* inputs[kMaxInputs];
  char* outputs[kMaxOutputs];
  int64_t input_rows[kMaxInputs], output_rows[kMaxOutputs];  // bytes from one row to the next
  bool is_there[kMaxInputs];                                 // false: the neutral values repeat
  const char* scale;  // of the compute type: a value for every column, or kStripBytes of one
  bool scale_varies;
  uint64_t row_count, length;
  uint64_t first_row, matrix_rows;  // the first one's number; rows that follow each other make a matrix
  KeepBits* keep;
  uint64_t first_bit;               // of the first row
  double constants[kMaxConstants];  // the scale's place is not used
  bool non_temporal, prefetches;    // as in KernelArgs
  char* room;                       // kRoomBytes, aligned by 64: what waits for the sum of its row
  // Whether a long row is to be left as it is, and the call to end.
  bool (*stops)(void* interrupt);
  void* interrupt;
};
using RowKernel = void (*)(const RowArgs&);

// For known-answer tests: words of consecutive blocks, counters (first + j mod 2^64, upper).
using GenerateKernel = void (*)(const uint64_t key[2], uint64_t first, uint64_t upper, uint64_t block_count,
                                uint32_t* words);

// What activations are made of, by name in Python; for tests. The core applies it inside its operations.
constexpr const char* kFunctionNames[] = {"exponential", "sigmoid", "normal_cdf"};
constexpr int kFunctionCount = sizeof kFunctionNames / sizeof *kFunctionNames;
using FunctionKernel = void (*)(const void* from, uint64_t count, void* to);

using PackKernel = void (*)(const uint8_t* bytes, uint64_t count, uint8_t* bits);
using WidenKernel = void (*)(uint64_t* words, uint64_t count, uint64_t distance);
using CountKernel = uint64_t (*)(const uint64_t* words, uint64_t count);

// A missing kernel of a generator or of stored bits means: gather first. (Normal numbers are not gathered.)
struct KernelTable {
  int tile_elements;
  Kernel run[kOperationCount][kElementCount][kKeepRuleCount];
  // The same where p and the constants vary from element to element.
  Kernel run_varying[kOperationCount][kElementCount][kKeepRuleCount];
  BeginBits begin_bits[kGeneratorCount];
  GenerateKernel generate[kGeneratorCount];
  PackKernel pack_bits;  // kernels/bits.h, as the next two
  WidenKernel widen_drops;
  CountKernel count_bits;
};

// Kernels on rows draw by a function that they are given, but for those of ISAs that draw inline. So ISAs
// that differ in drawing only share a table.
struct RowTable {
  RowKernel run[kOperationCount][kElementCount];
  FunctionKernel functions[kFunctionCount][kFloat64 + 1];  // of float32 and float64
};

}  // namespace fastdrop
