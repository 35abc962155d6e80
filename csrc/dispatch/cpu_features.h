// SPDX-License-Identifier: BSD-3-Clause
// What this processor can do and the operating system has enabled. Knows no kernel.
#pragma once
#include <cstdint>

namespace fastdrop {

// One bit per instruction-set extension, named as in /proc/cpuinfo. A vector extension is reported only if
// the operating system also saves its registers (XCR0); CPUID alone has crashed other libraries.
enum CpuFeature : std::uint32_t {
  kSse42 = 1 << 0,
  kPopcnt = 1 << 1,
  kAes = 1 << 2,
  kAvx = 1 << 3,
  kF16c = 1 << 4,
  kFma = 1 << 5,
  kAvx2 = 1 << 6,
  kAvx512f = 1 << 7,
  kAvx512bw = 1 << 8,
  kAvx512dq = 1 << 9,
  kAvx512vl = 1 << 10,
  kVaes = 1 << 11,
};

// What a processor says about itself: registers after CPUID, and XCR0, which counts if CPUID has OSXSAVE.
struct CpuRegisters {
  std::uint32_t leaf_1_ecx, leaf_7_ebx, leaf_7_ecx;  // 0 for a leaf that it does not have
  std::uint64_t xcr0;
};

// The features of any processor, and of this one.
std::uint32_t features_of(const CpuRegisters& registers);
std::uint32_t cpu_features();

// Whether software prefetching helps where stores go through the cache. Not on AMD's family 19h (Zen 4, the
// only one of it with AVX-512), whose own prefetcher looks far enough: without it 1 Mi floats take 1.06 times
// a memcpy instead of 1.15, and 4 Mi 0.87 instead of 1.13. Zen 5 needs it (kernels/vec/avx512.h).
bool gains_from_prefetching();

}  // namespace fastdrop
