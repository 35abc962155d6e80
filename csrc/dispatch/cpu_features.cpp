// SPDX-License-Identifier: BSD-3-Clause
// CPUID leaves and bits: Intel SDM volume 2A, "CPUID"; XCR0: volume 1, section 13.3.
#include "cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>

namespace fastdrop {
namespace {

std::uint64_t enabled_registers() {
  std::uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<std::uint64_t>(high) << 32 | low;
}

}  // namespace

std::uint32_t cpu_features() {
  std::uint32_t features = 0, a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  const auto add = [&features](std::uint32_t word, int bit, CpuFeature feature) {
    if (word >> bit & 1) features |= feature;
  };
  add(c, 20, kSse42);
  add(c, 23, kPopcnt);
  add(c, 25, kAes);
  const bool has_xgetbv = c >> 27 & 1;  // OSXSAVE: without it XGETBV itself faults
  const std::uint64_t enabled = has_xgetbv ? enabled_registers() : 0;
  constexpr std::uint64_t ymm_state = 0x06, zmm_state = 0xE6;
  if ((enabled & ymm_state) != ymm_state) return features;
  add(c, 12, kFma);
  add(c, 28, kAvx);
  add(c, 29, kF16c);
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
  add(b, 5, kAvx2);
  add(c, 9, kVaes);
  if ((enabled & zmm_state) != zmm_state) return features;
  add(b, 16, kAvx512f);
  add(b, 17, kAvx512dq);
  add(b, 30, kAvx512bw);
  add(b, 31, kAvx512vl);
  return features;
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

}  // namespace fastdrop

#else

std::uint32_t fastdrop::cpu_features() { return 0; }
bool fastdrop::gains_from_prefetching() { return true; }

#endif
