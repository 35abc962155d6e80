// SPDX-License-Identifier: BSD-3-Clause
// Where a MaskGenerator's masks come from: a generator, a key, and the streams that have been handed out.
#pragma once
#include <Python.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>

#include "../runtime/request.h"

namespace fastdrop {

// Each stream is handed out once, whichever threads ask. An atomic number takes 5 ns, where a lock in Python
// took 110 ns, as much as the kernel and all around it on 64 elements.
class StreamCounter {
 public:
  static constexpr std::uint64_t kCount = std::uint64_t{1} << 63;  // stream document, section 2

  explicit StreamCounter(std::uint64_t handed_out) : next_(handed_out) {}

  // Throws std::invalid_argument when there are no more. A refusal must not count, so this is no mere
  // addition.
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

struct MaskSource {
  PyObject ob_base;
  KeepRule rule;
  std::uint64_t key[2];
  StreamCounter streams;
};

// The type _core.MaskSource, made once. False, with a Python exception set, if that fails.
bool add_mask_source(PyObject* module);

// The state of the next stream, a new object. A state that is refused takes no stream. Throws and returns
// null as new_mask_state() does, and throws std::invalid_argument when there are no more streams.
PyObject* next_mask_state(MaskSource& source, PyObject* p, PyObject* shape, PyObject* strides);

// Throws std::invalid_argument if that is no MaskSource.
MaskSource& mask_source(PyObject* object);

}  // namespace fastdrop
