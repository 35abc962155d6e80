// SPDX-License-Identifier: BSD-3-Clause
// What was built, and what may be chosen at run time: instruction sets and threads.
#pragma once
#include <pybind11/pybind11.h>

namespace fastdrop {

void add_config(pybind11::module_& module);

}  // namespace fastdrop
