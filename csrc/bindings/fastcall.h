// SPDX-License-Identifier: BSD-3-Clause
// Functions that CPython calls without pybind11's dispatch, which costs 35 ns, a quarter of a call on 64
// elements (docs/performance-log.md).
#pragma once
#include <pybind11/pybind11.h>

namespace fastdrop {

namespace py = pybind11;

// The arguments of a call by position; `keywords` is null, or a tuple of the names of those that follow.
using FastFunction = py::object (*)(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords);

template <FastFunction function>
PyObject* fastcall(PyObject*, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  try {
    return function(arguments, count, keywords).release().ptr();
  } catch (const std::exception&) {
    py::detail::try_translate_exceptions();  // as pybind11 does around its own functions
    return nullptr;
  }
}

template <FastFunction function>
PyMethodDef fastcall_method(const char* name, const char* doc) {
  // Through a function of no arguments, as Python's documentation casts what takes METH_FASTCALL.
  const auto any = reinterpret_cast<void (*)()>(&fastcall<function>);
  return {name, reinterpret_cast<PyCFunction>(any), METH_FASTCALL | METH_KEYWORDS, doc};
}

}  // namespace fastdrop
