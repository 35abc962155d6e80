// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include "../../shared/operations.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// y = keep ? round(x * scale) : +0.0. Linear in x element by element, so the same operation is its own
// backward pass. The zero is selected: multiplying by a mask would let a dropped NaN through.
template <class Lanes>
struct Dropout {
  static constexpr Operation operation = kDropout;
  Lanes scale;

  auto apply(const TileKeep& keep, int first, Lanes x) const {
    return zero_unless(keep, first, to_storage(x * scale));
  }
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
