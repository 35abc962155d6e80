// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include "../../shared/operations.h"
#include "../normals.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// y = round(x * round(1 + round(deviation * z))) with a standard normal number z for every element. Linear in
// x, so it is its own backward pass.
template <class Lanes>
struct GaussianDropout {
  static constexpr Operation operation = kGaussianDropout;
  Lanes deviation;

  auto apply(const TileNormals& normals, int first, Lanes x) const {
    return to_storage(x * (Lanes::broadcast(1) + deviation * Lanes::load_float32(normals.values + first)));
  }
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
