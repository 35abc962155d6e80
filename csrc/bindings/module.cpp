// SPDX-License-Identifier: BSD-3-Clause
// The extension module. Python objects are thin: they hold states, and call these functions with them.
#include <pybind11/pybind11.h>

#include "config.h"
#include "functions.h"
#include "mask_source.h"
#include "mask_state.h"
#include "memory.h"
#include "operations.h"
#include "values.h"

namespace {

constexpr char kMainOnly[] =
    "fastdrop works in the main interpreter of a process, not in a sub-interpreter: import it there, or use "
    "processes instead (under mod_wsgi: WSGIApplicationGroup %{GLOBAL})";

bool in_sub_interpreter() { return PyInterpreterState_Get() != PyInterpreterState_Main(); }

}  // namespace

PYBIND11_MODULE(_core_of_the_main_interpreter, m, pybind11::mod_gil_not_used(),
                pybind11::multiple_interpreters::not_supported()) {
  using namespace fastdrop;
  // Again: from Python 3.13 on the main interpreter calls PyInit for the others.
  if (in_sub_interpreter()) throw pybind11::import_error(kMainOnly);
  m.doc() = "The compiled core of fastdrop. Private: use the functions of the fastdrop package.";
  if (!add_config(m.ptr()) || !add_values(m.ptr()) || !add_mask_state(m.ptr()) || !add_mask_source(m.ptr()))
    throw pybind11::error_already_set();
  add_operations(m);
  add_functions(m);
  add_memory(m);
}

// What Python calls. pybind11's own function, before Python 3.12, waits forever in a sub-interpreter: it asks
// for the GIL by the thread's state in the main interpreter.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  if (!in_sub_interpreter()) return PyInit__core_of_the_main_interpreter();
  PyErr_SetString(PyExc_ImportError, kMainOnly);
  return nullptr;
}
