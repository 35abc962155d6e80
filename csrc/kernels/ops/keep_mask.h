// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include "../../shared/operations.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// The mask itself: 1 where kept, 0 where dropped.
template <class Lanes>
struct KeepMask {
  static constexpr Operation operation = kKeepMask;

  Lanes apply(const TileKeep& keep, int) const { return {&keep}; }
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
