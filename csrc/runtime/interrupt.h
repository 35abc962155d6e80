// SPDX-License-Identifier: BSD-3-Clause
// Whether a call that lasts long is to end before its work is done, as Ctrl-C in Python wants.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "tuning.h"

namespace fastdrop {

class Interrupt {
 public:
  // `is_wanted(context)` says so. It is asked on this thread only, a kPollInterval after another.
  Interrupt(bool (*is_wanted)(void* context), void* context) : is_wanted_(is_wanted), context_(context) {}

  // Whether to stop, after a piece of work on that many elements. All threads of the call ask; the first one
  // asks `is_wanted` when the time has come. Reading the clock takes as long as a hundred elements.
  bool stops(std::uint64_t elements) {
    if (stopped_.load(std::memory_order_relaxed)) return true;
    if (std::this_thread::get_id() != owner_) return false;
    elements_ += elements;
    if (elements_ < kBlockDecisions) return false;
    elements_ = 0;
    const auto now = std::chrono::steady_clock::now();
    if (next_ == Time{}) next_ = now + kPollInterval;  // not when the object is made: most calls never ask
    if (now < next_) return false;
    const bool stops = is_wanted_(context_);
    stopped_.store(stops, std::memory_order_relaxed);
    next_ = std::chrono::steady_clock::now() + kPollInterval;
    return stops;
  }

 private:
  using Time = std::chrono::steady_clock::time_point;

  bool (*const is_wanted_)(void*);
  void* const context_;
  const std::thread::id owner_ = std::this_thread::get_id();
  Time next_{};
  std::uint64_t elements_ = 0;  // since the last look at the clock
  std::atomic<bool> stopped_{false};
};

// Without an interrupt nothing stops a call.
inline bool stops(Interrupt* interrupt, std::uint64_t elements = kPieceElements) {
  return interrupt != nullptr && interrupt->stops(elements);
}

}  // namespace fastdrop
