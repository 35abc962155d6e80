// SPDX-License-Identifier: BSD-3-Clause
// From a request over contiguous operands to runs of consecutive indices to the chosen kernel.
#pragma once
#include "request.h"
#include "scratch.h"

namespace fastdrop {

// The operands' strides are not looked at: all are C-contiguous, in the shape that their access leaves of the
// window's. An output may be an input of the same access and type. The result does not depend on the number
// of threads or on the ISA. Throws, before anything is written: std::invalid_argument where an environment
// variable is wrong (see isa_registry.h and thread_limit.h), std::bad_alloc without memory. If the request is
// interrupted, some elements of the outputs are as they were.
void run(const Request& request);

// The same on this thread alone, in the default floating-point environment. Throws nothing, if
// `current_isa()` has been called before.
void run_here(const Request& request, Scratch& scratch);

// Writes the decisions about so many elements of the window, from `first` on in its own order, as bytes; else
// as run_here().
void decide(const MaskState& mask, const Window& window, std::uint64_t first, std::uint64_t count,
            std::uint8_t* bytes, Scratch& scratch);

}  // namespace fastdrop
