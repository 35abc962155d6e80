// SPDX-License-Identifier: BSD-3-Clause
// Every operation once, as data: what it reads and writes, its constants, and where its decisions come from.
// The table of kernels, the core's `run`, the strided walk, the tests and the benchmark follow from these
// rows.
#pragma once
#include <stdint.h>

namespace fastdrop {

// The places of the rows below.
enum Operation : int { kDropout, kAlphaDropout, kGaussianDropout, kKeepMask, kOperationCount };

constexpr int kMaxInputs = 6, kMaxOutputs = 4, kMaxConstants = 4;
constexpr int kMaxOperands = kMaxInputs + kMaxOutputs;

// One value for every element, for every index along the last axis, or for every index along all the others.
enum Access : uint8_t { kFull, kPerColumn, kPerRow };

// The type of the data, or the type that it is computed with: float32 for values of 16 bits.
enum OperandType : uint8_t { kElementType, kComputeType };

struct OperandInfo {
  const char* name;
  Access access = kFull;
  OperandType type = kElementType;
};

// Where everything is kept and every constant is neutral, an operation of one input copies bits.
struct ConstantInfo {
  const char* name;
  double neutral;
};
constexpr double kAnyValue = __builtin_nan("");  // neutral whatever it is, since only what is dropped uses it
constexpr double kNever = __builtin_inf();       // what no constant is: the operation is never a copy

// Where an operation's decisions come from. kFromBytes: from bytes, which the runtime has written before.
// kInline: also from kernels that draw them on the way, where the table has such a kernel. kNormals: from
// kernels that draw normal numbers instead of decisions.
enum Draw : uint8_t { kFromBytes, kInline, kNormals };

struct OperationInfo {
  const char* name;
  OperandInfo inputs[kMaxInputs], outputs[kMaxOutputs];  // those with a name
  ConstantInfo constants[kMaxConstants];                 // those with a name
  bool whole_rows;                                       // a kernel's run is one whole row
  Draw draw;
};

constexpr OperationInfo kOperations[] = {
    {"dropout", {{"x"}}, {{"y"}}, {{"scale", 1}}, false, kInline},
    {"alpha_dropout", {{"x"}}, {{"y"}}, {{"scale", 1}, {"shift", 0}, {"dropped", kAnyValue}}, false, kInline},
    {"gaussian_dropout", {{"x"}}, {{"y"}}, {{"deviation", 0}}, false, kNormals},
    {"keep_mask", {}, {{"keep"}}, {}, false, kInline},
};
static_assert(sizeof kOperations / sizeof *kOperations == kOperationCount, "a row for every operation");

}  // namespace fastdrop
