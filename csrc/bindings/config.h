// SPDX-License-Identifier: BSD-3-Clause
// What was built, and what may be chosen at run time: instruction sets and threads.
#pragma once
#include <Python.h>

namespace fastdrop {

// Adds constants and functions to the module. False, with a Python exception set, if that fails.
bool add_config(PyObject* module);

}  // namespace fastdrop
