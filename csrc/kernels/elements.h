// SPDX-License-Identifier: BSD-3-Clause
// Element types: the value in memory, and the lanes that load, compute and store it.
#pragma once
#include "../shared/kernel_table.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

struct Float32 : Float32Lanes {
  using Lanes = Float32Lanes;
};

struct Float64 : Float64Lanes {
  using Lanes = Float64Lanes;
};

// Bytes that are 0 or 1. Nothing is computed on them, so they have no lanes.
struct Bool {
  using Value = uint8_t;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
