// SPDX-License-Identifier: BSD-3-Clause
// Shares out the chunks of one job over threads.
#pragma once
#include <cstdint>
#include <functional>

namespace fastdrop {

// Calls run_chunk(0, count) ... run_chunk(count - 1, count), each once, on at most that many threads, the
// caller's among them, and no more than thread_count(), whose exception is thrown before any chunk. Chunks
// must not throw. Every call runs in the default floating-point environment (round to nearest, subnormals
// kept, nothing trapped), and every thread gets its own back afterwards.
void run_chunks(std::uint64_t worthwhile_threads, const std::function<void(int chunk, int count)>& run_chunk);

}  // namespace fastdrop
