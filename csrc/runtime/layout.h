// SPDX-License-Identifier: BSD-3-Clause
// Arrays of any layout: cut into boxes, which run() works on one by one.
#pragma once
#include "run.h"

namespace fastdrop {

// How an array lies, of which a request has the first element's address and the window the shape.
struct Layout {
  const std::int64_t* strides;  // in bytes, of any sign
  bool swapped;                 // the other byte order
};

// run(), at any alignment, allocating nothing that grows with the data. `out` is x, element by element, or
// shares no memory with it, and its elements none with each other.
void run_strided(const Request& request, const Layout& x, const Layout& out);

}  // namespace fastdrop
