// SPDX-License-Identifier: BSD-3-Clause
// The extension module. Python objects are thin: they hold states, and call these functions with them.
#include <pybind11/pybind11.h>

#include "config.h"
#include "mask_source.h"
#include "mask_state.h"
#include "operations.h"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  using namespace fastdrop;
  m.doc() = "The compiled core of fastdrop. Private: use the functions of the fastdrop package.";
  if (!add_config(m.ptr()) || !add_mask_state(m.ptr()) || !add_mask_source(m.ptr()))
    throw pybind11::error_already_set();
  add_operations(m);
}
