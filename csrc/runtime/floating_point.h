// SPDX-License-Identifier: BSD-3-Clause
// The default floating-point environment while an object of this class lives. A library loaded with
// -ffast-math, or a caller, may have set flush-to-zero in some threads and not in others; results must not
// depend on that. The caller's state comes back whole, exception flags included.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace fastdrop {

class DefaultFloatingPoint {
 public:
  DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
  DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;

#if defined(__x86_64__)
  // MXCSR rules all SSE and AVX arithmetic; 0x1F80 is its value at reset (Intel SDM volume 1, 10.2.3).
  // It is written on the way in only where it differs, because writing it is slow.
  DefaultFloatingPoint() : saved_(_mm_getcsr()) {
    if (saved_ != kDefault) _mm_setcsr(kDefault);
  }
  ~DefaultFloatingPoint() { _mm_setcsr(saved_); }

 private:
  static constexpr unsigned kDefault = 0x1F80;
  unsigned saved_;
#else
  DefaultFloatingPoint() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloatingPoint() { std::fesetenv(&saved_); }

 private:
  std::fenv_t saved_;
#endif
};

}  // namespace fastdrop
