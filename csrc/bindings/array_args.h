// SPDX-License-Identifier: BSD-3-Clause
// NumPy arrays and mask numbers in, requests out. Nothing is checked twice: what a kernel can walk as it lies
// is taken here, and everything else goes back to Python, which copies it or says what is wrong.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>

#include "../runtime/run.h"

namespace fastdrop {

namespace py = pybind11;

constexpr int kMaxRank = 64;  // NumPy's own limit (NPY_MAXDIMS since NumPy 2)

// A mask as Python hands it over: its numbers, and the window of the whole that it is.
struct MaskArgs {
  MaskNumbers numbers;
  Window window;
  std::array<std::int64_t, kMaxRank> shape, strides;

  MaskArgs(const MaskArgs&) = delete;
  MaskArgs(int generator, std::uint64_t key_low, std::uint64_t key_high, std::uint64_t stream, double p,
           std::uint64_t start, const py::tuple& shape_tuple, const py::object& strides_tuple)
      : numbers{static_cast<KeepRule>(generator), {key_low, key_high}, stream, p} {
    const int rank = copy(shape_tuple, shape);
    window = {start, rank, shape.data(), nullptr};
    if (strides_tuple.is_none()) return;
    copy(py::reinterpret_borrow<py::tuple>(strides_tuple), strides);
    window.strides = strides.data();
  }

 private:
  static int copy(const py::tuple& from, std::array<std::int64_t, kMaxRank>& to) {
    if (from.size() > to.size()) throw std::invalid_argument("more than 64 axes");
    for (std::size_t axis = 0; axis < from.size(); ++axis)
      to[axis] = PyLong_AsLongLong(PyTuple_GET_ITEM(from.ptr(), static_cast<py::ssize_t>(axis)));
    if (PyErr_Occurred()) throw py::error_already_set();
    return static_cast<int>(from.size());
  }
};

// The element type of a plain array of that shape: exactly numpy.ndarray, C-contiguous, aligned, in native
// byte order. kElementCount: it is not one.
inline Element plain_element(py::handle object, const Window& window, bool writeable) {
  using api = py::detail::npy_api;
  if (Py_TYPE(object.ptr()) != reinterpret_cast<PyTypeObject*>(api::get().PyArray_Type_))
    return kElementCount;
  const auto array = py::reinterpret_borrow<py::array>(object);
  const int flags =
      api::NPY_ARRAY_C_CONTIGUOUS_ | api::NPY_ARRAY_ALIGNED_ | (writeable ? api::NPY_ARRAY_WRITEABLE_ : 0);
  if ((array.flags() & flags) != flags || array.ndim() != window.rank) return kElementCount;
  for (int axis = 0; axis < window.rank; ++axis)
    if (array.shape(axis) != window.shape[axis]) return kElementCount;
  const py::dtype dtype = array.dtype();
  if (dtype.byteorder() != '=') return kElementCount;
  switch (dtype.num()) {
    case api::NPY_FLOAT_:
      return kFloat32;
    case api::NPY_DOUBLE_:
      return kFloat64;
    default:
      return kElementCount;
  }
}

inline bool partly_overlap(const py::array& a, const py::array& b) {
  const auto first = reinterpret_cast<std::uintptr_t>(a.data());
  const auto second = reinterpret_cast<std::uintptr_t>(b.data());
  if (first == second) return false;
  const auto bytes = static_cast<std::uintptr_t>(a.nbytes());
  return first < second + bytes && second < first + bytes;
}

}  // namespace fastdrop
