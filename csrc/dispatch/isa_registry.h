// SPDX-License-Identifier: BSD-3-Clause
// The instruction sets that were built, which of them run here, and the one in use.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "../shared/kernel_table.h"

namespace fastdrop {

struct Isa {
  const char* name;
  const char* description;
  std::uint32_t needs;  // every feature that the ISA's compiler flags let the compiler use
  const KernelTable* kernels;
  const RowTable* rows;
};

// Best first; the last one runs everywhere.
const std::vector<Isa>& built_isas();
bool usable_with(const Isa& isa, std::uint32_t features);
bool usable(const Isa& isa);

// The ISA in use: FASTDROP_ISA if that is set, else the best usable one; decided at the first call.
// Throws std::invalid_argument if FASTDROP_ISA is not the name of a usable ISA.
const Isa& current_isa();

// Switches, and returns the ISA that was in use. Throws std::invalid_argument like current_isa().
const Isa& use_isa(const char* name);

}  // namespace fastdrop
