// SPDX-License-Identifier: BSD-3-Clause
#include "store_policy.h"

#include <sys/mman.h>
#include <unistd.h>

#include "operands.h"
#include "tuning.h"

namespace fastdrop {
namespace {

// Whether nobody has used that memory yet, judged by the page in its middle. The system zeroes such a page
// when it is first written to, so that the page is in the cache: a non-temporal store to it takes a tenth
// longer (docs/performance-log.md). Where mincore(2) cannot tell, memory counts as used.
bool is_untouched(const void* memory, std::uint64_t bytes) {
  const auto page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t middle = reinterpret_cast<std::uintptr_t>(memory) + bytes / 2;
  unsigned char resident = 1;
  mincore(reinterpret_cast<void*>(middle / page_bytes * page_bytes), 1, &resident);
  return resident % 2 == 0;
}

}  // namespace

bool stores_non_temporally(const Request& request, std::uint64_t element_count) {
  const std::uint64_t bytes = element_count * kElementBytes[request.element];
  if (bytes < kNonTemporalBytes) return false;
  const OperationInfo& info = kOperations[request.operation];
  for (int output = 0; output < operand_count(info.outputs); ++output) {
    void* const data = request.outputs[output].data;
    if (data == nullptr) continue;  // not wanted
    for (const Operand& input : request.inputs)
      if (input.data == data) return false;
    if (info.outputs[output].access == kFull && is_untouched(data, bytes)) return false;
  }
  return true;
}

}  // namespace fastdrop
