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
  // What lies between is decided too: up to about a thousand that takes less than a call for each index.
  std::uint8_t span[1024];
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

void store_little(std::uint64_t word, std::uint8_t* bytes) {
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(word >> (8 * i));
}

// Eight bytes, 0 or 1, to the bits of one. In the product byte i has been moved to the places 8i + 7k, k
// = 1..8, which differ from each other; 56 + i is the one with k = 8 - i.
void pack(const std::uint8_t* bytes, std::uint64_t count, std::uint8_t* bits) {
  for (std::uint64_t i = 0; i < count; i += 8) {
    std::uint64_t eight = 0;
    for (int j = 0; j < 8; ++j) eight |= std::uint64_t{bytes[i + j]} << (8 * j);
    bits[i / 8] = static_cast<std::uint8_t>(eight * 0x0102040810204080 >> 56);
  }
}

// Every byte as so many bits, the first `missing` left out: `count` bits.
void spread(const std::uint8_t* bytes, std::uint64_t repeat, std::uint64_t missing, std::uint64_t count,
            std::uint8_t* bits) {
  std::uint64_t word = 0, end = repeat - missing;
  for (std::uint64_t place = 0; place < count; end += repeat) {
    // The word is filled up with this decision, and what follows overwrites its upper part.
    const std::uint64_t fill = std::uint64_t{0} - *bytes++;
    const std::uint64_t below = (std::uint64_t{1} << place % 64) - 1;
    word = (word & below) | (fill & ~below);
    const std::uint64_t until = std::min(end, count);
    for (; place / 64 < until / 64; place += 64) {
      store_little(word, bits + place / 64 * 8);
      word = fill;
    }
    place = until;
  }
  if (count % 64 != 0) store_little(word, bits + count / 64 * 8);
}

}  // namespace

void gather(const Rows& rows, Kernel keep_mask, const KeepArgs& keep, std::uint64_t first, std::uint64_t last,
            std::uint8_t (&bits)[kGatherElements / 8]) {
  const std::uint64_t repeat = rows.repeat(), missing = first % repeat;
  const std::uint64_t begin = first / repeat, end = (last - 1) / repeat + 1;
  std::uint8_t bytes[kGatherElements + 8];
  for (std::uint64_t at = begin; at < end;) {
    const std::uint64_t count = std::min(rows.length() - at % rows.length(), end - at);
    decide(keep_mask, keep, rows.place(at), rows.stride(), count, bytes + (at - begin));
    at += count;
  }
  std::memset(bytes + (end - begin), 0, 8);
  if (repeat == 1)
    pack(bytes, last - first, bits);
  else
    spread(bytes, repeat, missing, last - first, bits);
}

}  // namespace fastdrop
