// SPDX-License-Identifier: BSD-3-Clause
// What every call on memory gets from Python, apart from the memory.
#pragma once
#include "mask_state.h"

namespace fastdrop {

// A request whose element type and operands are missing. It points into itself and into the Python objects.
class ParsedRequest {
 public:
  // Throws std::invalid_argument if that is no mask, if the operation cannot work with it, or if a constant
  // is neither a float nor a Broadcast.
  ParsedRequest(Operation operation, PyObject* given_mask, PyObject* const* given_constants);

  Request request;

 private:
  void check_row_constants() const;

  ValueArgument p_, constants_[kMaxConstants];
};

}  // namespace fastdrop
