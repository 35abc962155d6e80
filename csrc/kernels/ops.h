// SPDX-License-Identifier: BSD-3-Clause
// Operations: what is done with the values and the keep bits of one tile. No loops over tiles, no threads.
#pragma once
#include "../shared/kernel_table.h"
#include "../shared/tile.h"
#include "elements.h"
#include "gaussian.h"

namespace fastdrop::FASTDROP_ISA {
namespace {

constexpr uintptr_t kCacheLineBytes = 64;

// Inlined by force: to GCC a function that only prefetches does nothing, and it would leave out the calls.
// Prefetching past the end is harmless.
__attribute__((always_inline)) inline void prefetch(const void* x, uintptr_t ahead_bytes) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(x) + ahead_bytes));
}

// What operations that map values to values have in common: the way through a tile.
template <class Element>
class Map {
 public:
  static constexpr bool reads_x = true;
  using Value = typename Element::Value;
  using Lanes = typename Element::Lanes;

 protected:
  explicit Map(const KernelArgs& args) : ahead_bytes_(kPrefetchBytes * (args.inputs[0] == args.outputs[0] ? 2 : 1)) {}

  // out = function(first, x) for the registers of a tile; first is the place of their first element. Loads go
  // before stores, some at a time: on many processors a load waits for an earlier store whose address has the
  // same lower 12 bits, and NumPy's arrays often lie so that every load would.
  template <bool around_cache, class Function>
  __attribute__((always_inline)) void map(const Value* x, Value* out, const Function& function) const {
    decltype(function(0, Lanes::load(x))) y[kLoadsTogether];
    constexpr int step = kLoadsTogether * Lanes::width;
#pragma GCC unroll kUnroll
    for (int first = 0; first < kTileElements; first += step) {
#pragma GCC unroll kUnroll
      for (int j = 0; j < kLoadsTogether; ++j) {
        const int i = first + j * Lanes::width;
        // A line for every line: 16 at once, or from 2 KiB ahead, a pass between two arrays in cache took
        // 1.3 to 1.7 times a memcpy instead of 1.06 (docs/performance.md).
        if (kPrefetchBytes != 0 && i * sizeof(Value) % kCacheLineBytes == 0) prefetch(x + i, ahead_bytes_);
        y[j] = function(i, Lanes::load(x + i));
      }
#pragma GCC unroll kUnroll
      for (int j = 0; j < kLoadsTogether; ++j) {
        Value* to = out + first + j * Lanes::width;
        if constexpr (around_cache)
          y[j].store_around_cache(to);
        else
          y[j].store(to);
      }
    }
  }

 private:
  uintptr_t ahead_bytes_;  // more in place, where half as many lines are under way
};

// y = keep ? round(x * s) : +0.0. Linear in x element by element, so the same operation is its own
// backward pass. The zero is selected: multiplying by a mask would let a dropped NaN through.
template <class Element>
class ScaleKept : public Map<Element> {
 public:
  using typename Map<Element>::Value, typename Map<Element>::Lanes;

  explicit ScaleKept(const KernelArgs& args) : Map<Element>(args), scale_(Lanes::broadcast(args.constants[0])) {}

  template <bool around_cache>
  void tile(const Value* x, Value* out, const TileKeep& keep) const {
    this->template map<around_cache>(
        x, out, [&](int first, Lanes a) { return zero_unless(keep, first, rounded(a * scale_)); });
  }

 private:
  Lanes scale_;
};

// y = keep ? round(round(x * s) + shift) : dropped. Its backward pass is ScaleKept.
template <class Element>
class AffineKept : public Map<Element> {
 public:
  using typename Map<Element>::Value, typename Map<Element>::Lanes;

  explicit AffineKept(const KernelArgs& args)
      : Map<Element>(args),
        scale_(Lanes::broadcast(args.constants[0])),
        shift_(Lanes::broadcast(args.constants[1])),
        dropped_(Lanes::broadcast(args.constants[2])) {}

  template <bool around_cache>
  void tile(const Value* x, Value* out, const TileKeep& keep) const {
    this->template map<around_cache>(x, out, [&](int first, Lanes a) {
      return selected(keep, first, rounded(a * scale_ + shift_), rounded(dropped_));
    });
  }

 private:
  Lanes scale_, shift_, dropped_;
};

// y = round(x * round(1 + round(s * z))) with a standard normal number z for every element. Linear in x, so
// this, too, is its own backward pass.
template <class Element>
class ScaleByNoise : public Map<Element> {
 public:
  using typename Map<Element>::Value, typename Map<Element>::Lanes;

  explicit ScaleByNoise(const KernelArgs& args)
      : Map<Element>(args), deviation_(Lanes::broadcast(args.constants[0])), one_(Lanes::broadcast(1)) {}

  template <bool around_cache>
  void tile(const Value* x, Value* out, const TileNormals& normals) const {
    this->template map<around_cache>(x, out, [&](int first, Lanes a) {
      return rounded(a * (one_ + deviation_ * Lanes::load_float32(normals.value + first)));
    });
  }

 private:
  Lanes deviation_, one_;
};

// The mask itself: 1 where kept, 0 where dropped.
template <class Element>
struct KeepMask {
  static constexpr bool reads_x = false;
  using Value = typename Element::Value;

  explicit KeepMask(const KernelArgs&) {}

  template <bool>
  void tile(const Value*, Value* out, const TileKeep& keep) const {
    keep.store(out);
  }
};

}  // namespace
}  // namespace fastdrop::FASTDROP_ISA
