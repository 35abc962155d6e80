// SPDX-License-Identifier: BSD-3-Clause
// The functions that do something with arrays: `run` for every operation, `dropout` for the most frequent
// one, `generate` for tests; and the operations' rows as Python sees them.
#pragma once
#include <pybind11/pybind11.h>

namespace fastdrop {

void add_operations(pybind11::module_& module);

}  // namespace fastdrop
