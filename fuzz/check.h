// SPDX-License-Identifier: BSD-3-Clause
// Calls of the core's entry points, and their results against the oracle's.
#pragma once
#include "../csrc/dispatch/isa_registry.h"
#include "case.h"

namespace fuzz {

// run(), run_strided() and run_rows(): on every instruction set of this processor, in the layout that was
// drawn and contiguously.
void check_operation(const Case& request, int threads);

// decide(), of a part of a window.
void check_decide(Bytes& bytes);
// draw_blocks(): DropBlock.
void check_blocks(Bytes& bytes);
// The kernels that have no operation: generate, pack_bits, widen_drops, count_bits and the functions.
void check_kernels(Bytes& bytes);

// Says what was found, and ends the process.
[[noreturn]] void report(const std::string& what);

// The instruction sets of this processor, the portable one first.
const std::vector<const fastdrop::Isa*>& isas();

}  // namespace fuzz
