// SPDX-License-Identifier: BSD-3-Clause
// The table of kernels on rows. Compiled as ../table.cpp is, but not for ISAs that differ from another one in
// how they draw only.
#include FASTDROP_ROWS_VEC  // first: the other headers use its names

#include "bias_dropout_add.h"
#include "cross_entropy.h"
#include "dropout_add_norm.h"
#include "evaluate.h"
#include "softmax_dropout.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// An operation, of every element type.
template <RowKernel float32, RowKernel float64, RowKernel float16, RowKernel bfloat16>
constexpr void add(RowTable& table, Operation operation) {
  RowKernel(&of)[kElementCount] = table.run[operation];
  of[kFloat32] = float32, of[kFloat64] = float64, of[kFloat16] = float16, of[kBFloat16] = bfloat16;
}
#define FASTDROP_ROWS(kernel) \
  &kernel<Float32Rows>, &kernel<Float64Rows>, &kernel<Float16Rows>, &kernel<BFloat16Rows>

constexpr RowTable fill() {
  RowTable table{};
  add<FASTDROP_ROWS(bias_dropout_add_rows)>(table, kBiasDropoutAdd);
  add<FASTDROP_ROWS(bias_dropout_add_backward_rows)>(table, kBiasDropoutAddBackward);
  add<FASTDROP_ROWS(dropout_add_layer_norm)>(table, kDropoutAddLayerNorm);
  add<FASTDROP_ROWS(dropout_add_layer_norm_backward)>(table, kDropoutAddLayerNormBackward);
  add<FASTDROP_ROWS(dropout_add_rms_norm)>(table, kDropoutAddRmsNorm);
  add<FASTDROP_ROWS(dropout_add_rms_norm_backward)>(table, kDropoutAddRmsNormBackward);
  add<FASTDROP_ROWS(softmax_dropout)>(table, kSoftmaxDropout);
  add<FASTDROP_ROWS(softmax_dropout_backward)>(table, kSoftmaxDropoutBackward);
  add<FASTDROP_ROWS(attention_backward)>(table, kAttentionBackward);
  add<FASTDROP_ROWS(log_softmax)>(table, kLogSoftmax);
  add<FASTDROP_ROWS(log_softmax_backward)>(table, kLogSoftmaxBackward);
  add<FASTDROP_ROWS(cross_entropy)>(table, kCrossEntropy);
  add_functions<Float32Lanes, float>(table, kFloat32);
  add_functions<Float64Lanes, double>(table, kFloat64);
  return table;
}

}  // namespace

extern const RowTable row_table;
constexpr RowTable row_table = fill();

}  // namespace fastdrop::FASTDROP_ISA
