// SPDX-License-Identifier: BSD-3-Clause
// From a request to runs of consecutive indices to the chosen kernel: the whole C++ interface.
#pragma once
#include <cstdint>

#include "../shared/kernel_table.h"

namespace fastdrop {

constexpr int kMaxRank = 64;  // NumPy's own limit (NPY_MAXDIMS since NumPy 2)

// Which numbers of a sequence the elements of an array have: element (i, j, ...) has number
// start + i * strides[0] + j * strides[1] + ... modulo 2^64, as an array view has addresses.
struct Window {
  std::uint64_t start;
  int rank;
  const std::int64_t* shape;
  const std::int64_t* strides;  // in elements; null: those of C order
};

// A number of the mask that differs from element to element.
struct Varying {
  const char* values;  // of double, anywhere in memory
  Window window;
};

// The numbers of a mask, less its window.
struct MaskNumbers {
  KeepRule rule;
  std::uint64_t key[2];
  std::uint64_t stream;
  double p;                                  // 0 <= p <= 1; kStored: not used
  double scale;                              // of what is kept; kScaleByNoise: of the normal numbers
  const Varying *varying_p, *varying_scale;  // null: the number above is that of all
  const std::uint8_t* bits;                  // kStored: as in KeepArgs
};

struct Request {
  Operation operation;
  Element element;
  MaskNumbers mask;
  Window window;  // of the whole mask: the elements' indices
  const void* x;  // C-contiguous, of the window's shape; may be out; null for kKeepMask
  void* out;
  double shift = 0, dropped = 0;  // kAffineKept only: see KernelArgs
};

// The result does not depend on the number of threads or on the ISA. Throws std::invalid_argument where an
// environment variable is wrong (see isa_registry.h and parallel.h), before anything is written.
void run(const Request& request);

}  // namespace fastdrop
