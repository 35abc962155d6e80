// SPDX-License-Identifier: BSD-3-Clause
// The functions that every dropout goes through, for callers that count nanoseconds. CPython calls them
// without pybind11's dispatch, which costs 35 ns, a quarter of a call on 64 elements.
#pragma once
#include <cxxabi.h>
#include <unistd.h>

#include <exception>

#include "../dispatch/isa_registry.h"
#include "../runtime/parallel.h"
#include "../runtime/streams.h"
#include "array_args.h"

namespace fastdrop {

// Shorter calls keep the GIL: they last about as long as giving it up and taking it back.
constexpr std::uint64_t kReleaseElements = 1 << 14;

template <class Work>
void without_gil(py::ssize_t element_count, const Work& work) {
  if (static_cast<std::uint64_t>(element_count) < kReleaseElements) return work();
  // What refuses, and what is set up once, comes while the GIL is held.
  current_isa();
  thread_count();
  // Not py::gil_scoped_release: in a daemon thread of a process that exits, taking the GIL back ends the
  // thread by unwinding it, which a destructor turns into std::terminate. Such a thread is parked instead, as
  // it would be in newer Pythons.
  PyThreadState* state = PyEval_SaveThread();
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    PyEval_RestoreThread(state);
  } catch (abi::__forced_unwind&) {
    for (;;) pause();
  }
  if (failure) std::rethrow_exception(failure);
}

inline void run_without_gil(const Request& request, py::ssize_t element_count) {
  without_gil(element_count, [&request] { run(request); });
}

struct Constants {
  double shift = 0, dropped = 0;
};

inline py::array mapped(Operation operation, const MaskArgs& mask, Element element, const py::array& x,
                        py::handle out, Constants constants = {}) {
  py::array to = out.is_none() ? new_like(x) : py::reinterpret_borrow<py::array>(out);
  run_without_gil({operation, element, mask.numbers, mask.window, x.data(), to.mutable_data(),
                   constants.shift, constants.dropped},
                  x.size());
  return to;
}

template <Operation operation>
py::object map(py::handle x, py::handle out, py::handle numbers, Constants constants = {}) {
  const MaskArgs mask(numbers);
  const Element element = plain_element(x, out);
  if (element == kElementCount) return py::none();
  const auto from = py::reinterpret_borrow<py::array>(x);
  if (!has_shape(from, mask.window.rank, mask.window.shape)) return py::none();
  return mapped(operation, mask, element, from, out, constants);
}

inline py::object scale_kept(py::handle x, py::handle out, py::handle numbers) {
  return map<kScaleKept>(x, out, numbers);
}

inline py::object scale_by_noise(py::handle x, py::handle out, py::handle numbers) {
  return map<kScaleByNoise>(x, out, numbers);
}

inline py::object affine_kept(py::handle x, py::handle out, py::handle numbers, py::handle shift,
                              py::handle dropped) {
  const Constants constants{PyFloat_AsDouble(shift.ptr()), PyFloat_AsDouble(dropped.ptr())};
  if (PyErr_Occurred()) throw py::error_already_set();
  return map<kAffineKept>(x, out, numbers, constants);
}

constexpr const char* kStreams = "fastdrop streams";

inline py::capsule new_streams(std::uint64_t handed_out) {
  return {new Streams(handed_out), kStreams, [](void* streams) { delete static_cast<Streams*>(streams); }};
}

inline Streams& streams_in(py::handle capsule) {
  void* streams = PyCapsule_GetPointer(capsule.ptr(), kStreams);
  if (streams == nullptr) throw py::error_already_set();
  return *static_cast<Streams*>(streams);
}

// The numbers of the next mask of a source, which is a MaskGenerator's tuple: generator number, two halves of
// the key, streams.
inline py::tuple next_numbers(py::handle source, py::handle p, const py::array& x) {
  if (!PyTuple_Check(source.ptr()) || PyTuple_GET_SIZE(source.ptr()) != 4)
    throw std::invalid_argument("a source is three numbers and streams");
  const auto item = [&source](py::ssize_t number) { return PyTuple_GET_ITEM(source.ptr(), number); };
  py::tuple shape(x.ndim());
  for (py::ssize_t axis = 0; axis < x.ndim(); ++axis) shape[axis] = py::int_(x.shape(axis));
  const double dropped = PyFloat_AS_DOUBLE(p.ptr());
  const py::float_ scale(dropped < 1 ? 1 / (1 - dropped) : 0);  // Python's scale_of
  const py::int_ stream(streams_in(item(3)).take()), start(0);
  PyObject* numbers = PyTuple_Pack(10, item(0), item(1), item(2), stream.ptr(), p.ptr(), scale.ptr(),
                                   start.ptr(), shape.ptr(), Py_None, Py_None);
  if (numbers == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::tuple>(numbers);
}

// Python's Mask of these numbers, as Mask._of makes it, but 85 ns faster.
inline py::object new_mask(py::handle mask_class, const py::tuple& numbers) {
  const auto type = reinterpret_cast<PyTypeObject*>(mask_class.ptr());
  auto mask = py::reinterpret_steal<py::object>(type->tp_new(type, py::tuple().ptr(), nullptr));
  static PyObject* const name = PyUnicode_InternFromString("_numbers");
  if (!mask || PyObject_SetAttr(mask.ptr(), name, numbers.ptr()) != 0) throw py::error_already_set();
  return mask;
}

inline py::object dropout(py::handle x, py::handle out, py::handle source, py::handle p,
                          py::handle mask_class) {
  const Element element = plain_element(x, out);
  if (element == kElementCount || !PyFloat_CheckExact(p.ptr())) return py::none();
  if (!PyType_Check(mask_class.ptr()) || reinterpret_cast<PyTypeObject*>(mask_class.ptr())->tp_new == nullptr)
    throw py::type_error("a class is needed");
  if (const double given = PyFloat_AS_DOUBLE(p.ptr()); !(given > 0 && given <= 1)) return py::none();
  const auto from = py::reinterpret_borrow<py::array>(x);
  const py::tuple numbers = next_numbers(source, p, from);
  return py::make_tuple(mapped(kScaleKept, MaskArgs(numbers), element, from, out),
                        new_mask(mask_class, numbers));
}

// A function as CPython calls it; the numbers are those of its arguments.
template <auto function, int... number>
PyObject* called(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  try {
    if (count != sizeof...(number)) throw py::type_error("wrong number of arguments");
    return function(arguments[number]...).release().ptr();
  } catch (const std::exception&) {
    py::detail::try_translate_exceptions();  // as pybind11 does around its own functions
    return nullptr;
  }
}

inline PyMethodDef method(const char* name, PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t),
                          const char* doc) {
  // Through a function of no arguments, as Python's documentation casts what takes METH_FASTCALL.
  const auto any = reinterpret_cast<void (*)()>(function);
  return {name, reinterpret_cast<PyCFunction>(any), METH_FASTCALL, doc};
}

inline void add_calls(py::module_& m) {
  static PyMethodDef methods[] = {
      method("scale_kept", &called<scale_kept, 0, 1, 2>,
             "scale_kept($module, x, out, numbers, /)\n--\n\n"
             "x where kept, times the scale, and zero elsewhere; None if an array needs Python's attention."),
      method("affine_kept", &called<affine_kept, 0, 1, 2, 3, 4>,
             "affine_kept($module, x, out, numbers, shift, dropped, /)\n--\n\n"
             "x where kept, times the scale and plus shift, and dropped elsewhere; None as scale_kept."),
      method("scale_by_noise", &called<scale_by_noise, 0, 1, 2>,
             "scale_by_noise($module, x, out, numbers, /)\n--\n\n"
             "x times 1 + the scale times a standard normal number; None as scale_kept."),
      method("dropout", &called<dropout, 0, 1, 2, 3, 4>,
             "dropout($module, x, out, source, p, mask_class, /)\n--\n\n"
             "scale_kept with the next mask of a source, and that mask; None, and no mask is taken, if an "
             "array or "
             "p needs Python's attention."),
      {nullptr, nullptr, 0, nullptr}};
  if (PyModule_AddFunctions(m.ptr(), methods) != 0) throw py::error_already_set();
}

}  // namespace fastdrop
