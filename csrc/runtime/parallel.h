// SPDX-License-Identifier: BSD-3-Clause
// Threads: how many, and running one function on all of them. The only file that knows OpenMP.
#pragma once
#include <functional>

namespace fastdrop {

// How many threads a large call made by this thread would use: the smallest of fastdrop's own limit and
// OpenMP's limit in this thread (OMP_NUM_THREADS, threadpoolctl); 1 inside a parallel region, and 1 in a
// process that was forked after threads had run. Throws std::invalid_argument if FASTDROP_NUM_THREADS is
// not a whole number of at least 1.
int thread_count();

// Sets fastdrop's own limit for the whole process. It starts as FASTDROP_NUM_THREADS, else without limit.
void set_thread_limit(int limit);

// Calls part(number, count) for number = 0 .. count - 1, in parallel, with count <= wanted; part must not
// throw. Every call runs in the default floating-point environment (round to nearest, subnormals kept,
// nothing trapped), and every thread gets its own back afterwards.
void run_parts(int wanted, const std::function<void(int number, int count)>& part);

// Whether fastdrop was built with OpenMP.
bool has_openmp();

}  // namespace fastdrop
