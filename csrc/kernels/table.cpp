// SPDX-License-Identifier: BSD-3-Clause
// The table of kernels. Compiled once per ISA, with that ISA's flags and its name and vector header as
// FASTDROP_ISA and FASTDROP_VEC. Everything but the table is in an unnamed namespace, so that the linker
// cannot merge two ISAs.
#include FASTDROP_VEC

#include "elements.h"
#include "generators.h"
#include "keep.h"
#include "loops.h"
#include "normals.h"
#include "ops/alpha_dropout.h"
#include "ops/dropout.h"
#include "ops/gaussian_dropout.h"
#include "ops/keep_mask.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

template <template <class> class Op, class Element>
constexpr void add_kernels(KernelTable& table) {
  constexpr Operation operation = Op<typename Element::Lanes>::operation;
  constexpr Draw draw = kOperations[operation].draw;
  Kernel(&run_by_rule)[kKeepRuleCount] = table.run[operation][Element::element];
  if constexpr (draw == kNormals) {
    run_by_rule[kArs4x32] = &run<Op, Element, StreamNormals<Ars4x32>>;
    run_by_rule[kPhilox4x32] = &run<Op, Element, StreamNormals<Philox4x32>>;
  } else {
    run_by_rule[kGathered] = &run<Op, Element, StoredKeep<false>>;
  }
  if constexpr (draw == kInline) {
    run_by_rule[kArs4x32] = &run<Op, Element, StreamKeep<Ars4x32>>;
    run_by_rule[kPhilox4x32] = &run<Op, Element, StreamKeep<Philox4x32>>;
    run_by_rule[kStored] = &run<Op, Element, StoredKeep<true>>;
  }
}

template <template <class> class... Ops>
constexpr void add_floats(KernelTable& table) {
  (add_kernels<Ops, Float32>(table), ...);
  (add_kernels<Ops, Float64>(table), ...);
  (add_kernels<Ops, Float16>(table), ...);
  (add_kernels<Ops, BFloat16>(table), ...);
}

constexpr KernelTable make_table() {
  KernelTable table{};
  add_floats<Dropout, AlphaDropout, GaussianDropout>(table);
  add_kernels<KeepMask, Bool>(table);
  table.generate[kArs4x32] = &generate_words<Ars4x32>;
  table.generate[kPhilox4x32] = &generate_words<Philox4x32>;
  return table;
}

}  // namespace

extern const KernelTable kernel_table;
constexpr KernelTable kernel_table = make_table();

namespace {

constexpr bool has_kernels(const Kernel (&by_element)[kElementCount][kKeepRuleCount]) {
  for (const auto& by_rule : by_element)
    for (const Kernel kernel : by_rule)
      if (kernel != nullptr) return true;
  return false;
}
constexpr bool every_row_has_kernels() {
  for (const auto& by_element : kernel_table.run)
    if (!has_kernels(by_element)) return false;
  return true;
}
static_assert(every_row_has_kernels(), "a struct for every row of shared/operations.h");

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
