// SPDX-License-Identifier: BSD-3-Clause
// Operations on memory of other libraries, by its address: tensors whose library is not there at build time.
#pragma once
#include <pybind11/pybind11.h>

namespace fastdrop {

void add_memory(pybind11::module_& module);

}  // namespace fastdrop
