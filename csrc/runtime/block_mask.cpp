// SPDX-License-Identifier: BSD-3-Clause
#include "block_mask.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "../dispatch/isa_registry.h"
#include "interrupt.h"
#include "run.h"

namespace fastdrop {
namespace {

constexpr std::uint64_t kGroup = 8;  // decisions that are handled as one number
constexpr std::uint64_t kAllKept = 0x0101010101010101;
constexpr std::uint64_t kPartElements = 1 << 13;  // about so many go through the buffers at a time

// Copies rows that lie one after another to where they begin rows of another length. The rest is kept. Groups
// are written whole: what they overwrite comes later, or is kept.
void spread_rows(const std::uint8_t* from, std::uint64_t length, std::uint64_t rows, std::uint8_t* to,
                 std::uint64_t pitch) {
  const std::uint64_t last = (length - 1) / kGroup * kGroup, left = length - last;  // of the last group
  const std::uint64_t beside = left == kGroup ? 0 : kAllKept << (8 * left);
  const std::uint64_t corners = beside == 0 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * left)) - 1;
  for (std::uint64_t row = 0; row < rows; ++row, from += length, to += pitch) {
    std::uint64_t group;
    for (std::uint64_t at = 0; at < last; at += kGroup) {
      std::memcpy(&group, from + at, sizeof group);
      std::memcpy(to + at, &group, sizeof group);
    }
    std::memcpy(&group, from + last, sizeof group);
    group = (group & corners) | beside;
    std::memcpy(to + last, &group, sizeof group);
  }
}

// The corners' decisions, as bytes where the corners are; everything else is kept.
void place_corners(const std::uint8_t* drawn, int rank, const std::int64_t* corner_shape,
                   const std::int64_t* shape, std::uint8_t* keep) {
  const auto length = static_cast<std::uint64_t>(corner_shape[rank - 1]);
  const auto pitch = static_cast<std::uint64_t>(shape[rank - 1]);
  const auto rows = static_cast<std::uint64_t>(rank > 1 ? corner_shape[rank - 2] : 1);
  std::int64_t index[kMaxRank] = {};  // of the axes before the last two; it counts as an odometer does
  for (bool more = true; more;) {
    std::uint64_t place = 0;
    for (int axis = 0; axis < rank - 2; ++axis)
      place = (place + static_cast<std::uint64_t>(index[axis])) * static_cast<std::uint64_t>(shape[axis + 1]);
    spread_rows(drawn, length, rows, keep + place * pitch, pitch);
    drawn += length * rows;
    more = false;
    for (int axis = rank - 3; axis >= 0 && !more; --axis) {
      more = ++index[axis] < corner_shape[axis];
      if (!more) index[axis] = 0;
    }
  }
}

}  // namespace

std::uint64_t draw_blocks(const MaskState& corners, int rank, const std::int64_t* shape,
                          const std::int64_t* block, std::uint64_t* bits, Interrupt* interrupt) {
  // Parts that share no block: those of the axes before the first one along which blocks extend. Several at a
  // time, so many that they end with a word of bits, go through buffers that fit a cache.
  int outer = 0;
  while (outer < rank && block[outer] == 1) ++outer;
  const std::uint64_t parts = product(shape, 0, outer), size = product(shape, outer, rank);
  if (parts * size == 0) return 0;
  std::int64_t part_shape[kMaxRank + 1], corner_shape[kMaxRank + 1];
  for (int axis = outer; axis < rank; ++axis) {
    part_shape[axis - outer + 1] = shape[axis];
    corner_shape[axis - outer + 1] = shape[axis] - block[axis] + 1;
  }
  const int part_rank = rank - outer + 1;
  const std::uint64_t corner_count = product(corner_shape, 1, part_rank);
  const std::uint64_t whole_words = 64 / std::gcd(size, std::uint64_t{64});
  const std::uint64_t together = std::min(parts, (kPartElements / size / whole_words + 1) * whole_words);
  std::vector<std::uint8_t> drawn(together * corner_count + kGroup), keep(together * size + 64);
  const std::uint64_t words = (parts * size + 63) / 64;
  const KernelTable& kernels = *current_isa().kernels;
  for (std::uint64_t first = 0; first < parts; first += together) {
    const std::uint64_t count = std::min(together, parts - first);
    part_shape[0] = corner_shape[0] = static_cast<std::int64_t>(count);
    const auto corners_here = static_cast<std::int64_t>(count * corner_count);
    Request request{kKeepMask, kBool, corners, {first * corner_count, 1, &corners_here, nullptr},
                    {},        {},    {},      interrupt};
    request.outputs[0].data = drawn.data();
    run(request);
    std::memset(keep.data(), 1, count * size);
    place_corners(drawn.data(), part_rank, corner_shape, part_shape, keep.data());
    std::memset(keep.data() + count * size, 0, kGroup);
    kernels.pack_bits(keep.data(), count * size, reinterpret_cast<std::uint8_t*>(bits) + first * size / 8);
    if (stops(interrupt, count * size)) return 0;
  }
  // Where a corner is dropped, the elements of its block that follow along one axis after another. A whole
  // block fits where its corner is, so nothing runs over the end of an axis. Each round makes runs up to
  // twice as long.
  for (int axis = 0; axis < rank; ++axis) {
    const auto side = static_cast<std::uint64_t>(block[axis]);
    for (std::uint64_t dropped = 1; dropped < side;) {
      const std::uint64_t more = std::min(dropped, side - dropped);
      kernels.widen_drops(bits, words, more * product(shape, axis + 1, rank));
      dropped += more;
      if (stops(interrupt, 64 * words)) return 0;
    }
  }
  return kernels.count_bits(bits, words);
}

}  // namespace fastdrop
