// SPDX-License-Identifier: BSD-3-Clause
#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>

#if defined(FASTDROP_OPENMP)
#include <omp.h>
#include <pthread.h>
#endif

#include "floating_point.h"

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

#if defined(FASTDROP_OPENMP)
// libgomp keeps its worker threads in a pool that fork() does not copy: a parallel region in a child whose
// parent has run one waits for them for ever. Such a child therefore stays on one thread.
std::atomic<bool> threads_have_run{false};
std::atomic<bool> forked_after_threads{false};

void mark_child() { forked_after_threads = threads_have_run.load(); }

void mark_threads_run() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, mark_child); });
  threads_have_run.store(true, std::memory_order_relaxed);
}

int openmp_limit() {
  if (omp_in_parallel() || forked_after_threads.load(std::memory_order_relaxed)) return 1;
  return omp_get_max_threads();
}
#else
int openmp_limit() { return 1; }
#endif

}  // namespace

int thread_count() { return std::min(own_limit(), openmp_limit()); }

void set_thread_limit(int new_limit) { limit.store(new_limit, std::memory_order_relaxed); }

void run_parts(int wanted, const std::function<void(int, int)>& part) {
#if defined(FASTDROP_OPENMP)
  if (wanted > 1) {
    mark_threads_run();
    // The plainest region there is: whichever libgomp the process loaded first, it has these symbols. The
    // team may be smaller than was wanted, so the parts are counted inside.
#pragma omp parallel num_threads(wanted)
    {
      const DefaultFloatingPoint environment;
      part(omp_get_thread_num(), omp_get_num_threads());
    }
    return;
  }
#endif
  static_cast<void>(wanted);
  const DefaultFloatingPoint environment;
  part(0, 1);
}

bool has_openmp() {
#if defined(FASTDROP_OPENMP)
  return true;
#else
  return false;
#endif
}

}  // namespace fastdrop
