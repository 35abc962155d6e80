// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "../csrc/runtime/block_mask.h"
#include "../csrc/runtime/run.h"
#include "../csrc/runtime/thread_limit.h"
#include "check.h"
#include "request_memory.h"
#include "values.h"

namespace fuzz {

void check_decide(Bytes& bytes) {
  MaskCase mask = draw_case(bytes, fastdrop::kKeepMask).mask;
  const std::vector<std::uint8_t> expected = mask.decisions();
  const auto first = bytes.ConsumeIntegralInRange<std::uint64_t>(0, expected.size());
  const auto count = bytes.ConsumeIntegralInRange<std::uint64_t>(0, expected.size() - first);
  for (const fastdrop::Isa* isa : isas()) {
    fastdrop::use_isa(isa->name);
    const MaskMemory memory(mask);
    const std::unique_ptr<std::uint8_t[]> given(new std::uint8_t[count]);
    // Zeros: the buffers of fuzz_small_pieces are smaller, and what follows them lies elsewhere than here.
    alignas(fastdrop::Scratch) unsigned char zeros[sizeof(fastdrop::Scratch)] = {};
    auto& scratch = reinterpret_cast<fastdrop::Scratch&>(zeros);
    fastdrop::decide(memory.state, memory.window, first, count, given.get(), scratch);
    if (!std::equal(given.get(), given.get() + count, expected.begin() + static_cast<std::ptrdiff_t>(first)))
      report(Case{fastdrop::kKeepMask, fastdrop::kBool, mask, {}, {}, {}}.text() + "  decide() on " +
             isa->name + ", from " + std::to_string(first) + ", " + std::to_string(count));
  }
}

void check_blocks(Bytes& bytes) {
  MaskCase corners = draw_mask(bytes, 1, bytes.ConsumeBool() ? 200 : 1500, true, true);
  corners.p.constant = draw_rate(bytes, corners);
  std::int64_t shape[kMostAxes] = {}, block[kMostAxes] = {};
  for (int axis = 0; axis < corners.rank; ++axis) {
    block[axis] = corners.shape[axis] == 0
                      ? 1
                      : bytes.ConsumeIntegralInRange<std::int64_t>(1, bytes.ConsumeBool() ? 3 : 70);
    shape[axis] = corners.shape[axis] + block[axis] - 1;
    if (fastdrop::product(shape, 0, axis + 1) > 20000) block[axis] = 1, shape[axis] = corners.shape[axis];
  }
  const std::uint64_t size = fastdrop::product(shape, 0, corners.rank);
  if (size > 40000) return;
  // Where each dropped corner's block ends along an axis, one axis after another.
  const std::vector<std::uint8_t> decisions = corners.decisions();
  std::vector<std::uint8_t> dropped(size);
  for (std::uint64_t i = 0; i < decisions.size(); ++i) {
    std::uint64_t left = i, place = 0, step = 1;
    for (int axis = corners.rank - 1; axis >= 0; --axis) {
      place += left % static_cast<std::uint64_t>(corners.shape[axis]) * step;
      left /= static_cast<std::uint64_t>(corners.shape[axis]),
          step *= static_cast<std::uint64_t>(shape[axis]);
    }
    dropped[place] = decisions[i] == 0;
  }
  for (int axis = 0; axis < corners.rank; ++axis) {
    const std::uint64_t step = fastdrop::product(shape, axis + 1, corners.rank);
    const std::vector<std::uint8_t> before = dropped;
    for (std::uint64_t i = 0; i < size; ++i)
      for (std::uint64_t back = 1; before[i] && back < static_cast<std::uint64_t>(block[axis]); ++back)
        dropped[i + back * step] = 1;
  }
  for (const fastdrop::Isa* isa : isas()) {
    fastdrop::use_isa(isa->name);
    const MaskMemory memory(corners);
    std::vector<std::uint64_t> bits((size + 127) / 128 * 2);
    const std::uint64_t kept =
        fastdrop::draw_blocks(memory.state, corners.rank, shape, block, bits.data(), nullptr);
    bool is_right = kept == size - std::accumulate(dropped.begin(), dropped.end(), std::uint64_t{0});
    for (std::uint64_t i = 0; i < size; ++i) is_right &= (bits[i / 64] >> i % 64 & 1) != dropped[i];
    if (is_right) continue;
    std::string text = Case{fastdrop::kKeepMask, fastdrop::kBool, corners, {}, {}, {}}.text() + "  blocks";
    for (int axis = 0; axis < corners.rank; ++axis) text += " " + std::to_string(block[axis]);
    report(text + " on " + isa->name + ", kept " + std::to_string(kept));
  }
}

namespace {

void check_generate(Bytes& bytes) {
  const int rule = bytes.ConsumeIntegralInRange(0, 1);
  const auto seed = bytes.ConsumeIntegral<std::uint32_t>();
  const std::uint64_t key[2] = {seed * 0x9E3779B97F4A7C15, ~(seed * 0xD1342543DE82EF95)};
  const auto upper = bytes.ConsumeIntegral<std::uint64_t>();
  const std::uint64_t count = bytes.ConsumeIntegral<std::uint8_t>();
  const std::uint64_t first = bytes.ConsumeBool() ? std::uint64_t{0} - count / 2 : draw_index(bytes);
  for (const fastdrop::Isa* isa : isas()) {
    const std::unique_ptr<std::uint32_t[]> words(new std::uint32_t[4 * count]);
    isa->kernels->generate[rule](key, first, upper, count, words.get());
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t number = first + i;
      const oracle::Words wanted =
          oracle::generate(static_cast<oracle::Generator>(rule),
                           {static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(number >> 32),
                            static_cast<std::uint32_t>(upper), static_cast<std::uint32_t>(upper >> 32)},
                           key);
      if (!std::equal(wanted.begin(), wanted.end(), &words[4 * i]))
        report(std::string("generate ") + fastdrop::kKeepRuleNames[rule] + " on " + isa->name + ", block " +
               std::to_string(number));
    }
  }
}

void check_bits(Bytes& bytes) {
  const auto count = bytes.ConsumeIntegralInRange<std::uint64_t>(0, 40);  // words
  const auto distance = bytes.ConsumeIntegralInRange<std::uint64_t>(1, 64 * count + 64);
  const std::uint64_t size = 64 * count;
  std::vector<char> random(size);
  fill_values(bytes, fastdrop::kFloat16, random);
  const std::uint64_t left_out = size == 0 ? 0 : bytes.ConsumeIntegralInRange(0, 7);
  for (const fastdrop::Isa* isa : isas()) {
    std::vector<std::uint8_t> keep(size), packed(size / 8);
    std::vector<std::uint64_t> words(count), wide;
    std::uint64_t ones = 0;
    for (std::uint64_t i = 0; i < size; ++i) {
      keep[i] = random[i] >> 3 & 1;
      words[i / 64] |= std::uint64_t{keep[i]} << i % 64, ones += keep[i];
    }
    isa->kernels->pack_bits(keep.data(), size - left_out, packed.data());
    wide = words;
    isa->kernels->widen_drops(wide.data(), count, distance);
    bool is_right = size == 0 || std::memcmp(packed.data(), words.data(), packed.size()) == 0;
    is_right &= isa->kernels->count_bits(words.data(), count) == ones;
    for (std::uint64_t i = 0; i < size; ++i)
      is_right &= (wide[i / 64] >> i % 64 & 1) == (keep[i] & (i < distance ? 1 : keep[i - distance]));
    if (!is_right)
      report(std::string("bits on ") + isa->name + ", words " + std::to_string(count) + ", distance " +
             std::to_string(distance));
  }
}

// Instruction sets are compared with each other.
void check_functions(Bytes& bytes) {
  const int function = bytes.ConsumeIntegralInRange(0, fastdrop::kFunctionCount - 1);
  const fastdrop::Element type = bytes.ConsumeBool() ? fastdrop::kFloat64 : fastdrop::kFloat32;
  const std::size_t item = fastdrop::kElementBytes[type], count = bytes.ConsumeIntegral<std::uint8_t>();
  std::vector<char> x(count * item), first;
  fill_values(bytes, type, x);
  for (const fastdrop::Isa* isa : isas()) {
    std::vector<char> y(x.size());
    isa->rows->functions[function][type](x.data(), count, y.data());
    if (first.empty()) first = y;
    for (std::size_t at = 0; at < y.size(); at += item)
      if (std::memcmp(&y[at], &first[at], item) != 0 &&
          !(oracle::is_nan(&y[at], type) && oracle::is_nan(&first[at], type)))
        report(std::string(fastdrop::kFunctionNames[function]) + " on " + isa->name + ", element " +
               std::to_string(at / item));
  }
}

}  // namespace

void check_kernels(Bytes& bytes) {
  switch (bytes.ConsumeIntegralInRange(0, 2)) {
    case 0:
      return check_generate(bytes);
    case 1:
      return check_bits(bytes);
    default:
      return check_functions(bytes);
  }
}

}  // namespace fuzz
