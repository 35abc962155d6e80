// SPDX-License-Identifier: BSD-3-Clause
#include "check_rows.h"

#include <cstdint>
#include <stdexcept>

#include "operands.h"

namespace fastdrop {
namespace {

void check_rows_of(const Request& request, const OperandInfo& info, const Operand& operand) {
  const int rank = request.window.rank;
  const auto item = static_cast<std::int64_t>(item_bytes(info, request.element));
  bool walks = !operand.swapped &&
               reinterpret_cast<std::uintptr_t>(operand.data) % item_bytes(info, request.element) == 0;
  for (int axis = 0; axis < rank && operand.strides != nullptr; ++axis) {
    if (request.window.shape[axis] == 1 || !has_axis(info, axis, rank)) continue;
    if (request.window.shape[axis] == 0) return;  // nothing is there
    const bool is_along_row = axis == rank - 1 || info.access == kPerColumn;
    walks &= is_along_row ? operand.strides[axis] == item : operand.strides[axis] % item == 0;
  }
  if (!walks) throw std::invalid_argument("rows must be contiguous, aligned and in native byte order");
}

// Whether dropout does anything, as far as that can be seen without drawing.
bool drops_or_scales(const Request& request) {
  const bool may_drop =
      request.mask.rule == kStored || request.mask.p.varying != nullptr || request.mask.p.constant != 0;
  return may_drop || request.constants[0].varying != nullptr || request.constants[0].constant != 1;
}
bool is_there(const Operand& operand) { return operand.data != nullptr; }

}  // namespace

void check_choice(const Request& request) {
  if (element_count(request.window) == 0) return;  // and memory that is not there may be wanted
  const Operand *const in = request.inputs, *const out = request.outputs;
  const double activation = request.constants[1].constant;  // of a norm it is eps, which need not fit an int
  bool is_known = true;
  switch (request.operation) {
    case kBiasDropoutAddBackward:
      is_known = is_there(in[3]) ? activation == kRelu && !is_there(in[1]) && !is_there(in[2])
                                 : activation == kIdentity || is_there(in[1]);
      break;
    case kDropoutAddLayerNorm:
      is_known = is_there(out[1]) || !(is_there(in[1]) || is_there(in[4]) || drops_or_scales(request));
      break;
    case kDropoutAddRmsNorm:
      is_known = is_there(out[1]) || !(is_there(in[1]) || is_there(in[3]) || drops_or_scales(request));
      break;
    default:
      break;
  }
  if (!is_known) throw std::invalid_argument("the operation needs other operands");
}

void check_rows(const Request& request) {
  const OperationInfo& info = kOperations[request.operation];
  for (int i = 0; i < operand_count(info.inputs); ++i)
    check_rows_of(request, info.inputs[i], request.inputs[i]);
  for (int i = 0; i < operand_count(info.outputs); ++i)
    check_rows_of(request, info.outputs[i], request.outputs[i]);
}

}  // namespace fastdrop
