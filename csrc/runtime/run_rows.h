// SPDX-License-Identifier: BSD-3-Clause
// Operations whose kernels work on rows: the last axis of the window. Their sums have an order of their own
// (docs/numerics.md, section 10).
#pragma once
#include "request.h"

namespace fastdrop {

// As run(), but operands may have strides: along the last axis all are contiguous, and all are aligned and in
// native byte order. Sums, which are outputs per column, are contiguous. The data of an absent input, and of
// an output that is not wanted, are null. Before anything is written it throws std::bad_alloc, and
// std::invalid_argument where the operands that are there are not those of a formula.
void run_rows(const Request& request);

}  // namespace fastdrop
