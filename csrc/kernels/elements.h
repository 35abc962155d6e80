// SPDX-License-Identifier: BSD-3-Clause
// Element types: the value in memory, the value that is computed with, and the lanes that load, compute and
// store them.
#pragma once
#include "../shared/kernel_table.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

struct Float32 {
  static constexpr Element element = kFloat32;
  using Value = float;
  using Compute = float;
  using Lanes = Float32Lanes;
};

struct Float64 {
  static constexpr Element element = kFloat64;
  using Value = double;
  using Compute = double;
  using Lanes = Float64Lanes;
};

// Values of 16 bits are computed with as float32, two registers of it for one of theirs.
template <Float32Pair (*to_float32)(const uint16_t*), Float32Pair (*in_pair_order)(const float*),
          auto pair_to_storage>
struct HalfLanes {
  Float32Pair pair;
  static constexpr int width = 2 * Float32Lanes::width;

  static HalfLanes load(const uint16_t* from) { return {to_float32(from)}; }
  static HalfLanes load_float32(const float* from) { return {in_pair_order(from)}; }
  static HalfLanes broadcast(double value) {
    return {{Float32Lanes::broadcast(value), Float32Lanes::broadcast(value)}};
  }
  friend HalfLanes operator*(HalfLanes a, HalfLanes b) {
    return {{a.pair.first * b.pair.first, a.pair.second * b.pair.second}};
  }
  friend HalfLanes operator+(HalfLanes a, HalfLanes b) {
    return {{a.pair.first + b.pair.first, a.pair.second + b.pair.second}};
  }
  friend auto to_storage(HalfLanes a) { return pair_to_storage(a.pair); }
};

struct Float16 {
  static constexpr Element element = kFloat16;
  using Value = uint16_t;
  using Compute = float;
  using Lanes = HalfLanes<float16_to_float32, float32_in_float16_order, float32_to_float16>;
};

struct BFloat16 {
  static constexpr Element element = kBFloat16;
  using Value = uint16_t;
  using Compute = float;
  using Lanes = HalfLanes<bfloat16_to_float32, float32_in_bfloat16_order, float32_to_bfloat16>;
};

// Decisions as bytes, 0 or 1, a whole tile at once. Nothing is computed with them.
struct KeepLanes {
  const TileKeep* keep;
  static constexpr int width = kTileElements;

  void store(uint8_t* to) const { keep->store(to); }
  void store_non_temporal(uint8_t* to) const { store(to); }
};

struct Bool {
  static constexpr Element element = kBool;
  using Value = uint8_t;
  using Compute = uint8_t;
  using Lanes = KeepLanes;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
