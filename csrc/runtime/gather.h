// SPDX-License-Identifier: BSD-3-Clause
// Decisions in the order of a window whose elements are not consecutive in the whole mask.
#pragma once
#include <cstdint>

#include "rows.h"
#include "scratch.h"
#include "tuning.h"

namespace fastdrop {

// Decisions about neighbouring indices: made in one call of the kernel, and taken from there.
class KeepCache {
 public:
  // keep_mask writes the decisions of a run of indices, and `keep` says of which mask. `memory` holds
  // kBlockDecisions bytes.
  KeepCache(Kernel keep_mask, const KeepArgs& keep, std::uint8_t* memory)
      : keep_mask_(keep_mask), bytes_(memory) {
    args_.keep = keep;
  }

  // Writes `count` decisions that are `stride` apart. The next ones are at most `reach` above or below.
  void take(std::uint64_t index, std::uint64_t stride, std::uint64_t count, std::int64_t reach,
            std::uint8_t* bytes);

  // Writes those of a run of indices, past the cache. Where p varies, `varying` points to its thresholds.
  void draw(std::uint64_t index, std::uint64_t count, std::uint8_t* bytes,
            const KeepArgs* varying = nullptr) const;

 private:
  const std::uint8_t* decisions(std::uint64_t first, std::uint64_t count, std::int64_t reach);

  Kernel keep_mask_;
  KernelArgs args_{};
  std::uint8_t* const bytes_;
};

// Writes the decisions at the positions from `first` to `last`, at most kBlockDecisions, as bytes. Where p
// varies, rows must have stride 1, and `varying` points to the thresholds from position `first` on.
void gather(const Rows& rows, KeepCache& cache, const KeepArgs* varying, std::uint64_t first,
            std::uint64_t last, std::uint8_t* bytes);

// Writes every decision `repeat` times, the first one only `repeat - skip` times, `count` bytes in all. May
// overwrite up to kMaxOverwrite bytes after them.
void repeat_each(const std::uint8_t* decisions, std::uint64_t repeat, std::uint64_t skip, std::uint64_t count,
                 std::uint8_t* bytes);

}  // namespace fastdrop
