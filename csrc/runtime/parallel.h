// SPDX-License-Identifier: BSD-3-Clause
// Threads: how many, and sharing out the parts of one job. The only file that knows threads or OpenMP.
#pragma once
#include <cstdint>
#include <functional>

namespace fastdrop {

// How many threads a large call made by this thread would use: the smaller of fastdrop's own limit and
// OpenMP's limit in this thread (OMP_NUM_THREADS, threadpoolctl; without OpenMP the processors that this
// process may use); 1 inside an OpenMP parallel region. Throws std::invalid_argument if
// FASTDROP_NUM_THREADS is not a whole number of at least 1.
int thread_count();

// Sets fastdrop's own limit for the whole process, and returns the one before. It starts as
// FASTDROP_NUM_THREADS, else as the greatest int. Throws like thread_count().
int set_thread_limit(int limit);

// Calls part(0, count) ... part(count - 1, count), each once, on at most that many threads, the caller's
// among them, and no more than thread_count(), whose exception is thrown before any part. Parts must not
// throw. Every call runs in the default floating-point environment (round to nearest, subnormals kept,
// nothing trapped), and every thread gets its own back afterwards.
void run_parts(std::uint64_t worthwhile_threads, const std::function<void(int number, int count)>& part);

// Whether OpenMP's limits are asked.
bool has_openmp();

}  // namespace fastdrop
