// SPDX-License-Identifier: BSD-3-Clause
// Operands that are contiguous in another order of axes than the window's.
#pragma once
#include "request.h"

namespace fastdrop {

// As run_strided(), if all operands lie in memory in one and the same order of axes, without gaps. Otherwise
// nothing is done, and the answer is false.
bool run_transposed(const Request& request);

}  // namespace fastdrop
