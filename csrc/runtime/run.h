// SPDX-License-Identifier: BSD-3-Clause
// From a request over contiguous operands to runs of consecutive indices to the chosen kernel.
#pragma once
#include "request.h"

namespace fastdrop {

// The operands' strides are not looked at: all are C-contiguous, in the shape that their access leaves of the
// window's. An output may be an input of the same access and type. The result does not depend on the number
// of threads or on the ISA. Throws std::invalid_argument where an environment variable is wrong (see
// isa_registry.h and thread_limit.h), before anything is written.
void run(const Request& request);

// Writes the decisions about so many elements of the window, from `first` on in its own order, as bytes; on
// this thread, in the default floating-point environment. `current_isa()` must have been called before.
void decide(const MaskState& mask, const Window& window, std::uint64_t first, std::uint64_t count,
            std::uint8_t* bytes);

}  // namespace fastdrop
