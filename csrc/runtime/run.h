// SPDX-License-Identifier: BSD-3-Clause
// From a request to runs of consecutive indices to the chosen kernel: the whole C++ interface.
#pragma once
#include <cstdint>

#include "../shared/kernel_table.h"

namespace fastdrop {

// The numbers of a mask, less its window.
struct MaskNumbers {
  KeepRule generator;
  std::uint64_t key[2];
  std::uint64_t stream;
  double p;      // 0 <= p <= 1
  double scale;  // what kept elements are multiplied by
};

// Which indices of the whole mask the elements have: element (i, j, ...) of the window has index
// start + i * strides[0] + j * strides[1] + ... modulo 2^64, as an array view has addresses.
struct Window {
  std::uint64_t start;
  int rank;
  const std::int64_t* shape;
  const std::int64_t* strides;  // in elements of the whole mask; null: the window is C-contiguous
};

struct Request {
  Operation operation;
  Element element;
  MaskNumbers mask;
  Window window;
  const void* x;  // C-contiguous, of the window's shape; may be out; null for kKeepMask
  void* out;
};

// The result does not depend on the number of threads or on the ISA. Throws std::invalid_argument where an
// environment variable is wrong (see isa_registry.h and parallel.h), before anything is written.
void run(const Request& request);

}  // namespace fastdrop
