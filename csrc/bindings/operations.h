// SPDX-License-Identifier: BSD-3-Clause
// The functions that do something with arrays: `run` for every operation, `dropout` for the most frequent
// one, `generate` for tests; and the operations' rows as Python sees them.
#pragma once
#include <pybind11/pybind11.h>

#include "../shared/operations.h"

namespace fastdrop {

void add_operations(pybind11::module_& module);

// The operation of that name. Throws std::invalid_argument if there is none.
Operation find_operation(PyObject* name);

}  // namespace fastdrop
