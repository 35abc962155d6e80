// SPDX-License-Identifier: BSD-3-Clause
// Masks: their windows in index space, and their rates.
#include <algorithm>
#include <cmath>

#include "case.h"

namespace fuzz {
namespace {

constexpr std::int64_t kMostStored = 20000;  // indices that a stored mask's window reaches

std::int64_t draw_length(Bytes& bytes, std::int64_t most) {
  // Around the sizes of blocks, registers, strips, tiles and their pairs.
  static constexpr std::int64_t kLengths[] = {1,  2,  3,  4,  5,  7,   8,   9,   15,  16,  17,  31,  32,
                                              33, 63, 64, 65, 96, 127, 128, 129, 255, 256, 257, 511, 513};
  const auto choice = bytes.ConsumeIntegral<std::uint8_t>();
  if (choice == 255) return 0;
  const std::int64_t length = choice < 128 ? kLengths[choice % std::size(kLengths)]
                                           : bytes.ConsumeIntegralInRange<std::int64_t>(1, most);
  return std::min(length, most);
}

struct Reach {
  __int128 lowest = 0, highest = 0;
};
Reach reach_of(const MaskCase& mask) {
  Reach reach;
  for (int axis = 0; axis < mask.rank; ++axis) {
    const __int128 along =
        static_cast<__int128>(std::max<std::int64_t>(mask.shape[axis], 1) - 1) * mask.window.strides[axis];
    (along < 0 ? reach.lowest : reach.highest) += along;
  }
  return reach;
}

void set_c_order(MaskCase& mask) {
  std::int64_t next = 1;
  for (int axis = mask.rank - 1; axis >= 0; --axis) {
    mask.window.strides[axis] = next;
    next *= mask.shape[axis];
  }
}

// What slicing, transposing and shared axes make of a whole mask, and strides that nothing makes.
void draw_strides(Bytes& bytes, MaskCase& mask) {
  const int kind = bytes.ConsumeIntegralInRange(0, 7);
  mask.window.is_c_order = kind == 0;
  set_c_order(mask);
  if (kind <= 1) return;
  if (kind == 2) {
    for (int axis = 0; axis < mask.rank; ++axis)
      mask.window.strides[axis] = bytes.ConsumeBool() ? bytes.ConsumeIntegralInRange<std::int64_t>(-40, 40)
                                                      : bytes.ConsumeIntegralInRange(-(1LL << 41), 1LL << 41);
    return;
  }
  const auto flags = bytes.ConsumeIntegral<std::uint16_t>();
  int order[kMostAxes] = {0, 1, 2, 3};
  if (kind == 3 || kind == 4)
    for (int i = 0; i + 1 < mask.rank; ++i) std::swap(order[i], order[i + (flags >> i & 1)]);
  std::int64_t next = 1;
  for (int i = mask.rank - 1; i >= 0; --i) {
    const int axis = order[i];
    const bool is_shared = kind >= 6 && (flags >> (4 + axis) & 1);
    const std::int64_t step = kind == 3 || kind == 5 ? 1 + (flags >> (4 + 2 * axis) & 3) : 1;
    const std::int64_t sign = kind == 5 && (flags >> (12 + axis) & 1) ? -1 : 1;
    mask.window.strides[axis] = is_shared ? 0 : sign * step * next;
    if (!is_shared)
      next *= std::max<std::int64_t>(mask.shape[axis], 1) * step + (kind == 4 ? flags >> 14 : 0);
  }
}

// A rate whose D is the number of an element, or one more. A double has 53 bits, so that this takes a number
// below 2^53, or as near to 2^64.
double aimed_exactly(const MaskCase& mask, int more) {
  if (mask.rule == fastdrop::kStored) return 0.5;
  oracle::Stream stream = mask.drawn();
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(mask.count(), 400); ++i) {
    const std::uint64_t index = mask.index(i), word = stream.word(index);
    if (word > 31 && word < 65504) continue;
    const std::uint64_t bound = stream.number(index) + static_cast<std::uint64_t>(more);
    const double rate = word <= 31 ? std::ldexp(static_cast<double>(bound), -64)
                                   : -std::ldexp(static_cast<double>(0 - bound), -64);
    return rate == 0 ? 0.5 : rate;
  }
  return 0x1p-11;
}

}  // namespace

std::uint64_t index_in(const WindowCase& window, int rank, const std::int64_t* shape, std::uint64_t element) {
  std::uint64_t index = window.start;
  for (int axis = rank - 1; axis >= 0; --axis) {
    const auto length = static_cast<std::uint64_t>(shape[axis]);
    index += element % length * static_cast<std::uint64_t>(window.strides[axis]);
    element /= length;
  }
  return index;
}

double ValueCase::at(std::uint64_t element, int rank, const std::int64_t* shape) const {
  return varies ? values[index_in(window, rank, shape, element)] : constant;
}

std::uint64_t MaskCase::count() const { return fastdrop::product(shape, 0, rank); }
std::uint64_t MaskCase::index(std::uint64_t element) const { return index_in(window, rank, shape, element); }

std::vector<std::uint8_t> MaskCase::decisions() const {
  std::vector<std::uint8_t> keep(count());
  oracle::Stream stream = drawn();
  for (std::uint64_t i = 0; i < keep.size(); ++i) {
    const std::uint64_t at = index(i);
    keep[i] = rule == fastdrop::kStored ? bits[at / 8] >> at % 8 & 1 : stream.kept(at, p.at(i, rank, shape));
  }
  return keep;
}

std::uint64_t draw_index(Bytes& bytes) {
  static constexpr int kPowers[] = {0, 31, 32, 43, 62, 63, 35, 36};  // 2^35 and 2^36: blocks' counters
  const int power = kPowers[bytes.ConsumeIntegralInRange(0, 7)];
  const auto beside = bytes.ConsumeIntegral<std::int16_t>();
  const std::uint64_t base = power == 0 ? 0 : std::uint64_t{1} << power;
  const std::uint64_t index =
      base + static_cast<std::uint64_t>(base == 0 ? std::abs(int{beside}) : beside / 16);
  return std::min(index, (std::uint64_t{1} << 63) - 1);
}

double draw_rate(Bytes& bytes, const MaskCase& mask) {
  const auto fraction = bytes.ConsumeIntegral<std::uint16_t>();
  switch (bytes.ConsumeIntegralInRange(0, 13)) {
    case 0:
      return 0;
    case 1:
      return 1;
    case 2:
      return fraction / 65536.0;
    case 3:  // one double beside it
      return std::min(std::nextafter(fraction / 65536.0, fraction % 2), 1.0);
    case 4:
      return std::ldexp(fraction + 1.0, -1074);
    case 5:
      return -std::ldexp(fraction + 1.0, -17 - fraction % 128);
    case 6:
      return 1 - std::ldexp(1.0, -1 - fraction % 53);
    case 7:
      return std::ldexp(fraction + 1.0, -16 - fraction % 90);
    case 8:
      return -std::nextafter(1 - fraction / 65537.0, 0);
    case 9:
      return bytes.ConsumeProbability<double>();
    case 10:
      return aimed_exactly(mask, fraction % 2);
    default: {  // the number of an element, or one beside it: its first 16 bits tie, and the rest decides
      if (mask.rule == fastdrop::kStored || mask.count() == 0) return 0.5;
      oracle::Stream stream = mask.drawn();
      const std::uint64_t number = stream.number(mask.index(fraction % mask.count()));
      const double p = std::ldexp(static_cast<double>(number), -64);
      return fraction % 3 == 0 ? p : std::min(std::nextafter(p, fraction % 3 - 1), 1.0);
    }
  }
}

MaskCase draw_mask(Bytes& bytes, int least_rank, std::int64_t size, bool is_whole, bool from_generator) {
  MaskCase mask;
  mask.rule = static_cast<fastdrop::KeepRule>(bytes.ConsumeIntegralInRange(0, from_generator ? 1 : 2));
  const auto seed = bytes.ConsumeIntegral<std::uint32_t>();
  mask.key[0] = seed * 0x9E3779B97F4A7C15, mask.key[1] = ~(seed * 0xD1342543DE82EF95);
  mask.stream = bytes.ConsumeBool() ? draw_index(bytes) : bytes.ConsumeIntegral<std::uint8_t>();
  mask.rank = bytes.ConsumeIntegralInRange(least_rank, kMostAxes);
  for (int axis = mask.rank - 1; axis >= 0; --axis) {
    mask.shape[axis] = draw_length(bytes, std::max<std::int64_t>(size, 1));
    size /= std::max<std::int64_t>(mask.shape[axis], 1);
  }
  mask.window.is_c_order = true;
  set_c_order(mask);
  if (is_whole) return mask;
  draw_strides(bytes, mask);
  const std::uint64_t wanted = draw_index(bytes);
  const bool is_stored = mask.rule == fastdrop::kStored;
  const __int128 most = is_stored ? kMostStored : (static_cast<__int128>(1) << 63) - 1;
  Reach reach = reach_of(mask);
  if (reach.highest - reach.lowest >= most) {
    set_c_order(mask);
    reach = reach_of(mask);
  }
  const __int128 start = is_stored ? wanted % 300 - reach.lowest : static_cast<__int128>(wanted);
  mask.window.start = static_cast<std::uint64_t>(std::clamp(start, -reach.lowest, most - reach.highest));
  if (is_stored) {
    const auto items =
        mask.count() == 0 ? 0 : mask.window.start + static_cast<std::uint64_t>(reach.highest) + 1;
    mask.bits.resize((items + 127) / 128 * 16);
    std::uint64_t state = seed;
    for (std::uint8_t& byte : mask.bits) {
      state = state * 6364136223846793005 + 1442695040888963407;
      byte = static_cast<std::uint8_t>(state >> 56);
    }
  }
  return mask;
}

}  // namespace fuzz
