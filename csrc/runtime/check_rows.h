// SPDX-License-Identifier: BSD-3-Clause
// What is asked of run_rows() wrongly, by whoever calls the core itself. Both throw std::invalid_argument.
#pragma once
#include "request.h"

namespace fastdrop {

// That operands are contiguous along the last axis, aligned, and in native byte order.
void check_rows(const Request& request);

// That those which are there are those of a formula in reference/fused.py: of relu's gradient the result,
// which says what was kept, or the input; and h where something is done to x.
void check_choice(const Request& request);

}  // namespace fastdrop
