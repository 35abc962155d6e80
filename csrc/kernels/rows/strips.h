// SPDX-License-Identifier: BSD-3-Clause
// How a kernel walks a row: in strips of a few registers, the last one perhaps in part.
#pragma once
#include "../operands.h"
#include "elements.h"
#include "several.h"
#include "strip_bits.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

// All partial sums of a row. Of float32, the type that is used most, eight registers too: with fewer, relu in
// cache took 1.2 times as long. For the others that is not worth the size of the kernels.
template <class Rows>
constexpr int kStripElements =
    Rows::element == kFloat32 && 8 * Rows::Lanes::width > kPartialSums ? 8 * Rows::Lanes::width
                                                                       : kPartialSums;

// What is worked on together: a register, some registers, or a register whose first lanes are in the row.
struct OneRegister {};
template <int count>
struct Registers {};
struct SomeLanes {
  int count;
};

// A value in every lane of what is worked on together.
template <class Lanes, class Place>
__attribute__((always_inline)) inline Lanes spread(Lanes value, Place) {
  return value;
}
template <class Lanes, int count>
__attribute__((always_inline)) inline Several<Lanes, count> spread(Lanes value, Registers<count>) {
  Several<Lanes, count> all;
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) all.of[i] = value;
  return all;
}

template <class Rows>
__attribute__((always_inline)) inline typename Rows::Lanes load(const typename Rows::Value* from,
                                                                OneRegister) {
  return Rows::load(from);
}
template <class Rows, int count>
__attribute__((always_inline)) inline Several<typename Rows::Lanes, count> load(
    const typename Rows::Value* from, Registers<count>) {
  Several<typename Rows::Lanes, count> all;
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) all.of[i] = Rows::load(from + i * Rows::Lanes::width);
  return all;
}
template <class Rows>
__attribute__((always_inline)) inline typename Rows::Lanes load(const typename Rows::Value* from,
                                                                SomeLanes lanes) {
  return Rows::load(from, lanes.count);
}

template <class Rows>
__attribute__((always_inline)) inline void store(typename Rows::Value* to, typename Rows::Lanes a,
                                                 OneRegister) {
  Rows::store(to, a);
}
template <class Rows, int count>
__attribute__((always_inline)) inline void store(typename Rows::Value* to,
                                                 Several<typename Rows::Lanes, count> a, Registers<count>) {
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) Rows::store(to + i * Rows::Lanes::width, a.of[i]);
}
template <class Rows>
__attribute__((always_inline)) inline void store(typename Rows::Value* to, typename Rows::Lanes a,
                                                 SomeLanes lanes) {
  Rows::store(to, a, lanes.count);
}
// The same, around the cache where that is wanted and whole registers are stored. `to` is then aligned by 16.
template <class Rows>
__attribute__((always_inline)) inline void store(typename Rows::Value* to, typename Rows::Lanes a,
                                                 OneRegister place, bool non_temporal) {
  if (__builtin_expect(non_temporal, 0))
    Rows::store_non_temporal(to, a);
  else
    store<Rows>(to, a, place);
}
template <class Rows, int count>
__attribute__((always_inline)) inline void store(typename Rows::Value* to,
                                                 Several<typename Rows::Lanes, count> a, Registers<count>,
                                                 bool non_temporal) {
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i)
    store<Rows>(to + i * Rows::Lanes::width, a.of[i], OneRegister{}, non_temporal);
}
template <class Rows>
__attribute__((always_inline)) inline void store(typename Rows::Value* to, typename Rows::Lanes a,
                                                 SomeLanes lanes, bool) {
  store<Rows>(to, a, lanes);
}

// +0.0 where an element is dropped: those from `offset` on of the strip that the bits are of.
template <class Bits, class Lanes>
__attribute__((always_inline)) inline Lanes zero_unless(const Bits& keep, int offset, Lanes a) {
  return zero_unless_bits(keep.template of<Lanes>(offset), a);
}
template <class Bits, class Lanes, int count>
__attribute__((always_inline)) inline Several<Lanes, count> zero_unless(const Bits& keep, int offset,
                                                                        Several<Lanes, count> a) {
#pragma GCC unroll kUnroll
  for (int i = 0; i < count; ++i) a.of[i] = zero_unless(keep, offset + i * Lanes::width, a.of[i]);
  return a;
}

// +0.0 in the lanes that are not in the row.
template <class Lanes>
__attribute__((always_inline)) inline Lanes zero_beyond(Lanes a, OneRegister) {
  return a;
}
template <class Lanes>
__attribute__((always_inline)) inline Lanes zero_beyond(Lanes a, SomeLanes lanes) {
  return zero_unless_bits((1u << lanes.count) - 1, a);
}

// for_registers calls work(offset in the strip, place) for each register of it; for_chains does so for some
// together, where work is a long chain of instructions.
template <class Rows>
struct WholeStrip {
  using Lanes = typename Rows::Lanes;

  template <class Work>
  __attribute__((always_inline)) void for_registers(Work work) const {
#pragma GCC unroll kUnroll
    for (int offset = 0; offset < kStripElements<Rows>; offset += Lanes::width) work(offset, OneRegister{});
  }
  template <int wanted = kChainsTogether, class Work>
  __attribute__((always_inline)) void for_chains(Work work) const {
    // Values of 16 bits are not worth the size of the kernels.
    constexpr int registers = kStripElements<Rows> / Lanes::width;
    constexpr int most = sizeof(typename Rows::Value) == 2 ? 1 : registers;
    constexpr int together = most < wanted ? most : wanted;
#pragma GCC unroll 1
    for (int offset = 0; offset < kStripElements<Rows>; offset += together * Lanes::width)
      work(offset, Registers<together>{});
  }
};
template <class Rows>
struct PartStrip {
  using Lanes = typename Rows::Lanes;

  int length;

  template <class Work>
  __attribute__((always_inline)) void for_registers(Work work) const {
#pragma GCC unroll 1
    for (int offset = 0; offset < length; offset += Lanes::width)
      work(offset, SomeLanes{length - offset < Lanes::width ? length - offset : Lanes::width});
  }
  template <int wanted = 0, class Work>
  __attribute__((always_inline)) void for_chains(Work work) const {
    // Some whole registers, where that was asked for and the partial sums of a row are some of them.
    constexpr int together = wanted < 4 ? wanted : 4;
    int offset = 0;
    if constexpr (together > 0 && sizeof(typename Rows::Value) != 2 &&
                  together * Lanes::width % kPartialSums == 0) {
#pragma GCC unroll 1
      for (; length - offset >= together * Lanes::width; offset += together * Lanes::width)
        work(offset, Registers<together>{});
    }
#pragma GCC unroll 1
    for (; offset < length; offset += Lanes::width)
      work(offset, SomeLanes{length - offset < Lanes::width ? length - offset : Lanes::width});
  }
};

// Calls work(strip) for every strip of a row, or for some if the call is to stop.
template <class Rows, class Work>
__attribute__((always_inline)) inline void for_strips(const RowArgs& args, uint64_t length, Work work) {
  constexpr int strip = kStripElements<Rows>;
  for (;;) {
    const uint64_t later = length > kRowPieceElements ? length - kRowPieceElements : 0;
    for (; length >= later + strip; length -= strip) work(WholeStrip<Rows>{});
    if (__builtin_expect(later == 0, 1)) break;
    if (args.stops(args.interrupt)) return;
  }
  if (length > 0) work(PartStrip<Rows>{(int)length});
}

// Where the strip of an operand is that is worked on. Where an input is absent, neutral values repeat.
template <class Value, class Rows>
class StripOf {
 public:
  StripOf(Value* first, bool moves) : at_(first), step_(moves ? kStripElements<Rows> : 0) {}

  Value* operator+(int offset) const { return at_ + offset; }
  void next() { at_ += step_; }
  bool is_there() const { return at_ != nullptr; }
  bool takes_non_temporal() const { return reinterpret_cast<uintptr_t>(at_) % 16 == 0; }
  __attribute__((always_inline)) void prefetch_next(uintptr_t ahead_bytes) const {
    if (kPrefetchBytes == 0 || step_ == 0) return;
#pragma GCC unroll kUnroll
    for (uintptr_t byte = 0; byte < kStripElements<Rows> * sizeof(Value); byte += 64)
      prefetch(reinterpret_cast<const char*>(at_) + byte, ahead_bytes);
  }

 private:
  Value* at_;
  int64_t step_;
};

// The same for an operand that has one value, which stays in a register: in cache, a kernel that computes
// little is as fast as it loads.
template <class Lanes>
struct Fixed {
  Lanes value;

  Fixed operator+(int) const { return *this; }
  void next() {}
  void prefetch_next(uintptr_t) const {}
};
template <class Rows, class Place>
__attribute__((always_inline)) inline auto load(Fixed<typename Rows::Lanes> from, Place place) {
  return spread(from.value, place);
}

template <class... Strips>
__attribute__((always_inline)) inline void next(Strips&... strips) {
  (strips.next(), ...);
}

// The operands of a kernel's rows. Parameters, sums and scales are of the type that is computed with.
template <class Rows>
class Operands {
 public:
  using Lanes = typename Rows::Lanes;
  using Value = typename Rows::Value;
  using Compute = typename Rows::Compute;
  using Parameters = PlainRows<Rows::element, Compute, Lanes>;

  explicit Operands(const RowArgs& args) : args_(args) {}

  StripOf<const Value, Rows> input(int input, uint64_t row) const { return input_of<Value>(input, row); }
  StripOf<const Compute, Rows> parameter(int input, uint64_t row) const {
    return input_of<Compute>(input, row);
  }
  // `is_fixed`: whether it is known to be one value.
  template <bool is_fixed = false>
  auto scale() const {
    const auto* first = reinterpret_cast<const Compute*>(args_.scale);
    if constexpr (is_fixed)
      return Fixed<Lanes>{Parameters::load(first)};
    else
      return StripOf<const Compute, Rows>{first, args_.scale_varies};
  }
  // Null, and stays it, where the output is not wanted.
  StripOf<Value, Rows> output(int output, uint64_t row) const { return output_of<Value>(output, row); }
  StripOf<Compute, Rows> sums(int output) const { return output_of<Compute>(output, 0); }

  Compute row_value(int input, uint64_t row) const {
    Compute value;
    __builtin_memcpy(&value, args_.inputs[input] + (int64_t)row * args_.input_rows[input], sizeof value);
    return value;
  }
  void store_row_value(int output, uint64_t row, Compute value) const {
    __builtin_memcpy(args_.outputs[output] + (int64_t)row * args_.output_rows[output], &value, sizeof value);
  }

 private:
  template <class Item>
  StripOf<const Item, Rows> input_of(int input, uint64_t row) const {
    const char* first = args_.inputs[input] + (int64_t)row * args_.input_rows[input];
    return {reinterpret_cast<const Item*>(first), args_.is_there[input]};
  }
  template <class Item>
  StripOf<Item, Rows> output_of(int output, uint64_t row) const {
    char* first = args_.outputs[output];
    if (first != nullptr) first += (int64_t)row * args_.output_rows[output];
    return {reinterpret_cast<Item*>(first), first != nullptr};
  }

  const RowArgs& args_;
};

// Adds to sums per column; does nothing where they are not wanted.
template <class Parameters, class Sums, class Lanes, class Place>
__attribute__((always_inline)) inline void add_to(const Sums& sums, int offset, Lanes a, Place place) {
  if (sums.is_there()) store<Parameters>(sums + offset, load<Parameters>(sums + offset, place) + a, place);
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

  void add(int offset, Lanes a, OneRegister) {
    Lanes& part = part_[offset / Lanes::width % registers];
    part = part + a;
  }
  // Lanes that are not in the row must be zero. Registers must not be indexed by a variable.
  void add(int offset, Lanes a, SomeLanes) {
    const int index = offset / Lanes::width % registers;
    if constexpr (Lanes::width == 1) {
      part_[index] = part_[index] + a;
    } else {
#pragma GCC unroll kUnroll
      for (int i = 0; i < registers; ++i)
        if (i == index) part_[i] = part_[i] + a;
    }
  }

  Compute total() {
#pragma GCC unroll kUnroll
    for (int half = registers / 2; half > 0; half /= 2)
#pragma GCC unroll kUnroll
      for (int i = 0; i < half; ++i) part_[i] = part_[i] + part_[i + half];
    return folded(part_[0]);
  }

 private:
  Lanes part_[registers];
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
