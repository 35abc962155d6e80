// SPDX-License-Identifier: BSD-3-Clause
// Functions on p and the scale, one or arrays of them.
#pragma once
#include <Python.h>

namespace fastdrop {

// False, with a Python exception set, if that fails.
bool add_values(PyObject* module);

}  // namespace fastdrop
