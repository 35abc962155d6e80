// SPDX-License-Identifier: BSD-3-Clause
// _core.MaskState: who is kept, with named fields for Python and parsed once for the core.
#pragma once
#include <Python.h>

#include <array>
#include <cstdint>
#include <vector>

#include "../runtime/request.h"

namespace fastdrop {

using Lengths = std::array<std::int64_t, kMaxRank>;

struct MaskStateObject {
  PyVarObject ob_base;  // ob_size: how many axes
  MaskState state;      // p.varying stays null: see `p`
  std::uint64_t start;
  bool c_order;
  PyObject* p;           // null, or where p varies its Broadcast
  PyObject* bits;        // null, or bytes
  std::int64_t axes[1];  // lengths, then strides in index space

  int rank() const { return static_cast<int>(ob_base.ob_size); }
  const std::int64_t* shape() const { return axes; }
  Window window() const { return {start, rank(), axes, c_order ? nullptr : axes + rank()}; }
};

// A float, or a Broadcast: (values as bytes of float64, place of the window's first one, strides).
class ValueArgument {
 public:
  ValueArgument() = default;
  ValueArgument(const ValueArgument&) = delete;

  // Throws std::invalid_argument if that is neither, or has fewer values than the window reaches.
  Value parse(PyObject* object, const Window& window);

 private:
  Varying varying_;
  std::vector<std::int64_t> strides_;
};

// The type _core.MaskState, made once. False, with a Python exception set, if that fails.
bool add_mask_state(PyObject* module);

// Throws std::invalid_argument if that is no MaskState.
const MaskStateObject& mask_state(PyObject* object);

// A state from what Python hands over: p as in ValueArgument, a tuple of lengths, strides or None, bits or
// None. Throws std::invalid_argument if one of these is wrong. Null, with a Python exception set, if there is
// no memory.
PyObject* new_mask_state(const MaskState& state, std::uint64_t start, PyObject* p, PyObject* shape,
                         PyObject* strides, PyObject* bits);

// A whole mask of a constant p, in C order if `strides` is None.
PyObject* new_mask_state(const MaskState& state, int rank, const std::int64_t* shape, PyObject* strides);

}  // namespace fastdrop
