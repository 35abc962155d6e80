// SPDX-License-Identifier: BSD-3-Clause
// NumPy arrays and mask numbers in, requests out. Nothing is checked twice: what a kernel can walk as it lies
// is taken here, and everything else goes back to Python, which copies it or says what is wrong.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "../runtime/run.h"

namespace fastdrop {

namespace py = pybind11;

constexpr int kMaxRank = 64;  // NumPy's own limit (NPY_MAXDIMS since NumPy 2)

// A mask as Python hands it over, in one tuple: generator number, two halves of the key, stream, p, index of
// the window's first element, shape, strides or None. Python has checked what they hold; the conversions are
// the C interface's own, because a small call consists of little else.
struct MaskArgs {
  MaskNumbers numbers;
  Window window;
  std::array<std::int64_t, kMaxRank> shape, strides;

  MaskArgs(const MaskArgs&) = delete;
  explicit MaskArgs(py::handle tuple) {
    if (!PyTuple_Check(tuple.ptr()) || PyTuple_GET_SIZE(tuple.ptr()) != 8)
      throw std::invalid_argument("a mask is eight numbers");
    const auto item = [&tuple](py::ssize_t number) { return PyTuple_GET_ITEM(tuple.ptr(), number); };
    // Not ...AsUnsignedLongLong, which goes by way of bytes: 10 ns more for a key.
    static_assert(sizeof(unsigned long) == sizeof(std::uint64_t));
    const auto unsigned_item = [&item](py::ssize_t number) { return PyLong_AsUnsignedLong(item(number)); };
    const auto generator = PyLong_AsLong(item(0));
    numbers = {static_cast<KeepRule>(generator),
               {unsigned_item(1), unsigned_item(2)},
               unsigned_item(3),
               PyFloat_AsDouble(item(4))};
    window = {unsigned_item(5), copy(item(6), shape), shape.data(), nullptr};
    if (item(7) != Py_None) {
      copy(item(7), strides);
      window.strides = strides.data();
    }
    if (PyErr_Occurred()) throw py::error_already_set();
    if (generator < 0 || generator >= kKeepRuleCount) throw std::invalid_argument("no such generator");
  }

 private:
  static int copy(PyObject* from, std::array<std::int64_t, kMaxRank>& to) {
    if (!PyTuple_Check(from) || PyTuple_GET_SIZE(from) > kMaxRank)
      throw std::invalid_argument("axes must be a tuple of at most 64");
    const auto rank = static_cast<int>(PyTuple_GET_SIZE(from));
    for (int axis = 0; axis < rank; ++axis)
      to[static_cast<std::size_t>(axis)] = PyLong_AsLongLong(PyTuple_GET_ITEM(from, axis));
    return rank;
  }
};

constexpr int kNumPyHalf = 23;             // NPY_HALF, which pybind11 does not name
constexpr int kFirstRegisteredType = 256;  // NPY_USERDEF: types that other packages have registered

// bfloat16 is known by its scalar type's name, so that ml_dtypes need not be there. Older versions of it do
// not say the module's name with the type's.
inline bool is_bfloat16(const py::dtype& dtype) {
  if (dtype.num() < kFirstRegisteredType) return false;
  const auto type = reinterpret_cast<PyTypeObject*>(py::detail::array_descriptor_proxy(dtype.ptr())->typeobj);
  const char* dot = std::strrchr(type->tp_name, '.');
  return std::strcmp(dot == nullptr ? type->tp_name : dot + 1, "bfloat16") == 0;
}

// The element type of a plain array: exactly numpy.ndarray, C-contiguous, aligned, in native byte order.
// kElementCount: it is not one.
inline Element plain_element(py::handle object, bool writeable) {
  using api = py::detail::npy_api;
  if (Py_TYPE(object.ptr()) != reinterpret_cast<PyTypeObject*>(api::get().PyArray_Type_))
    return kElementCount;
  const auto array = py::reinterpret_borrow<py::array>(object);
  const int flags =
      api::NPY_ARRAY_C_CONTIGUOUS_ | api::NPY_ARRAY_ALIGNED_ | (writeable ? api::NPY_ARRAY_WRITEABLE_ : 0);
  if ((array.flags() & flags) != flags) return kElementCount;
  const py::dtype dtype = array.dtype();
  if (dtype.byteorder() != '=') return kElementCount;
  switch (dtype.num()) {
    case api::NPY_FLOAT_:
      return kFloat32;
    case api::NPY_DOUBLE_:
      return kFloat64;
    case kNumPyHalf:
      return kFloat16;
    default:
      return is_bfloat16(dtype) ? kBFloat16 : kElementCount;
  }
}

template <class Length>
bool has_shape(const py::array& array, py::ssize_t rank, const Length* shape) {
  if (array.ndim() != rank) return false;
  for (py::ssize_t axis = 0; axis < rank; ++axis)
    if (array.shape()[axis] != shape[axis]) return false;
  return true;
}

inline bool partly_overlap(const py::array& a, const py::array& b) {
  const auto first = reinterpret_cast<std::uintptr_t>(a.data());
  const auto second = reinterpret_cast<std::uintptr_t>(b.data());
  if (first == second) return false;
  const auto bytes = static_cast<std::uintptr_t>(a.nbytes());
  return first < second + bytes && second < first + bytes;
}

// The element type of an input and of the array for its result, which may be None: plain arrays of one shape
// that are the same or apart. kElementCount: they are not.
inline Element plain_element(py::handle x, py::handle out) {
  const Element element = plain_element(x, false);
  if (element == kElementCount || out.is_none()) return element;
  if (plain_element(out, true) != element) return kElementCount;
  const auto from = py::reinterpret_borrow<py::array>(x), to = py::reinterpret_borrow<py::array>(out);
  return has_shape(to, from.ndim(), from.shape()) && !partly_overlap(from, to) ? element : kElementCount;
}

// A new C-contiguous array of that shape and dtype, without py::array's vectors: 20 ns less.
inline py::array new_like(const py::array& array) {
  const auto& api = py::detail::npy_api::get();
  PyObject* fresh =
      api.PyArray_NewFromDescr_(api.PyArray_Type_, array.dtype().release().ptr(),
                                static_cast<int>(array.ndim()), array.shape(), nullptr, nullptr, 0, nullptr);
  if (fresh == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::array>(fresh);
}

}  // namespace fastdrop
