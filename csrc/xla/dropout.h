// SPDX-License-Identifier: BSD-3-Clause
// Dropout as XLA calls it, on its own threads and without Python. No exception leaves it.
#pragma once
#include "ffi.h"

namespace fastdrop::xla {

// Arguments: x (batch..., shape...), and for each of the batch an array of 32-bit words, (batch..., words):
//   the key's four, the stream's two, the place of this shard along each axis that is split, and p as a
//   float32 or float64 where it is not an attribute.
// Result: y like x.
// Attributes: generator (int64, its place in kKeepRuleNames), p (float64), strides (int64s, in index space
//   along each axis of shape), steps (int64s: how far the next shard is along each axis that is split, in
//   index space).
Error* dropout(CallFrame* frame) noexcept;

// XLA asks a handler which version it was written for, and takes its own and some older ones: this one is
// written for each, as far as kMinorVersion. Say XLA's own before the handler is registered.
void speak(int minor);

}  // namespace fastdrop::xla
