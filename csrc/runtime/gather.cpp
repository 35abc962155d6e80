// SPDX-License-Identifier: BSD-3-Clause
#include "gather.h"

#include <algorithm>
#include <cstring>

namespace fastdrop {
namespace {

// Eight at a time: the compiler reverses single bytes at one a cycle.
void reverse_copy(const std::uint8_t* from, std::uint64_t count, std::uint8_t* to) {
  std::uint64_t done = 0;
  for (; count - done >= 8; done += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, from + count - done - 8, sizeof eight);
    eight = __builtin_bswap64(eight);
    std::memcpy(to + done, &eight, sizeof eight);
  }
  for (; done < count; ++done) to[done] = from[count - 1 - done];
}

struct Chunks {
  std::uint8_t bytes[2][kMaxOverwrite];
  constexpr Chunks() : bytes() {
    for (std::uint8_t& byte : bytes[1]) byte = 1;
  }
};

}  // namespace

void KeepCache::take(std::uint64_t index, std::uint64_t stride, std::uint64_t count, std::int64_t reach,
                     std::uint8_t* bytes) {
  const bool down = static_cast<std::int64_t>(stride) < 0;
  const std::uint64_t step = down ? 0 - stride : stride;
  const std::uint64_t at_once = 1 + (kBlockDecisions - 1) / step;
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t part = std::min(at_once, count - done), extent = (part - 1) * step;
    const std::uint64_t first = index + done * stride;
    const std::uint8_t* lowest = decisions(down ? first - extent : first, extent + 1, reach);
    if (stride == 1)
      std::memcpy(bytes + done, lowest, part);
    else if (step == 1)
      reverse_copy(lowest, part, bytes + done);
    else if (down)
      for (std::uint64_t i = 0; i < part; ++i) bytes[done + i] = lowest[extent - i * step];
    else
      for (std::uint64_t i = 0; i < part; ++i) bytes[done + i] = lowest[i * step];
    done += part;
  }
}

void KeepCache::draw(std::uint64_t index, std::uint64_t count, std::uint8_t* bytes,
                     const KeepArgs* varying) const {
  KernelArgs args{};
  args.keep = varying == nullptr ? args_.keep : *varying;
  args.outputs[0] = bytes, args.start = index, args.element_count = count;
  keep_mask_(args);
}

const std::uint8_t* KeepCache::decisions(std::uint64_t first, std::uint64_t count, std::int64_t reach) {
  const std::uint64_t offset = first - args_.start;
  if (offset < args_.element_count && count <= args_.element_count - offset) return bytes_ + offset;
  const std::uint64_t free = kBlockDecisions - count;
  const std::uint64_t more = std::min(free, static_cast<std::uint64_t>(reach < 0 ? -reach : reach));
  const std::uint64_t below = reach < 0 ? more : 0;
  args_.outputs[0] = bytes_, args_.start = first - below, args_.element_count = count + more;
  keep_mask_(args_);
  return bytes_ + below;
}

void gather(const Rows& rows, KeepCache& cache, const KeepArgs* varying, std::uint64_t first,
            std::uint64_t last, std::uint8_t* bytes) {
  if (rows.stride() == 1 && rows.left_in_row(first) >= last - first)
    return cache.draw(rows.index_at(first), last - first, bytes, varying);
  KeepArgs here{};
  if (varying != nullptr) here = *varying;
  const auto go_on = [&](std::uint64_t count) {
    first += count, bytes += count;
    if (varying != nullptr) here.varying_high += count, here.varying_low += count;
  };
  while (first < last) {
    const std::uint64_t count = std::min(rows.left_in_row(first), last - first);
    if (varying != nullptr)
      cache.draw(rows.index_at(first), count, bytes, &here);
    else
      cache.take(rows.index_at(first), rows.stride(), count, rows.reach_of_next_rows(first, kRunElements),
                 bytes);
    go_on(count);
    // Identical rows are copied, ever more at once.
    if (count < rows.length()) continue;
    const std::uint64_t again =
        std::min(rows.identical_rows_after(first / rows.length()) * count, last - first);
    const std::uint8_t* row = bytes - count;
    for (std::uint64_t copied = 0; copied < again;) {
      const std::uint64_t part = std::min(count + copied, again - copied);
      std::memcpy(bytes + copied, row, part);
      copied += part;
    }
    go_on(again);
  }
}

void repeat_each(const std::uint8_t* decisions, std::uint64_t repeat, std::uint64_t skip, std::uint64_t count,
                 std::uint8_t* bytes) {
  static constexpr Chunks kChunks{};
  const std::uint8_t* const end = bytes + count;
  const auto write = [&](std::uint64_t length) {
    // Too far, in whole chunks: the next decision overwrites the rest.
    const std::uint8_t* chunk = kChunks.bytes[*decisions++];
    for (std::uint64_t i = 0; i < length; i += kMaxOverwrite) std::memcpy(bytes + i, chunk, kMaxOverwrite);
    bytes += length;
  };
  const auto left = [&] { return static_cast<std::uint64_t>(end - bytes); };
  write(std::min(repeat - skip, count));
  while (left() >= repeat) write(repeat);
  if (left() > 0) write(left());
}

}  // namespace fastdrop
