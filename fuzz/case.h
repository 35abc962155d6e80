// SPDX-License-Identifier: BSD-3-Clause
// A request of the core with all that it points to, decoded from the fuzzer's bytes.
#pragma once
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdint>
#include <string>
#include <vector>

#include "../csrc/runtime/request.h"
#include "operand.h"
#include "stream.h"

namespace fuzz {

using Bytes = FuzzedDataProvider;

// Indices of a sequence, by axes, as a fastdrop::Window has them.
struct WindowCase {
  std::uint64_t start = 0;
  std::int64_t strides[kMostAxes] = {};
  bool is_c_order = false;  // as a null pointer
};

// A double, or an array of doubles that is broadcast.
struct ValueCase {
  double constant = 0;
  bool varies = false;
  WindowCase window;
  std::vector<double> values;
  std::int64_t offset = 0;  // bytes before the first value: its alignment

  double at(std::uint64_t element, int rank, const std::int64_t* shape) const;
};

struct MaskCase {
  fastdrop::KeepRule rule = fastdrop::kArs4x32;
  std::uint64_t key[2] = {}, stream = 0;
  int rank = 0;
  std::int64_t shape[kMostAxes] = {};
  WindowCase window;
  ValueCase p;
  std::vector<std::uint8_t> bits;  // kStored: whole tiles, as far as the window reaches

  std::uint64_t count() const;
  std::uint64_t index(std::uint64_t element) const;
  oracle::Stream drawn() const {
    return {rule == fastdrop::kArs4x32 ? oracle::kArs : oracle::kPhilox, key, stream};
  }
  // The oracle's decisions, in the window's order.
  std::vector<std::uint8_t> decisions() const;
};

// Where element number `element` of that shape lies in the sequence.
std::uint64_t index_in(const WindowCase& window, int rank, const std::int64_t* shape, std::uint64_t element);

struct Case {
  fastdrop::Operation operation = fastdrop::kDropout;
  fastdrop::Element element = fastdrop::kFloat32;
  MaskCase mask;
  ValueCase constants[fastdrop::kMaxConstants];
  std::vector<OperandCase> inputs, outputs;

  const fastdrop::OperationInfo& info() const { return fastdrop::kOperations[operation]; }
  std::string text() const;
};

// A number near one at which something changes: 0, 2^31, 2^32, 2^43, 2^62, 2^63.
std::uint64_t draw_index(Bytes& bytes);
double draw_rate(Bytes& bytes, const MaskCase& mask);
// `size`: most elements. A whole mask: its window is everything, in C order.
MaskCase draw_mask(Bytes& bytes, int least_rank, std::int64_t size, bool is_whole, bool from_generator);
Case draw_case(Bytes& bytes, fastdrop::Operation operation);
void fill_values(Bytes& bytes, fastdrop::Element type, std::vector<char>& values);

}  // namespace fuzz
