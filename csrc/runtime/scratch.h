// SPDX-License-Identifier: BSD-3-Clause
// The buffers of one thread of a job. They are not on its stack, of which a thread may have little: 128 KiB
// with musl, 32 KiB with Python's threading.stack_size(32768). A job allocates them before it writes
// anything.
#pragma once
#include <cstdint>
#include <optional>

#include "rows.h"
#include "tuning.h"

namespace fastdrop {

// May be overwritten after the last decision that repeat_each() writes.
constexpr std::uint64_t kMaxOverwrite = 64;

struct Scratch {
  alignas(64) char sequence[kSequenceBytes];                  // as in KernelArgs
  std::uint8_t distinct[kBlockDecisions + kMaxTileElements];  // decisions as bytes, each once,
  std::uint8_t
      repeated[kBlockDecisions + kMaxOverwrite + kMaxTileElements];  // and as often as elements share them
  std::uint8_t cached[kBlockDecisions];                              // those of a KeepCache
  std::optional<Rows> rows;  // of the request that this thread works on by itself
  char saved[kSavedBytes];   // what in place would be overwritten too early
};

}  // namespace fastdrop
