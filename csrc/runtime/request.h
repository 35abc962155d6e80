// SPDX-License-Identifier: BSD-3-Clause
// What is asked of the core, as plain data.
#pragma once
#include <cstdint>

#include "../shared/kernel_table.h"

namespace fastdrop {

class Interrupt;

constexpr int kMaxRank = 64;  // NumPy's own limit (NPY_MAXDIMS since NumPy 2)

// Which indices of a sequence the elements of an array have: element (i, j, ...) has the index
// start + i * strides[0] + j * strides[1] + ... modulo 2^64, as an array view has addresses.
struct Window {
  std::uint64_t start;
  int rank;
  const std::int64_t* shape;
  const std::int64_t* strides;  // in elements; null: those of C order
};

// A double that differs from element to element.
struct Varying {
  const char* values;  // of double, anywhere in memory
  Window window;
};

struct Value {
  double constant;
  const Varying* varying;  // null: the constant is that of all elements
};

inline std::uint64_t product(const std::int64_t* lengths, int from, int to) {
  std::uint64_t count = 1;
  for (int axis = from; axis < to; ++axis) count *= static_cast<std::uint64_t>(lengths[axis]);
  return count;
}

inline std::uint64_t element_count(const Window& window) { return product(window.shape, 0, window.rank); }

// Who is kept, apart from the window and from what is done with it.
struct MaskState {
  KeepRule rule;
  std::uint64_t key[2];
  std::uint64_t stream;
  Value p;                   // 0 <= p <= 1, or -q with 0 < q < 1 to keep; kStored: not used
  const std::uint8_t* bits;  // kStored: as in KeepArgs
};

struct Operand {
  void* data;  // of the first element
  // In bytes, of any sign, one for each axis of the window and 0 along the axes that its access leaves out.
  // Null: C-contiguous, aligned and in native byte order.
  const std::int64_t* strides;
  bool swapped;  // the other byte order
};

// The operands and constants are those of the operation's row. Rows are the window's last axis.
struct Request {
  Operation operation;
  Element element;
  MaskState mask;
  Window window;
  Operand inputs[kMaxInputs], outputs[kMaxOutputs];
  Value constants[kMaxConstants];
  Interrupt* interrupt = nullptr;  // null: nothing stops the call
};

// Whether p or a constant differs from element to element.
inline bool varies(const Request& request) {
  bool varies = request.mask.p.varying != nullptr;
  for (const Value& constant : request.constants) varies |= constant.varying != nullptr;
  return varies;
}

}  // namespace fastdrop
