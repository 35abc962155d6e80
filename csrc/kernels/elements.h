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

// Values of 16 bits are computed with as float32, two registers of it for one of theirs.
template <Float32Pair (*widened)(const uint16_t*), Float32Pair (*in_order)(const float*), auto rounded_pair>
struct HalfLanes {
  Float32Pair pair;
  static constexpr int width = 2 * Float32Lanes::width;

  static HalfLanes load(const uint16_t* from) { return {widened(from)}; }
  static HalfLanes load_float32(const float* from) { return {in_order(from)}; }
  static HalfLanes broadcast(double value) {
    return {{Float32Lanes::broadcast(value), Float32Lanes::broadcast(value)}};
  }
  friend HalfLanes operator*(HalfLanes a, HalfLanes b) {
    return {{a.pair.first * b.pair.first, a.pair.second * b.pair.second}};
  }
  friend HalfLanes operator+(HalfLanes a, HalfLanes b) {
    return {{a.pair.first + b.pair.first, a.pair.second + b.pair.second}};
  }
  friend auto rounded(HalfLanes a) { return rounded_pair(a.pair); }
};

struct Float16 {
  using Value = uint16_t;
  using Lanes = HalfLanes<widened_float16, in_float16_order, rounded_to_float16>;
};

struct BFloat16 {
  using Value = uint16_t;
  using Lanes = HalfLanes<widened_bfloat16, in_bfloat16_order, rounded_to_bfloat16>;
};

// Bytes that are 0 or 1. Nothing is computed on them, so they have no lanes.
struct Bool {
  using Value = uint8_t;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
