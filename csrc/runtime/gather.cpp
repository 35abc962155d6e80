// SPDX-License-Identifier: BSD-3-Clause
#include "gather.h"

#include <algorithm>
#include <cstring>

namespace fastdrop {
namespace {

// A call to a kernel takes as long as so many decisions in one that is under way.
constexpr std::uint64_t kCallDecisions = 512;

// Decisions about neighbouring indices, made in one call and picked out of it.
class Stretch {
 public:
  Stretch(Kernel keep_mask, const KeepArgs& keep) : keep_mask_(keep_mask) { args_.keep = keep; }

  // `count` decisions that are `stride` apart, of which others will follow up to `beyond` above or below.
  void pick(std::uint64_t index, std::uint64_t stride, std::uint64_t count, std::int64_t beyond,
            std::uint8_t* bytes) {
    const bool down = static_cast<std::int64_t>(stride) < 0;
    const std::uint64_t step = down ? 0 - stride : stride;
    const std::uint64_t at_once = 1 + (kBlockDecisions - 1) / step;
    for (std::uint64_t done = 0; done < count;) {
      const std::uint64_t part = std::min(at_once, count - done), reach = (part - 1) * step;
      const std::uint64_t first = index + done * stride;
      const std::uint8_t* lowest = decided(down ? first - reach : first, reach + 1, beyond);
      if (stride == 1)
        std::memcpy(bytes + done, lowest, part);
      else
        for (std::uint64_t i = 0; i < part; ++i) bytes[done + i] = lowest[down ? reach - i * step : i * step];
      done += part;
    }
  }

 private:
  const std::uint8_t* decided(std::uint64_t first, std::uint64_t count, std::int64_t beyond) {
    const std::uint64_t place = first - args_.start;
    if (place < args_.element_count && count <= args_.element_count - place) return bytes_ + place;
    const std::uint64_t free = kBlockDecisions - count;
    const std::uint64_t more = std::min(free, static_cast<std::uint64_t>(beyond < 0 ? -beyond : beyond));
    const std::uint64_t below = beyond < 0 ? more : 0;
    args_.out = bytes_, args_.start = first - below, args_.element_count = count + more;
    keep_mask_(args_);
    return bytes_ + below;
  }

  Kernel keep_mask_;
  KernelArgs args_{};
  std::uint8_t bytes_[kBlockDecisions];
};

struct Chunks {
  std::uint8_t of[2][kSpreadPast];
  constexpr Chunks() : of() {
    for (std::uint8_t& byte : of[1]) byte = 1;
  }
};

}  // namespace

void gather(const Rows& rows, Kernel keep_mask, const KeepArgs& keep, std::uint64_t first, std::uint64_t last,
            std::uint8_t* bytes) {
  Stretch stretch(keep_mask, keep);
  while (first < last) {
    const std::uint64_t count = std::min(rows.left_in_row(first), last - first);
    stretch.pick(rows.place(first), rows.stride(), count, rows.beyond(first, kCallDecisions), bytes);
    first += count, bytes += count;
    // Rows that are the same again are copied, ever more at once.
    if (count < rows.length()) continue;
    const std::uint64_t again = std::min(rows.same_after(first / rows.length()) * count, last - first);
    const std::uint8_t* row = bytes - count;
    for (std::uint64_t copied = 0; copied < again;) {
      const std::uint64_t part = std::min(count + copied, again - copied);
      std::memcpy(bytes, row, part);
      bytes += part, copied += part;
    }
    first += again;
  }
}

void spread(const std::uint8_t* decisions, std::uint64_t repeat, std::uint64_t missing, std::uint64_t count,
            std::uint8_t* bytes) {
  static constexpr Chunks kChunks{};
  const std::uint8_t* const end = bytes + count;
  const auto write = [&](std::uint64_t length) {
    // Too far, in whole chunks: the next decision overwrites that.
    const std::uint8_t* chunk = kChunks.of[*decisions++];
    for (std::uint64_t i = 0; i < length; i += kSpreadPast) std::memcpy(bytes + i, chunk, kSpreadPast);
    bytes += length;
  };
  const auto left = [&] { return static_cast<std::uint64_t>(end - bytes); };
  write(std::min(repeat - missing, count));
  while (left() >= repeat) write(repeat);
  if (left() > 0) write(left());
}

}  // namespace fastdrop
