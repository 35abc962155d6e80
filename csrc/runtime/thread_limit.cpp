// SPDX-License-Identifier: BSD-3-Clause
#include "thread_limit.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>

#if defined(FASTDROP_OPENMP)
#include <omp.h>
#endif

namespace fastdrop {
namespace {

constexpr int kNoLimit = std::numeric_limits<int>::max();
constexpr int kNotRead = 0;

std::atomic<int> limit{kNotRead};

int limit_from_environment() {
  const char* text = std::getenv("FASTDROP_NUM_THREADS");
  if (text == nullptr || *text == '\0') return kNoLimit;
  char* end;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 1)
    throw std::invalid_argument("environment variable FASTDROP_NUM_THREADS is '" + std::string(text) +
                                "'; it must be a whole number of at least 1");
  return static_cast<int>(std::min<long>(value, kNoLimit));
}

int own_limit() {
  int current = limit.load(std::memory_order_relaxed);
  if (current == kNotRead) {
    const int initial = limit_from_environment();
    if (limit.compare_exchange_strong(current, initial)) current = initial;
  }
  return current;
}

int system_limit() {
#if defined(FASTDROP_OPENMP)
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  cpu_set_t usable;
  return sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable) : 1;
#endif
}

}  // namespace

int thread_count() { return std::min(own_limit(), system_limit()); }

int set_thread_limit(int new_limit) {
  own_limit();  // reads the environment the first time
  return limit.exchange(new_limit, std::memory_order_relaxed);
}

bool has_openmp() {
#if defined(FASTDROP_OPENMP)
  return true;
#else
  return false;
#endif
}

}  // namespace fastdrop
