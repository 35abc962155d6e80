// SPDX-License-Identifier: BSD-3-Clause
#include "isa_registry.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "cpu_features.h"

namespace fastdrop {

// Those that kernels.cmake does not build are never referred to.
namespace avx512 {
extern const KernelTable kernel_table;
extern const RowTable row_table;
}  // namespace avx512
namespace avx2vaes {
extern const KernelTable kernel_table;
}
namespace avx2 {
extern const KernelTable kernel_table;
extern const RowTable row_table;
}  // namespace avx2
namespace scalar {
extern const KernelTable kernel_table;
extern const RowTable row_table;
}  // namespace scalar

namespace {

constexpr std::uint32_t kNeededByAvx2 = kSse42 | kPopcnt | kAes | kAvx | kF16c | kFma | kAvx2;
constexpr std::uint32_t kNeededByAvx2Vaes = kNeededByAvx2 | kVaes;
// A build without its kernels has no use for it.
[[maybe_unused]] constexpr std::uint32_t kNeededByAvx512 =
    kNeededByAvx2Vaes | kAvx512f | kAvx512bw | kAvx512dq | kAvx512vl;

std::atomic<const Isa*> in_use{nullptr};

// It asks for memory only if there is no such name: going back to an ISA never fails.
const Isa& find(const char* name, const char* given_as) {
  for (const Isa& isa : built_isas())
    if (usable(isa) && std::strcmp(name, isa.name) == 0) return isa;
  std::string names;
  for (const Isa& isa : built_isas())
    if (usable(isa)) names += (names.empty() ? "'" : ", '") + std::string(isa.name) + "'";
  throw std::invalid_argument(std::string(given_as) + " is '" + name +
                              "'; the instruction sets usable here are " + names);
}

const Isa& first_choice() {
  if (const char* name = std::getenv("FASTDROP_ISA"); name != nullptr && *name != '\0')
    return find(name, "environment variable FASTDROP_ISA");
  for (const Isa& isa : built_isas())
    if (usable(isa)) return isa;
  return built_isas().back();
}

}  // namespace

const std::vector<Isa>& built_isas() {
  // Never destroyed: a thread may still be in a call when the process exits.
  static const auto& isas = *new std::vector<Isa>{
#if defined(FASTDROP_HAS_avx512)
      {"avx512", "AVX-512 F, BW, DQ, VL and VAES", kNeededByAvx512, &avx512::kernel_table,
       &avx512::row_table},
#endif
#if defined(FASTDROP_HAS_avx2vaes)
      {"avx2vaes", "AVX2, FMA, F16C and VAES", kNeededByAvx2Vaes, &avx2vaes::kernel_table, &avx2::row_table},
#endif
#if defined(FASTDROP_HAS_avx2)
      {"avx2", "AVX2, FMA, F16C and AES-NI", kNeededByAvx2, &avx2::kernel_table, &avx2::row_table},
#endif
      {"scalar", "portable C++", 0, &scalar::kernel_table, &scalar::row_table},
  };
  return isas;
}

bool usable_with(const Isa& isa, std::uint32_t features) { return (isa.needs & ~features) == 0; }

bool usable(const Isa& isa) {
  static const std::uint32_t features = cpu_features();
  return usable_with(isa, features);
}

const Isa& current_isa() {
  const Isa* isa = in_use.load(std::memory_order_acquire);
  if (isa == nullptr) {
    const Isa* chosen = &first_choice();
    // Another thread may have chosen, or switched, meanwhile: then that stands.
    if (in_use.compare_exchange_strong(isa, chosen)) isa = chosen;
  }
  return *isa;
}

const Isa& use_isa(const char* name) {
  const Isa& chosen = find(name, "name");
  const Isa& previous = current_isa();
  in_use.store(&chosen, std::memory_order_release);
  return previous;
}

}  // namespace fastdrop
