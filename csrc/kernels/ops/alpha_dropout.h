// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include "../../shared/operations.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// y = keep ? round(round(x * scale) + shift) : dropped. Its backward pass is Dropout.
template <class Lanes>
struct AlphaDropout {
  static constexpr Operation operation = kAlphaDropout;
  Lanes scale, shift, dropped;

  auto apply(const TileKeep& keep, int first, Lanes x) const {
    return selected(keep, first, to_storage(x * scale + shift), to_storage(dropped));
  }
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
