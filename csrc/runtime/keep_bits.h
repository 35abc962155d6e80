// SPDX-License-Identifier: BSD-3-Clause
// The decisions about consecutive elements of a window as bits, as kernels on rows take them.
#pragma once
#include <cstdint>

#include "../dispatch/isa_registry.h"
#include "request.h"
#include "rows.h"
#include "scratch.h"
#include "tuning.h"

namespace fastdrop {

// What gathering needs beside the stack.
struct GatherScratch {
  std::uint8_t bytes[kBlockDecisions];
  Scratch scratch;
};

class KeepBitsSource {
 public:
  // `isa` is that of the kernels that will read the bits, which may draw by the tiles counted here; another
  // thread may have switched since. `memory` holds bytes_for(count) bytes for every count that begin() will
  // see.
  KeepBitsSource(const Isa& isa, const MaskState& mask, const Window& window, Interrupt* interrupt,
                 std::uint8_t* memory, GatherScratch& scratch);

  static constexpr std::uint64_t bytes_for(std::uint64_t count) {
    return (count + 7) / 8 + 2 * kKeepBitsSlack;  // a first tile that begins earlier, and what is read beyond
  }

  // Whether the decisions depend on nothing but p: all are kept, or all dropped.
  bool are_alike() const {
    return mask_.rule != kStored && mask_.p.varying == nullptr && (p() == 0 || p() == 1);
  }

  // How many elements, from `first` on, have indices that follow each other.
  std::uint64_t run_left(std::uint64_t first) const { return has_runs_ ? rows_.left_in_row(first) : 0; }

  // From now on keep() has the decisions about so many elements, or any if the call is interrupted. Returns
  // the first one's bit.
  std::uint64_t begin(std::uint64_t first, std::uint64_t count);
  KeepBits& keep() { return keep_; }

 private:
  double p() const { return mask_.p.constant; }
  void gather(std::uint64_t first, std::uint64_t count);

  const KernelTable& kernels_;
  const MaskState& mask_;
  const Window& window_;
  Interrupt* const interrupt_;
  GatherScratch& scratch_;
  Rows rows_;
  bool has_runs_, is_drawn_;  // whether indices follow each other; whether a generator draws bits of one p
  KeepBits keep_;
};

}  // namespace fastdrop
