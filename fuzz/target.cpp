// SPDX-License-Identifier: BSD-3-Clause
// The fuzzer's target: bytes become one request, which goes through an entry point of the core on every
// instruction set of this processor. The oracle's known answers are checked first.
#include <cstdio>
#include <cstdlib>

#include "check.h"

namespace fuzz {
namespace {

// docs/stream.md, section 1.
void check_known_answers() {
  const std::uint64_t key[2] = {0x299f31d0a4093822, 0xec4e6c89082efa98};
  const oracle::Words counter{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
  const oracle::Words ars{0xd1df87af, 0xf67d43ba, 0x4f66afdb, 0x393dcb2d};
  const oracle::Words philox{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
  if (oracle::generate(oracle::kArs, counter, key) != ars ||
      oracle::generate(oracle::kPhilox, counter, key) != philox)
    report("the oracle's generators are wrong");
}

}  // namespace

void report(const std::string& what) {
  std::fprintf(stderr, "FINDING: %s\n", what.c_str());
  std::abort();
}

const std::vector<const fastdrop::Isa*>& isas() {
  static const std::vector<const fastdrop::Isa*>& usable = *[] {
    auto* all = new std::vector<const fastdrop::Isa*>;
    for (const fastdrop::Isa& isa : fastdrop::built_isas())
      if (fastdrop::usable(isa)) all->insert(all->begin(), &isa);
    return all;
  }();
  return usable;
}

}  // namespace fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  fuzz::check_known_answers();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  const int kind = bytes.ConsumeIntegralInRange(0, 3 * fastdrop::kOperationCount + 8);
  if (kind < 3 * fastdrop::kOperationCount) {
    const int threads = 1 + bytes.ConsumeIntegral<std::uint8_t>() % 64 % 3;
    fuzz::check_operation(
        fuzz::draw_case(bytes, static_cast<fastdrop::Operation>(kind % fastdrop::kOperationCount)), threads);
    return 0;
  }
  switch (kind % 3) {
    case 0:
      fuzz::check_decide(bytes);
      break;
    case 1:
      fuzz::check_blocks(bytes);
      break;
    default:
      fuzz::check_kernels(bytes);
  }
  return 0;
}
