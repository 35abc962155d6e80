// SPDX-License-Identifier: BSD-3-Clause
// The table of kernels. Compiled once per ISA, with that ISA's flags and its name and vector header as
// FASTDROP_ISA and FASTDROP_VEC. Everything but the table is in an unnamed namespace, so that the linker
// cannot merge two ISAs.
#include FASTDROP_VEC  // first: the other headers use its names

#include "bits.h"
#include "elements.h"
#include "generators.h"
#include "keep.h"
#include "keep_bits.h"
#include "loops.h"
#include "normals.h"
#include "ops/alpha_dropout.h"
#include "ops/dropout.h"
#include "ops/gaussian_dropout.h"
#include "ops/keep_mask.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// A table, and the operations that it has. Not read off its pointers: under -fsanitize=undefined GCC cannot
// compare the address of a function with null in a constant.
struct Filled {
  KernelTable table;
  bool has[kOperationCount];
};

// What run() can write.
constexpr bool has_one_plain_output(const OperationInfo& row) {
  return row.outputs[0].name != nullptr && row.outputs[1].name == nullptr && row.outputs[0].access == kFull &&
         row.outputs[0].type == kElementType;
}

template <template <class> class Op, class Element>
constexpr void add_kernels(Filled& filled) {
  constexpr Operation operation = Op<typename Element::Lanes>::operation;
  static_assert(has_one_plain_output(kOperations[operation]),
                "the loop over tiles writes one output, of the data's type and shape");
  constexpr Draw draw = kOperations[operation].draw;
  filled.has[operation] = true;
  Kernel(&fixed)[kKeepRuleCount] = filled.table.run[operation][Element::element];
  Kernel(&varying)[kKeepRuleCount] = filled.table.run_varying[operation][Element::element];
  if constexpr (draw == kNormals) {
    fixed[kArs4x32] = &run<Op, Element, StreamNormals<Ars4x32>, FixedConstants>;
    fixed[kPhilox4x32] = &run<Op, Element, StreamNormals<Philox4x32>, FixedConstants>;
  } else {
    fixed[kGathered] = &run<Op, Element, StoredKeep<false>, FixedConstants>;
    varying[kGathered] = &run<Op, Element, StoredKeep<false>, VaryingConstants>;
  }
  if constexpr (draw == kInline) {
    fixed[kArs4x32] = &run<Op, Element, StreamKeep<Ars4x32>, FixedConstants>;
    fixed[kPhilox4x32] = &run<Op, Element, StreamKeep<Philox4x32>, FixedConstants>;
    fixed[kStored] = &run<Op, Element, StoredKeep<true>, FixedConstants>;
  }
  if constexpr (draw == kInline && kOperations[operation].varies_inline) {
    varying[kArs4x32] = &run<Op, Element, StreamKeep<Ars4x32, true>, VaryingConstants>;
    varying[kPhilox4x32] = &run<Op, Element, StreamKeep<Philox4x32, true>, VaryingConstants>;
  }
}

template <template <class> class... Ops>
constexpr void add_floats(Filled& filled) {
  (add_kernels<Ops, Float32>(filled), ...);
  (add_kernels<Ops, Float64>(filled), ...);
  (add_kernels<Ops, Float16>(filled), ...);
  (add_kernels<Ops, BFloat16>(filled), ...);
}

constexpr Filled fill() {
  Filled filled{};
  filled.table.tile_elements = kTileElements;
  add_floats<Dropout, AlphaDropout, GaussianDropout>(filled);
  add_kernels<KeepMask, Bool>(filled);
  filled.table.begin_bits[kArs4x32] = &BitDrawing<Ars4x32>::begin;
  filled.table.begin_bits[kPhilox4x32] = &BitDrawing<Philox4x32>::begin;
  filled.table.generate[kArs4x32] = &generate_words<Ars4x32>;
  filled.table.generate[kPhilox4x32] = &generate_words<Philox4x32>;
  filled.table.pack_bits = &pack_bits;
  filled.table.widen_drops = &widen_drops;
  filled.table.count_bits = &count_bits;
  return filled;
}

constexpr bool has_every_row() {
  for (int i = 0; i < kOperationCount; ++i)
    if (!kOperations[i].whole_rows && !fill().has[i]) return false;
  return true;
}
static_assert(has_every_row(), "a struct for every row of shared/operations.h");

}  // namespace

extern const KernelTable kernel_table;
constexpr KernelTable kernel_table = fill().table;

}  // namespace fastdrop::FASTDROP_ISA
