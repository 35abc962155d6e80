// SPDX-License-Identifier: BSD-3-Clause
#include "block_mask.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "../dispatch/isa_registry.h"
#include "run.h"

namespace fastdrop {
namespace {

constexpr std::uint64_t kGroup = 8;  // decisions that are handled as one number
constexpr std::uint64_t kAllKept = 0x0101010101010101;

std::uint64_t product(const std::int64_t* lengths, int from, int to) {
  std::uint64_t count = 1;
  for (int axis = from; axis < to; ++axis) count *= static_cast<std::uint64_t>(lengths[axis]);
  return count;
}

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

// bits[i] &= bits[i - distance] for all i from `distance` on, from the last to the first: each sees what the
// other was before.
void widen_drops(std::uint64_t* words, std::uint64_t count, std::uint64_t distance) {
  const std::uint64_t whole = distance / 64, part = distance % 64;
  for (std::uint64_t i = count; i-- > whole;) {
    std::uint64_t before = words[i - whole] << part;
    if (part != 0) before |= (i > whole ? words[i - whole - 1] : ~std::uint64_t{0}) >> (64 - part);
    words[i] &= before;
  }
}

// The corners' decisions, as bytes where the corners are; everything else is kept.
void place_corners(const std::uint8_t* drawn, int rank, const std::int64_t* corner_shape,
                   const std::int64_t* shape, std::uint8_t* keep) {
  if (rank == 0) {
    *keep = *drawn;
    return;
  }
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
                          const std::int64_t* block, std::uint8_t* bits) {
  std::int64_t corner_shape[kMaxRank];
  for (int axis = 0; axis < rank; ++axis) corner_shape[axis] = shape[axis] - block[axis] + 1;
  const std::uint64_t size = product(shape, 0, rank), words = (size + 63) / 64;
  if (size == 0) return 0;
  std::vector<std::uint8_t> drawn(product(corner_shape, 0, rank) + kGroup), keep(64 * words + kGroup, 1);
  Request request{kKeepMask, kBool, corners, {0, rank, corner_shape, nullptr}, {}, {}, {}};
  request.outputs[0].data = drawn.data();
  run(request);
  place_corners(drawn.data(), rank, corner_shape, shape, keep.data());
  std::fill(keep.begin() + static_cast<std::ptrdiff_t>(size), keep.end(), 0);

  const KernelTable& kernels = *current_isa().kernels;
  std::vector<std::uint64_t> packed(words);
  auto* const packed_bytes = reinterpret_cast<std::uint8_t*>(packed.data());
  kernels.pack_bits(keep.data(), size, packed_bytes);
  // Where a corner is dropped, the elements of its block that follow along one axis after another. A whole
  // block fits where its corner is, so nothing runs over the end of an axis. Each round makes runs up to
  // twice as long.
  for (int axis = 0; axis < rank; ++axis) {
    const auto side = static_cast<std::uint64_t>(block[axis]);
    for (std::uint64_t dropped = 1; dropped < side;) {
      const std::uint64_t more = std::min(dropped, side - dropped);
      widen_drops(packed.data(), words, more * product(shape, axis + 1, rank));
      dropped += more;
    }
  }
  std::memcpy(bits, packed_bytes, (size + 7) / 8);
  return kernels.count_bits(packed.data(), words);
}

}  // namespace fastdrop
