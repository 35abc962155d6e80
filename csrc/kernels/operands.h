// SPDX-License-Identifier: BSD-3-Clause
// An operation's inputs, as its row in shared/operations.h declares them, and its constants.
#pragma once
#include "../shared/kernel_table.h"
#include "../shared/tile.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

constexpr int input_count(const OperationInfo& row) {
  int count = 0;
  while (count < kMaxInputs && row.inputs[count].name != nullptr) ++count;
  return count;
}
constexpr int constant_count(const OperationInfo& row) {
  int count = 0;
  while (count < kMaxConstants && row.constants[count].name != nullptr) ++count;
  return count;
}

// Past the last input of which a run has one value.
constexpr int row_value_count(const OperationInfo& row) {
  int count = 0;
  for (int input = 0; input < input_count(row); ++input)
    if (row.inputs[input].access == kPerRow) count = input + 1;
  return count;
}

// 0, 1, 2 ... as a parameter pack.
template <int... i>
struct Indices {};
template <int count, int... i>
struct CountTo : CountTo<count - 1, count - 1, i...> {};
template <int... i>
struct CountTo<0, i...> {
  using Result = Indices<i...>;
};

// The constants are the operation's members, in the order of its row.
template <class Operation, class Lanes, int count>
constexpr bool are_members() {
  return count == 0 ? __is_empty(Operation) : sizeof(Operation) == count * sizeof(Lanes);
}

// An operation whose constants are the same for all elements.
template <class Operation, class Element>
class FixedConstants {
  using Lanes = typename Element::Lanes;

 public:
  template <int... i>
  FixedConstants(const KernelArgs& args, Indices<i...>) : operation_{Lanes::broadcast(args.constants[i])...} {
    static_assert(are_members<Operation, Lanes, sizeof...(i)>(), "a member for every constant of the row");
  }

  const Operation& at(int) const { return operation_; }
  void advance(int64_t) {}

 private:
  Operation operation_;
};

// An operation whose constants have a value for every element.
template <class Operation, class Element>
class VaryingConstants {
  using Lanes = typename Element::Lanes;
  using Compute = typename Element::Compute;
  static constexpr int count = constant_count(kOperations[Operation::operation]);

 public:
  template <int... i>
  VaryingConstants(const KernelArgs& args, Indices<i...>)
      : from_{static_cast<const Compute*>(args.varying_constants[i])...} {}

  // For the lanes from a tile's element `first` on.
  Operation at([[maybe_unused]] int first) const { return at(first, typename CountTo<count>::Result{}); }
  void advance(int64_t elements) {
#pragma GCC unroll kMaxConstants
    for (int i = 0; i < count; ++i) from_[i] += elements;
  }

 private:
  template <int... i>
  Operation at([[maybe_unused]] int first, Indices<i...>) const {
    return {load(from_[i] + first)...};
  }
  static Lanes load(const Compute* from) {
    if constexpr (sizeof(Compute) == sizeof(typename Element::Value))
      return Lanes::load(from);
    else
      return Lanes::load_float32(from);
  }

  const Compute* from_[count > 0 ? count : 1];
};

// The values of inputs that are one value for a run; nothing where an operation has none.
template <class Lanes, int count>
struct RowValues {
  Lanes row_value[count];
};
template <class Lanes>
struct RowValues<Lanes, 0> {};

// Inlined by force: to GCC a function that only prefetches does nothing, and it would leave out the calls.
// Prefetching past the end is harmless.
__attribute__((always_inline)) inline void prefetch(const char* from, uintptr_t ahead_bytes) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(from) + ahead_bytes));
}

// Where the inputs are, from one tile to the next.
template <Operation operation, class Element>
class Inputs : RowValues<typename Element::Lanes, row_value_count(kOperations[operation])> {
  static constexpr OperationInfo row = kOperations[operation];
  static constexpr uintptr_t kCacheLineBytes = 64;
  using Value = typename Element::Value;
  using Compute = typename Element::Compute;
  using Lanes = typename Element::Lanes;

  static constexpr bool is_compute(int input) {
    return row.inputs[input].type == kComputeType && sizeof(Compute) != sizeof(Value);
  }
  static constexpr bool is_per_row(int input) { return row.inputs[input].access == kPerRow; }
  static constexpr uintptr_t bytes(int input) { return is_compute(input) ? sizeof(Compute) : sizeof(Value); }

 public:
  static constexpr int count = input_count(row);
  using All = typename CountTo<count>::Result;

  explicit Inputs(const KernelArgs& args) : Inputs(args, All{}) {}

  // The lanes from a tile's element `first` on.
  template <int input>
  Lanes lanes(int first) const {
    if constexpr (is_per_row(input))
      return this->row_value[input];
    else
      return load<input>(from_[input] + first * bytes(input));
  }

  // A line for every line: 16 at once, or from 2 KiB ahead, a pass between two arrays in cache took 1.3
  // to 1.7 times a memcpy instead of 1.06 (docs/performance-log.md).
  template <int input>
  void prefetch_lanes(int first) const {
    if (kPrefetchBytes != 0 && !is_per_row(input) && first * bytes(input) % kCacheLineBytes == 0)
      prefetch(from_[input] + first * bytes(input), ahead_bytes_);
  }

  void advance(uint64_t elements) {
#pragma GCC unroll kMaxInputs
    for (int input = 0; input < count; ++input)
      if (!is_per_row(input)) from_[input] += elements * bytes(input);
  }

  // The next elements, copied to where a whole tile can be read, from its element `first` on.
  struct Tile {
    alignas(64) char bytes[Inputs::count > 0 ? Inputs::count : 1][kTileElements * sizeof(Compute)];
  };
  Inputs copied_to(Tile& tile, uint64_t first, uint64_t element_count) const {
    Inputs copied = *this;
    for (int input = 0; input < count; ++input) {
      if (is_per_row(input)) continue;
      char* const to = tile.bytes[input];
      __builtin_memset(to, 0, kTileElements * bytes(input));
      __builtin_memcpy(to + first * bytes(input), from_[input], element_count * bytes(input));
      copied.from_[input] = to;
    }
    return copied;
  }

 private:
  template <int... input>
  Inputs(const KernelArgs& args, Indices<input...>) : from_{static_cast<const char*>(args.inputs[input])...} {
    // Farther in place, where half as many cache lines are under way.
    if (((args.inputs[input] == args.outputs[0]) || ...)) ahead_bytes_ *= 2;
    // The line that is loaded next, for nothing: that costs 0 to 2 %, less than loops without prefetching do.
    if (!args.prefetches) ahead_bytes_ = 0;
    (spread<input>(), ...);
  }

  template <int input>
  static Lanes load(const char* from) {
    if constexpr (is_compute(input))
      return Lanes::load_float32(reinterpret_cast<const float*>(from));
    else
      return Lanes::load(reinterpret_cast<const Value*>(from));
  }

  // The one value of a row, in every lane.
  template <int input>
  void spread() {
    if constexpr (is_per_row(input)) {
      alignas(64) char copies[Lanes::width * bytes(input)];
      for (int lane = 0; lane < Lanes::width; ++lane)
        __builtin_memcpy(copies + lane * bytes(input), from_[input], bytes(input));
      this->row_value[input] = load<input>(copies);
    }
  }

  const char* from_[count > 0 ? count : 1];
  uintptr_t ahead_bytes_ = kPrefetchBytes;
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
