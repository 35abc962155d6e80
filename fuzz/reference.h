// SPDX-License-Identifier: BSD-3-Clause
// What operations give, in plain scalar C++ after docs/stream.md and docs/numerics.md: the fuzzer's oracle.
#pragma once
#include <cstdint>
#include <vector>

#include "case.h"

namespace fuzz {

using Results = std::vector<std::vector<char>>;  // of every output, in C order; also of those not wanted

Results reference_elements(const Case& request);

// Empty for an activation other than relu: its tables are numerics/piecewise.py's, and instruction sets are
// compared with each other.
Results reference_rows(const Case& request);

}  // namespace fuzz
