// SPDX-License-Identifier: BSD-3-Clause
// Shares out the chunks of one job over threads.
#pragma once
#include <cstdint>
#include <functional>

#include "interrupt.h"

namespace fastdrop {

// How a job is shared out: over at most so many threads, in so many chunks.
struct Sharing {
  int threads, chunks;
};

// For that many elements, of which each thread shall have a number that is worth waking it. A chunk is a
// kPieceElements or less. Throws as thread_count() does.
Sharing share_out(std::uint64_t element_count, std::uint64_t elements_per_thread);

// Calls run_chunk(0, thread) ... run_chunk(chunks - 1, thread), each once, or fewer if the call is
// interrupted. `thread` is less than sharing.threads, and one that no other thread has meanwhile; the
// caller's is 0. Chunks must not throw. Every call runs in the default floating-point environment (round to
// nearest, subnormals kept, nothing trapped), and every thread gets its own back afterwards.
void run_chunks(const Sharing& sharing, Interrupt* interrupt,
                const std::function<void(int chunk, int thread)>& run_chunk);

}  // namespace fastdrop
