// SPDX-License-Identifier: BSD-3-Clause
// Operands of any layout: cut into blocks, which run() works on one by one.
#pragma once
#include "request.h"

namespace fastdrop {

// run(), at any alignment and in either byte order, allocating nothing that grows with the data. An output is
// an input of the same access and type, element by element, or shares no memory with any operand, and its
// elements none with each other.
void run_strided(const Request& request);

}  // namespace fastdrop
