// SPDX-License-Identifier: BSD-3-Clause
// Operands of any layout: cut into blocks, which run() works on one by one.
#pragma once
#include "request.h"

namespace fastdrop {

// run(), at any alignment and in either byte order, allocating nothing that grows with the data. An output is
// one of the inputs (same access, type and strides), or shares no memory with any operand. No two of its
// elements share memory.
void run_strided(const Request& request);

}  // namespace fastdrop
