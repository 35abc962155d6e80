// SPDX-License-Identifier: BSD-3-Clause
#include "parsed_request.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "../runtime/operands.h"

namespace fastdrop {

ParsedRequest::ParsedRequest(Operation operation, PyObject* given_mask, PyObject* const* given_constants)
    : request{operation, kElementCount, {}, {}, {}, {}, {}} {
  const OperationInfo& info = kOperations[operation];
  const MaskStateObject& mask = mask_state(given_mask);
  request.mask = mask.state;
  request.window = mask.window();
  if (mask.rank() == 0 && (info.whole_rows || has_row_ends(info)))
    throw std::invalid_argument("an operation on rows needs an axis");
  if (info.draw == kNormals && mask.state.rule >= kGeneratorCount)
    throw std::invalid_argument("normal numbers come from a generator, not from stored bits");
  if (mask.p != nullptr) request.mask.p = p_.parse(mask.p, request.window);
  for (int i = 0; i < constant_count(info); ++i)
    request.constants[i] = constants_[i].parse(given_constants[i], request.window);
  if (info.whole_rows) check_row_constants();
}

// Only the scale is read for every element.
void ParsedRequest::check_row_constants() const {
  const OperationInfo& info = kOperations[request.operation];
  for (int i = 0; i < constant_count(info); ++i) {
    const Value& value = request.constants[i];
    const auto is = [&](const char* name) { return std::strcmp(info.constants[i].name, name) == 0; };
    if (value.varying != nullptr && !is("scale"))
      throw std::invalid_argument("only the scale may be a Broadcast");
    const bool is_count = value.constant >= 0 && std::trunc(value.constant) == value.constant;
    if (is("activation") && !(is_count && value.constant < kActivationCount))
      throw std::invalid_argument("no such activation");
    if (is("visible") && !is_count) throw std::invalid_argument("visible must be a count, or infinity");
  }
}

}  // namespace fastdrop
