// SPDX-License-Identifier: BSD-3-Clause
// How many threads a call may use. The only files that know OpenMP, which is asked for its limits.
#pragma once

namespace fastdrop {

// How many threads a large call made by this thread would use: the smaller of fastdrop's own limit and
// OpenMP's limit in this thread (OMP_NUM_THREADS, threadpoolctl; without OpenMP the processors that this
// process may use); 1 inside an OpenMP parallel region. Throws std::invalid_argument if
// FASTDROP_NUM_THREADS is not a whole number of at least 1.
int thread_count();

// Sets fastdrop's own limit for the whole process, and returns the one before. It starts as
// FASTDROP_NUM_THREADS, else as the greatest int. Throws like thread_count().
int set_thread_limit(int limit);

// Whether OpenMP's limits are asked.
bool has_openmp();

}  // namespace fastdrop
