// SPDX-License-Identifier: BSD-3-Clause
// NumPy arrays as operands.
#pragma once
#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../runtime/operands.h"
#include "mask_state.h"

namespace fastdrop {

namespace py = pybind11;
using npy = py::detail::npy_api;
static_assert(std::is_same_v<py::ssize_t, std::int64_t>);

constexpr int kNumPyHalf = 23;             // NPY_HALF, which pybind11 does not name
constexpr int kFirstRegisteredType = 256;  // NPY_USERDEF: types that other packages have registered

// bfloat16 is known by its scalar type's name, so that ml_dtypes need not be there. Older versions of it do
// not say the module's name with the type's.
inline bool is_bfloat16(const py::dtype& dtype) {
  if (dtype.num() < kFirstRegisteredType || dtype.itemsize() != 2) return false;
  const auto type = reinterpret_cast<PyTypeObject*>(py::detail::array_descriptor_proxy(dtype.ptr())->typeobj);
  const char* dot = std::strrchr(type->tp_name, '.');
  return std::strcmp(dot == nullptr ? type->tp_name : dot + 1, "bfloat16") == 0;
}

// The element type of a dtype, in whatever byte order. kElementCount: there is none.
inline Element to_element(const py::dtype& dtype) {
  switch (dtype.num()) {
    case npy::NPY_FLOAT_:
      return kFloat32;
    case npy::NPY_DOUBLE_:
      return kFloat64;
    case npy::NPY_BOOL_:
      return kBool;
    case kNumPyHalf:
      return kFloat16;
    default:
      return is_bfloat16(dtype) ? kBFloat16 : kElementCount;
  }
}

// What an operand's values are, in a call on data of that element type.
inline Element operand_element(const OperandInfo& info, Element element) {
  const bool is_half = element == kFloat16 || element == kBFloat16;
  return info.type == kComputeType && is_half ? kFloat32 : element;
}

inline bool is_plain_array(PyObject* object) {
  return Py_TYPE(object) == reinterpret_cast<PyTypeObject*>(npy::get().PyArray_Type_);
}

// A kernel can walk the array as it is: C-contiguous, aligned, in native byte order.
inline bool is_contiguous_native(const py::array& array, bool writeable) {
  const int flags =
      npy::NPY_ARRAY_C_CONTIGUOUS_ | npy::NPY_ARRAY_ALIGNED_ | (writeable ? npy::NPY_ARRAY_WRITEABLE_ : 0);
  const char order = array.dtype().byteorder();
  return (array.flags() & flags) == flags && (order == '=' || order == '|');
}

// Whether the array has the axes that the access leaves of the window's.
inline bool has_operand_shape(const OperandInfo& info, const py::array& array, const Window& window) {
  int axis = 0;
  for (int of_window = 0; of_window < window.rank; ++of_window) {
    if (!has_axis(info, of_window, window.rank)) continue;
    if (axis >= array.ndim() || array.shape()[axis] != window.shape[of_window]) return false;
    ++axis;
  }
  return axis == array.ndim();
}

// The strides of an operand along the window's axes, 0 along those that its access leaves out.
inline void copy_strides(const OperandInfo& info, const py::array& array, int rank, std::int64_t* strides) {
  int axis = 0;
  for (int of_window = 0; of_window < rank; ++of_window)
    strides[of_window] = has_axis(info, of_window, rank) ? array.strides()[axis++] : 0;
}

inline bool overlap(const py::array& a, const py::array& b) {
  const auto first = reinterpret_cast<std::uintptr_t>(a.data());
  const auto second = reinterpret_cast<std::uintptr_t>(b.data());
  return first < second + static_cast<std::uintptr_t>(b.nbytes()) &&
         second < first + static_cast<std::uintptr_t>(a.nbytes());
}

// A new C-contiguous array, without py::array's vectors: 20 ns less.
inline py::array new_array(const py::dtype& dtype, int rank, const std::int64_t* shape) {
  const auto& api = npy::get();
  PyObject* made = api.PyArray_NewFromDescr_(api.PyArray_Type_, dtype.inc_ref().ptr(), rank, shape, nullptr,
                                             nullptr, 0, nullptr);
  if (made == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::array>(made);
}

}  // namespace fastdrop
