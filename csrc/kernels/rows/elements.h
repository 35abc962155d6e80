// SPDX-License-Identifier: BSD-3-Clause
// Element types as kernels on rows see them: lanes of the type that is computed with, in the order of memory,
// so that sums can be taken of them.
#pragma once
#include "../../shared/kernel_table.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// Whole where that is possible: processors do not hand the data of a masked store on to a load.
template <class Value, class Stored>
inline void store_some(Value* to, int count, Stored a) {
  if (count == (int)(sizeof(Stored) / sizeof(Value)))
    a.store(to);
  else
    store_part(to, count, a);
}

// A type that is computed with as it is.
template <fastdrop::Element type, class Value_, class Lanes_>
struct PlainRows {
  static constexpr fastdrop::Element element = type;
  using Value = Value_;
  using Compute = Value_;
  using Lanes = Lanes_;

  static Lanes load(const Value* from) { return Lanes::load(from); }
  static Lanes load(const Value* from, int count) { return load_part(from, count); }
  static void store(Value* to, Lanes a) { a.store(to); }
  static void store(Value* to, Lanes a, int count) { store_some(to, count, a); }
  static void store_non_temporal(Value* to, Lanes a) { a.store_non_temporal(to); }
  // What a value is after it has been stored.
  static Lanes rounded(Lanes a) { return a; }
};

// A type of 16 bits, computed with as float32.
template <fastdrop::Element type, Float32Lanes (*widen)(Halves), Halves (*narrow)(Float32Lanes)>
struct HalfRows {
  static constexpr fastdrop::Element element = type;
  using Value = uint16_t;
  using Compute = float;
  using Lanes = Float32Lanes;

  static Lanes load(const Value* from) { return widen(Halves::load(from)); }
  static Lanes load(const Value* from, int count) { return widen(load_part(from, count)); }
  static void store(Value* to, Lanes a) { narrow(a).store(to); }
  static void store(Value* to, Lanes a, int count) { store_some(to, count, narrow(a)); }
  static void store_non_temporal(Value* to, Lanes a) { store(to, a); }
  static Lanes rounded(Lanes a) { return widen(narrow(a)); }
};

using Float32Rows = PlainRows<kFloat32, float, Float32Lanes>;
using Float64Rows = PlainRows<kFloat64, double, Float64Lanes>;
using Float16Rows = HalfRows<kFloat16, widen_float16, narrow_to_float16>;
using BFloat16Rows = HalfRows<kBFloat16, widen_bfloat16, narrow_to_bfloat16>;

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
