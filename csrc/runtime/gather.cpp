// SPDX-License-Identifier: BSD-3-Clause
#include "gather.h"

#include <algorithm>
#include <cstring>

namespace fastdrop {
namespace {

// The decisions about `count` indices that are `stride` apart, as bytes.
void decide(Kernel keep_mask, const KeepArgs& keep, std::uint64_t index, std::uint64_t stride,
            std::uint64_t count, std::uint8_t* bytes) {
  KernelArgs args{};
  args.keep = keep;
  if (stride == 1) {
    args.out = bytes, args.start = index, args.element_count = count;
    return keep_mask(args);
  }
  // What lies between is decided too: up to a thousand or so that takes less than a call for each index.
  std::uint8_t span[kBlockDecisions];
  const bool down = static_cast<std::int64_t>(stride) < 0;
  const std::uint64_t step = down ? 0 - stride : stride;
  const std::uint64_t at_once = 1 + (sizeof span - 1) / step;
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t part = std::min(at_once, count - done), reach = (part - 1) * step;
    const std::uint64_t first = index + done * stride;
    args.out = span, args.start = down ? first - reach : first, args.element_count = reach + 1;
    keep_mask(args);
    for (std::uint64_t i = 0; i < part; ++i) bytes[done + i] = span[down ? reach - i * step : i * step];
    done += part;
  }
}

struct Chunks {
  std::uint8_t of[2][kSpreadPast];
  constexpr Chunks() : of() {
    for (std::uint8_t& byte : of[1]) byte = 1;
  }
};

}  // namespace

void gather(const Rows& rows, Kernel keep_mask, const KeepArgs& keep, std::uint64_t first, std::uint64_t last,
            std::uint8_t* bytes) {
  while (first < last) {
    const std::uint64_t count = std::min(rows.left_in_row(first), last - first);
    decide(keep_mask, keep, rows.place(first), rows.stride(), count, bytes);
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
  for (std::uint64_t length = repeat - missing; bytes < end; length = repeat) {
    // Too far, in whole chunks: the next decision overwrites that.
    const std::uint64_t until = std::min<std::uint64_t>(length, end - bytes);
    for (std::uint64_t i = 0; i < until; i += kSpreadPast)
      std::memcpy(bytes + i, kChunks.of[*decisions], kSpreadPast);
    bytes += until;
    ++decisions;
  }
}

}  // namespace fastdrop
