// SPDX-License-Identifier: BSD-3-Clause
// How a kernel walks a row: in strips, each a few registers, the last one perhaps in part.
#pragma once
#include "../operands.h"
#include "elements.h"
#include "keep_bits.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// How many lanes of a register are in the row: all, which the compiler knows, or so many.
struct AllLanes {};
struct SomeLanes {
  int count;
};
template <class Rows>
typename Rows::Lanes load(const typename Rows::Value* from, AllLanes) {
  return Rows::load(from);
}
template <class Rows>
typename Rows::Lanes load(const typename Rows::Value* from, SomeLanes lanes) {
  return Rows::load(from, lanes.count);
}
template <class Rows>
void store(typename Rows::Value* to, typename Rows::Lanes a, AllLanes) {
  Rows::store(to, a);
}
template <class Rows>
void store(typename Rows::Value* to, typename Rows::Lanes a, SomeLanes lanes) {
  Rows::store(to, a, lanes.count);
}
template <class Lanes>
Lanes zero_beyond(Lanes a, AllLanes) {
  return a;
}
template <class Lanes>
Lanes zero_beyond(Lanes a, SomeLanes lanes) {
  return zero_unless_bits((1u << lanes.count) - 1, a);
}

// for_lanes calls work(offset in the strip, lanes) for every register of it. Where work is long, a few
// registers fill the processor, and more copies would only fill the instruction cache.
template <class Lanes>
struct WholeStrip {
  template <bool is_long = false, class Work>
  __attribute__((always_inline)) void for_lanes(Work work) const {
    if constexpr (is_long) {
#pragma GCC unroll 2
      for (int offset = 0; offset < kStripElements; offset += Lanes::width) work(offset, AllLanes{});
    } else {
#pragma GCC unroll kUnroll
      for (int offset = 0; offset < kStripElements; offset += Lanes::width) work(offset, AllLanes{});
    }
  }
  static constexpr bool is_whole = true;
};
template <class Lanes>
struct PartStrip {
  int length;

  template <bool = false, class Work>
  __attribute__((always_inline)) void for_lanes(Work work) const {
#pragma GCC unroll 1
    for (int offset = 0; offset < length; offset += Lanes::width)
      work(offset, SomeLanes{length - offset < Lanes::width ? length - offset : Lanes::width});
  }
  static constexpr bool is_whole = false;
};

// Calls work(strip) for every strip of a row.
template <class Lanes, class Work>
__attribute__((always_inline)) inline void for_strips(uint64_t length, Work work) {
  for (; length >= kStripElements; length -= kStripElements) work(WholeStrip<Lanes>{});
  if (length > 0) work(PartStrip<Lanes>{(int)length});
}

// The strip of an input or an output that is worked on. Where an input is absent, neutral values repeat.
template <class Value>
class Strip {
 public:
  Strip(Value* first, bool moves) : at_(first), step_(moves ? kStripElements : 0) {}

  Value* operator+(int offset) const { return at_ + offset; }
  void next() { at_ += step_; }
  bool is_there() const { return at_ != nullptr; }
  bool takes_non_temporal() const { return reinterpret_cast<uintptr_t>(at_) % 16 == 0; }
  void prefetch_next(uintptr_t ahead_bytes) const {
    if (kPrefetchBytes == 0 || step_ == 0) return;
#pragma GCC unroll kUnroll
    for (uintptr_t byte = 0; byte < kStripElements * sizeof(Value); byte += 64)
      prefetch(reinterpret_cast<const char*>(at_) + byte, ahead_bytes);
  }

 private:
  Value* at_;
  int64_t step_;
};

template <class Value>
Strip<const Value> input_row(const RowArgs& args, int input, uint64_t row) {
  const char* first = args.inputs[input] + (int64_t)row * args.input_rows[input];
  return {reinterpret_cast<const Value*>(first), args.is_there[input]};
}
// Null, and stays it, if the output is not wanted.
template <class Value>
Strip<Value> output_row(const RowArgs& args, int output, uint64_t row) {
  char* first = args.outputs[output];
  if (first != nullptr) first += (int64_t)row * args.output_rows[output];
  return {reinterpret_cast<Value*>(first), first != nullptr};
}
template <class Compute>
Strip<const Compute> scale_row(const RowArgs& args) {
  return {reinterpret_cast<const Compute*>(args.scale), args.scale_varies};
}
// Of a value for every row.
template <class Compute>
Compute row_value(const RowArgs& args, int input, uint64_t row) {
  Compute value;
  __builtin_memcpy(&value, args.inputs[input] + (int64_t)row * args.input_rows[input], sizeof value);
  return value;
}
template <class Compute>
void store_row_value(const RowArgs& args, int output, uint64_t row, Compute value) {
  __builtin_memcpy(args.outputs[output] + (int64_t)row * args.output_rows[output], &value, sizeof value);
}

template <class... Strips>
void next(Strips&... strips) {
  (strips.next(), ...);
}

inline uintptr_t prefetch_distance(const RowArgs& args) { return args.prefetches ? kPrefetchBytes : 0; }

// Parameters, sums and scales are of the type that is computed with.
template <class Rows>
using ComputeRows = PlainRows<Rows::element, typename Rows::Compute, typename Rows::Lanes>;

// Adds to sums per column; does nothing where they are not wanted.
template <class Rows, class Place>
__attribute__((always_inline)) inline void add_to(const Strip<typename Rows::Compute>& sums, int offset,
                                                  typename Rows::Lanes a, Place lanes) {
  if (!sums.is_there()) return;
  store<ComputeRows<Rows>>(sums + offset, load<ComputeRows<Rows>>(sums + offset, lanes) + a, lanes);
}

// A sum along a row: 32 partial sums, element j in number j mod 32, then halves added to halves.
template <class Rows>
class RowSum {
  using Lanes = typename Rows::Lanes;
  using Compute = typename Rows::Compute;
  static constexpr int registers = kPartialSums / Lanes::width;

 public:
  RowSum() {
#pragma GCC unroll kUnroll
    for (int i = 0; i < registers; ++i) part_[i] = Lanes::broadcast(0);
  }
  // Lanes that are not in the row must be zero.
  void add(int offset, Lanes a) {
    Lanes& part = part_[offset / Lanes::width % registers];
    part = part + a;
  }
  Compute total() const {
    alignas(64) Compute sums[kPartialSums];
#pragma GCC unroll kUnroll
    for (int i = 0; i < registers; ++i) part_[i].store(sums + i * Lanes::width);
    for (int width = kPartialSums / 2; width > 0; width /= 2)
      for (int i = 0; i < width; ++i) sums[i] += sums[i + width];
    return sums[0];
  }

 private:
  Lanes part_[registers];
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
