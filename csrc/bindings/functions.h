// SPDX-License-Identifier: BSD-3-Clause
// The functions of one value that operations apply, for tests.
#pragma once
#include <pybind11/pybind11.h>

namespace fastdrop {

void add_functions(pybind11::module_& module);

}  // namespace fastdrop
