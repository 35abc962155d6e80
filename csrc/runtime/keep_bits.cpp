// SPDX-License-Identifier: BSD-3-Clause
#include "keep_bits.h"

#include <algorithm>
#include <cstring>

#include "interrupt.h"
#include "run.h"
#include "threshold.h"

namespace fastdrop {

KeepBitsSource::KeepBitsSource(const Isa& isa, const MaskState& mask, const Window& window,
                               Interrupt* interrupt, std::uint8_t* memory, GatherScratch& scratch)
    : kernels_(*isa.kernels),
      mask_(mask),
      window_(window),
      interrupt_(interrupt),
      scratch_(scratch),
      rows_(window),
      has_runs_(rows_.repeat() == 1 && rows_.stride() == 1),
      is_drawn_(has_runs_ && !are_alike() && mask.rule < kGeneratorCount && mask.p.varying == nullptr) {
  keep_.bits = memory;
  if (!is_drawn_) return;
  keep_.mask = keep_args(mask, p());
  kernels_.begin_bits[mask.rule](keep_);
}

std::uint64_t KeepBitsSource::begin(std::uint64_t first, std::uint64_t count) {
  keep_.there = ~std::uint64_t{0};
  keep_.rule = kGathered;
  if (count == 0) return 0;  // no index is there
  if (are_alike()) {
    std::memset(keep_.bits, p() == 0 ? 0xFF : 0, bytes_for(count));
    return 0;
  }
  const std::uint64_t index = rows_.index_at(first);
  const bool is_one_run = count <= run_left(first);
  if (is_drawn_ && is_one_run) {
    keep_.rule = mask_.rule;
    const std::uint64_t offset = index % kMaxTileElements;
    keep_.there = 0, keep_.wanted = offset + count;
    keep_.next_tile = (index - offset) / static_cast<std::uint64_t>(kernels_.tile_elements);
    return offset;
  }
  if (is_one_run && mask_.rule == kStored) {
    std::memcpy(keep_.bits, mask_.bits + index / 8, (index % 8 + count + 7) / 8);
    return index % 8;
  }
  gather(first, count);
  return 0;
}

void KeepBitsSource::gather(std::uint64_t first, std::uint64_t count) {
  std::uint8_t* const bytes = scratch_.bytes;
  for (std::uint64_t done = 0; done < count; done += kBlockDecisions) {
    if (stops(interrupt_, done)) return;
    const std::uint64_t part = std::min(kBlockDecisions, count - done);
    decide(mask_, window_, first + done, part, bytes, scratch_.scratch);
    std::memset(bytes + part, 0, (8 - part % 8) % 8);
    kernels_.pack_bits(bytes, part, keep_.bits + done / 8);
  }
}

}  // namespace fastdrop
