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
#include "../shared/tile.h"

namespace fastdrop {

namespace py = pybind11;

// A mask as Python hands it over, in one tuple: generator number, two halves of the key, stream, p, scale,
// index of the window's first element, shape, strides or None, and for stored masks their bits. Python has
// checked what they hold; the conversions are the C interface's own, because a small call consists of little
// else.
struct MaskArgs {
  MaskNumbers numbers;
  Window window;
  using Lengths = std::array<std::int64_t, kMaxRank>;
  Lengths shape, strides, p_strides, scale_strides;
  Varying varying_p, varying_scale;

  MaskArgs(const MaskArgs&) = delete;
  explicit MaskArgs(py::handle tuple) {
    if (!PyTuple_Check(tuple.ptr()) || PyTuple_GET_SIZE(tuple.ptr()) != 10)
      throw std::invalid_argument("a mask is ten numbers");
    const auto item = [&tuple](py::ssize_t number) { return PyTuple_GET_ITEM(tuple.ptr(), number); };
    // Not ...AsUnsignedLongLong, which goes by way of bytes: 10 ns more for a key.
    static_assert(sizeof(unsigned long) == sizeof(std::uint64_t));
    const auto unsigned_item = [&item](py::ssize_t number) { return PyLong_AsUnsignedLong(item(number)); };
    const auto rule = PyLong_AsLong(item(0));
    numbers = {static_cast<KeepRule>(rule),
               {unsigned_item(1), unsigned_item(2)},
               unsigned_item(3),
               0,
               0,
               nullptr,
               nullptr,
               nullptr};
    window = {unsigned_item(6), copy(item(7), shape), shape.data(), nullptr};
    if (item(8) != Py_None) window.strides = copy_strides(item(8), strides);
    numbers.varying_p = set_number(item(4), numbers.p, varying_p, p_strides);
    numbers.varying_scale = set_number(item(5), numbers.scale, varying_scale, scale_strides);
    if (PyErr_Occurred()) throw py::error_already_set();
    if (rule < 0 || rule >= kMaskRuleCount) throw std::invalid_argument("no such keep rule");
    if (rule == kStored) set_bits(item(9));
  }

 private:
  // All that the window reaches must be there, up to the end of the last tile.
  void set_bits(PyObject* bits) {
    constexpr std::uint64_t tile_bytes = kPartElements / 8;
    if (!PyBytes_Check(bits) ||
        (reach(window) + kPartElements - 1) / kPartElements * tile_bytes > size_of(bits))
      throw std::invalid_argument("a stored mask without its bits");
    numbers.bits = reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(bits));
  }

  // A float, or one for every element: values as bytes, number of the window's first one, strides.
  const Varying* set_number(PyObject* from, double& constant, Varying& varying, Lengths& varying_strides) {
    if (!PyTuple_Check(from)) {
      constant = PyFloat_AsDouble(from);
      return nullptr;
    }
    if (PyTuple_GET_SIZE(from) != 3 || !PyBytes_Check(PyTuple_GET_ITEM(from, 0)))
      throw std::invalid_argument("what varies is values, a start and strides");
    PyObject* values = PyTuple_GET_ITEM(from, 0);
    varying = {PyBytes_AS_STRING(values),
               {PyLong_AsUnsignedLong(PyTuple_GET_ITEM(from, 1)), window.rank, shape.data(),
                copy_strides(PyTuple_GET_ITEM(from, 2), varying_strides)}};
    if (reach(varying.window) * sizeof(double) > size_of(values))
      throw std::invalid_argument("what varies has fewer values than the window");
    return &varying;
  }

  // Past the last place of a window: what must be there.
  static std::uint64_t reach(const Window& window) {
    std::uint64_t last = window.start, elements = 1;
    for (int axis = window.rank - 1; axis >= 0; --axis) {
      const std::int64_t length = window.shape[axis];
      const std::int64_t stride =
          window.strides == nullptr ? static_cast<std::int64_t>(elements) : window.strides[axis];
      if (stride > 0) last += static_cast<std::uint64_t>((length - 1) * stride);
      elements *= static_cast<std::uint64_t>(length);
    }
    return elements == 0 ? 0 : last + 1;
  }

  static std::uint64_t size_of(PyObject* bytes) {
    return static_cast<std::uint64_t>(PyBytes_GET_SIZE(bytes));
  }

  const std::int64_t* copy_strides(PyObject* from, Lengths& to) const {
    if (copy(from, to) != window.rank) throw std::invalid_argument("a stride for every axis");
    return to.data();
  }

  static int copy(PyObject* from, Lengths& to) {
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

// The element type of a dtype, in whatever byte order. kElementCount: there is none.
inline Element element_of(const py::dtype& dtype) {
  using api = py::detail::npy_api;
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
  return element_of(dtype);
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
