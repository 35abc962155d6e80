// SPDX-License-Identifier: BSD-3-Clause
// A fastdrop::Request of a case, but for its operands: windows, rates, constants and stored bits, in memory
// that is exactly as long as promised.
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>

#include "case.h"

namespace fuzz {

// p or a constant, and the values that it may point to.
class ValueMemory {
 public:
  void put(const ValueCase& value, int rank, const std::int64_t* shape, fastdrop::Value& to) {
    to = {value.constant, nullptr};
    if (!value.varies) return;
    const std::size_t bytes = value.values.size() * sizeof(double);
    const auto offset = static_cast<std::size_t>(value.offset);
    values_.reset(new char[offset + bytes]);
    std::memcpy(values_.get() + offset, value.values.data(), bytes);
    varying_ = {values_.get() + offset, {value.window.start, rank, shape, value.window.strides}};
    to = {0, &varying_};
  }

 private:
  std::unique_ptr<char[]> values_;
  fastdrop::Varying varying_{};
};

class MaskMemory {
 public:
  explicit MaskMemory(const MaskCase& mask) : bits_(new std::uint8_t[mask.bits.size()]) {
    std::copy(mask.bits.begin(), mask.bits.end(), bits_.get());
    state = {mask.rule, {mask.key[0], mask.key[1]}, mask.stream, {}, bits_.get()};
    if (mask.rule != fastdrop::kStored) state.bits = nullptr;
    p_.put(mask.p, mask.rank, mask.shape, state.p);
    window = {mask.window.start, mask.rank, mask.shape,
              mask.window.is_c_order ? nullptr : mask.window.strides};
  }

  fastdrop::MaskState state{};
  fastdrop::Window window{};

 private:
  std::unique_ptr<std::uint8_t[]> bits_;
  ValueMemory p_;
};

struct RequestMemory {
  explicit RequestMemory(const Case& from) : mask(from.mask) {
    request.operation = from.operation, request.element = from.element;
    request.mask = mask.state, request.window = mask.window;
    for (int i = 0; i < fastdrop::kMaxConstants; ++i)
      constants[i].put(from.constants[i], from.mask.rank, from.mask.shape, request.constants[i]);
  }

  MaskMemory mask;
  ValueMemory constants[fastdrop::kMaxConstants];
  fastdrop::Request request{};
};

}  // namespace fuzz
