// SPDX-License-Identifier: BSD-3-Clause
// The same functions for arrays of any layout. Python has checked the arrays, so that a call takes longer,
// and what is looked at here again is only what would be read as memory.
#pragma once
#include <type_traits>

#include "../runtime/layout.h"
#include "calls.h"

namespace fastdrop {

static_assert(std::is_same_v<py::ssize_t, std::int64_t>);

inline Layout layout_of(const py::array& array) {
  const char order = array.dtype().byteorder();
  return {array.strides(), order == '<' || order == '>'};  // NumPy says '=' where an order is the native one
}

inline void run_strided_without_gil(Operation operation, const MaskArgs& mask, const py::array& x,
                                    py::array& out, Constants constants) {
  const Element element = element_of(x.dtype());
  if (element == kElementCount || element_of(out.dtype()) != element)
    throw std::invalid_argument("x and out must have one of the core's element types");
  if (!has_shape(x, mask.window.rank, mask.window.shape) ||
      !has_shape(out, mask.window.rank, mask.window.shape))
    throw std::invalid_argument("x and out must have the mask's shape");
  const Request request{operation,          element,         mask.numbers,     mask.window, x.data(),
                        out.mutable_data(), constants.shift, constants.dropped};
  without_gil(x.size(), [&, from = layout_of(x), to = layout_of(out)] { run_strided(request, from, to); });
}

template <Operation operation>
void map_strided(const py::array& x, py::array out, const py::tuple& numbers) {
  run_strided_without_gil(operation, MaskArgs(numbers), x, out, {});
}

inline void affine_kept_strided(const py::array& x, py::array out, const py::tuple& numbers, double shift,
                                double dropped) {
  run_strided_without_gil(kAffineKept, MaskArgs(numbers), x, out, {shift, dropped});
}

}  // namespace fastdrop
