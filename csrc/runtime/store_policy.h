// SPDX-License-Identifier: BSD-3-Clause
// When outputs are written with non-temporal stores, which go around the cache.
#pragma once
#include "request.h"

namespace fastdrop {

bool stores_non_temporally(const Request& request, std::uint64_t element_count);

}  // namespace fastdrop
