// SPDX-License-Identifier: BSD-3-Clause
// Every operation once, as data: what it reads and writes, its constants, and where its decisions come from.
// The table of kernels, the core's `run`, the strided walk, the tests and the benchmark follow from these
// rows.
#pragma once
#include <stdint.h>

namespace fastdrop {

// The places of the rows below.
enum Operation : int {
  kDropout,
  kAlphaDropout,
  kGaussianDropout,
  kKeepMask,
  kBiasDropoutAdd,
  kBiasDropoutAddBackward,
  kDropoutAddLayerNorm,
  kDropoutAddLayerNormBackward,
  kDropoutAddRmsNorm,
  kDropoutAddRmsNormBackward,
  kSoftmaxDropout,
  kSoftmaxDropoutBackward,
  kAttentionBackward,
  kLogSoftmax,
  kLogSoftmaxBackward,
  kCrossEntropy,
  kOperationCount
};

constexpr int kMaxInputs = 6, kMaxOutputs = 5, kMaxConstants = 4;
constexpr int kMaxOperands = kMaxInputs + kMaxOutputs;

// One value for every element, for every index along the last axis, or for every index along all the others.
enum Access : uint8_t { kFull, kPerColumn, kPerRow };

// The type of the data, or the type that it is computed with: float32 for values of 16 bits.
enum OperandType : uint8_t { kElementType, kComputeType };

// An input that is absent has a value that changes no bit. An optional output need not be wanted. An output
// per column is a sum over the rows.
struct OperandInfo {
  const char* name;
  Access access = kFull;
  OperandType type = kElementType;
  bool optional = false;
  bool is_factor = false;  // or an addend; where it is absent it is 1, or -0.0
};
constexpr OperandInfo optional(const char* name, Access access = kFull) {
  return {name, access, access == kFull ? kElementType : kComputeType, true};
}
constexpr OperandInfo optional_weight() { return {"weight", kPerColumn, kComputeType, true, true}; }
constexpr OperandInfo per_row(const char* name) { return {name, kPerRow, kComputeType}; }

// A constant's neutral value matters where an operation may copy bits, see `copies_where_kept`.
struct ConstantInfo {
  const char* name;
  double neutral = 0;
};
constexpr double kAnyValue = __builtin_nan("");  // neutral whatever it is: only what is dropped uses it

// Where an operation's decisions come from. kFromBytes: from bytes, which the runtime has written before.
// kInline: also from kernels that draw them on the way, where the table has such a kernel. kNormals: from
// kernels that draw normal numbers instead of decisions.
enum Draw : uint8_t { kFromBytes, kInline, kNormals };

struct OperationInfo {
  const char* name;
  OperandInfo inputs[kMaxInputs], outputs[kMaxOutputs];  // those with a name
  ConstantInfo constants[kMaxConstants];                 // those with a name
  Draw draw = kFromBytes;
  bool copies_where_kept = false;   // y has x's bits where everything is kept and all constants are neutral
  bool zero_where_dropped = false;  // y is +0.0 where an element is dropped, whatever the inputs
  bool whole_rows = false;          // kernels work on rows (RowKernel), the last axis being one
  bool varies_inline = false;       // with kInline: such kernels also draw by a p that varies
  bool reduces_rows = false;        // with whole_rows: work is cut between rows only
};
constexpr OperationInfo on_rows(OperationInfo info) {
  info.whole_rows = true;
  return info;
}
constexpr OperationInfo along_rows(OperationInfo info) {
  info.whole_rows = info.reduces_rows = true;
  return info;
}

// The values of the constant `activation`.
enum Activation : int { kIdentity, kRelu, kGelu, kGeluTanh, kSilu, kActivationCount };

constexpr OperationInfo kOperations[] = {
    {"dropout", {{"x"}}, {{"y"}}, {{"scale", 1}}, kInline, true, true, false, true},
    {"alpha_dropout", {{"x"}}, {{"y"}}, {{"scale", 1}, {"shift", 0}, {"dropped", kAnyValue}}, kInline, true},
    {"gaussian_dropout", {{"x"}}, {{"y"}}, {{"deviation", 0}}, kNormals, true},
    {"keep_mask", {}, {{"keep"}}, {}, kInline, false, true, false, true},
    on_rows({"bias_dropout_add",
             {{"x"}, optional("bias", kPerColumn), optional("residual")},
             {{"y"}},
             {{"scale"}, {"activation"}}}),
    on_rows({"bias_dropout_add_backward",
             {{"dy"}, optional("x"), optional("bias", kPerColumn), optional("y")},
             {{"dx"}, optional("dbias", kPerColumn)},
             {{"scale"}, {"activation"}}}),
    along_rows({"dropout_add_layer_norm",
                {{"x"},
                 optional("residual"),
                 optional_weight(),
                 optional("bias", kPerColumn),
                 optional("x_bias", kPerColumn)},
                {{"y"}, optional("h"), per_row("mean"), per_row("rstd")},
                {{"scale"}, {"eps"}}}),
    along_rows({"dropout_add_layer_norm_backward",
                {{"dy"}, {"h"}, per_row("mean"), per_row("rstd"), optional_weight(), optional("dh")},
                {{"dx"},
                 optional("dresidual"),
                 optional("dweight", kPerColumn),
                 optional("dbias", kPerColumn),
                 optional("dx_bias", kPerColumn)},
                {{"scale"}}}),
    along_rows({"dropout_add_rms_norm",
                {{"x"}, optional("residual"), optional_weight(), optional("x_bias", kPerColumn)},
                {{"y"}, optional("h"), per_row("rstd")},
                {{"scale"}, {"eps"}}}),
    along_rows(
        {"dropout_add_rms_norm_backward",
         {{"dy"}, {"h"}, per_row("rstd"), optional_weight(), optional("dh")},
         {{"dx"}, optional("dresidual"), optional("dweight", kPerColumn), optional("dx_bias", kPerColumn)},
         {{"scale"}}}),
    along_rows({"softmax_dropout",
                {{"scores"}, optional("attn_mask")},
                {{"y"}, optional("weights"), optional("lse", kPerRow)},
                {{"scale"}, {"factor"}, {"visible"}}}),
    along_rows({"softmax_dropout_backward", {{"dy"}, {"weights"}}, {{"dscores"}}, {{"scale"}, {"factor"}}}),
    along_rows({"attention_backward",
                {{"dweights"}, {"scores"}, optional("attn_mask"), per_row("lse"), per_row("delta")},
                {{"dscores"}, {"dropped"}},
                {{"scale"}, {"factor"}, {"visible"}}}),
    along_rows({"log_softmax", {{"x"}}, {{"y"}}, {}}),
    along_rows({"log_softmax_backward", {{"dy"}, {"y"}}, {{"dx"}}, {}}),
    along_rows(
        {"cross_entropy", {{"logits"}, per_row("targets")}, {{"dlogits"}, per_row("loss")}, {{"factor"}}}),
};
static_assert(sizeof kOperations / sizeof *kOperations == kOperationCount, "a row for every operation");

}  // namespace fastdrop
