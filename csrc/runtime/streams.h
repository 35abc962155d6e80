// SPDX-License-Identifier: BSD-3-Clause
// The streams of one key: each is handed out once, whichever threads ask. An atomic number takes 5 ns, where
// a lock in Python took 110 ns, as much as the kernel and all around it on 64 elements.
#pragma once
#include <atomic>
#include <cstdint>
#include <stdexcept>

namespace fastdrop {

class Streams {
 public:
  static constexpr std::uint64_t kCount = std::uint64_t{1} << 63;  // stream document, section 2

  explicit Streams(std::uint64_t handed_out) : next_(handed_out) {}

  // Throws std::invalid_argument when there are no more. That must not count, so this is no mere addition.
  std::uint64_t take() {
    std::uint64_t stream = next_.load(std::memory_order_relaxed);
    do {
      if (stream >= kCount)
        throw std::invalid_argument("all 2**63 streams of this MaskGenerator have been handed out");
    } while (!next_.compare_exchange_weak(stream, stream + 1, std::memory_order_relaxed));
    return stream;
  }

  std::uint64_t handed_out() const { return next_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> next_;
};

}  // namespace fastdrop
