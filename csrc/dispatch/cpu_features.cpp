// SPDX-License-Identifier: BSD-3-Clause
// CPUID leaves and bits: Intel SDM volume 2A, "CPUID"; XCR0: volume 1, section 13.3.
#include "cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fastdrop {
namespace {

bool has_xgetbv(std::uint32_t leaf_1_ecx) { return leaf_1_ecx >> 27 & 1; }  // OSXSAVE

}  // namespace

std::uint32_t features_of(const CpuRegisters& registers) {
  std::uint32_t features = 0;
  const auto add = [&features](std::uint32_t word, int bit, CpuFeature feature) {
    if (word >> bit & 1) features |= feature;
  };
  add(registers.leaf_1_ecx, 20, kSse42);
  add(registers.leaf_1_ecx, 23, kPopcnt);
  add(registers.leaf_1_ecx, 25, kAes);
  const std::uint64_t enabled = has_xgetbv(registers.leaf_1_ecx) ? registers.xcr0 : 0;
  constexpr std::uint64_t ymm_state = 0x06, zmm_state = 0xE6;
  if ((enabled & ymm_state) != ymm_state) return features;
  add(registers.leaf_1_ecx, 12, kFma);
  add(registers.leaf_1_ecx, 28, kAvx);
  add(registers.leaf_1_ecx, 29, kF16c);
  add(registers.leaf_7_ebx, 5, kAvx2);
  add(registers.leaf_7_ecx, 9, kVaes);
  if ((enabled & zmm_state) != zmm_state) return features;
  add(registers.leaf_7_ebx, 16, kAvx512f);
  add(registers.leaf_7_ebx, 17, kAvx512dq);
  add(registers.leaf_7_ebx, 30, kAvx512bw);
  add(registers.leaf_7_ebx, 31, kAvx512vl);
  return features;
}

#if defined(__x86_64__)

std::uint32_t cpu_features() {
  CpuRegisters registers = {0, 0, 0, 0};
  std::uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  registers.leaf_1_ecx = c;
  if (has_xgetbv(c)) {  // without OSXSAVE the instruction itself faults
    std::uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    registers.xcr0 = static_cast<std::uint64_t>(high) << 32 | low;
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) registers.leaf_7_ebx = b, registers.leaf_7_ecx = c;
  return features_of(registers);
}

// Vendor and family: AMD64 Architecture Programmer's Manual volume 3, appendix E.3.
bool gains_from_prefetching() {
  // Asked once: in a virtual machine CPUID takes microseconds.
  static const bool is_family_19h = [] {
    std::uint32_t a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d)) return false;
    const bool is_amd = b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    return is_amd && (a >> 8 & 0xF) == 0xF && (a >> 20 & 0xFF) == 0xA;  // 0xF + 0xA
  }();
  return !is_family_19h;
}

#else

std::uint32_t cpu_features() { return 0; }
bool gains_from_prefetching() { return true; }

#endif

}  // namespace fastdrop
