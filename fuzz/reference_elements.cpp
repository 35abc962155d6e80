// SPDX-License-Identifier: BSD-3-Clause
// Operations on elements (docs/stream.md, sections 4, 7 and 8).
#include <cstring>

#include "reference.h"
#include "values.h"

namespace fuzz {
namespace {

template <class T>
void work(const Case& request, std::vector<char>& y) {
  const MaskCase& mask = request.mask;
  const bool draws_normals = request.operation == fastdrop::kGaussianDropout;
  const std::vector<std::uint8_t> keep = draws_normals ? std::vector<std::uint8_t>() : mask.decisions();
  oracle::Stream stream = mask.drawn();
  const std::size_t item = fastdrop::kElementBytes[request.element];
  for (std::uint64_t i = 0; i < mask.count(); ++i) {
    const char* const from = request.inputs[0].values.data() + i * item;
    char* const to = y.data() + i * item;
    const auto constant = [&](int place) {
      return static_cast<T>(request.constants[place].at(i, mask.rank, mask.shape));
    };
    const auto is = [&](int place, double value) {
      return request.constants[place].at(i, mask.rank, mask.shape) == value;
    };
    bool is_neutral = is(0, draws_normals ? 0 : 1);
    if (request.operation == fastdrop::kAlphaDropout) is_neutral &= is(1, 0);
    if (is_neutral && mask.rule != fastdrop::kStored && mask.p.at(i, mask.rank, mask.shape) == 0) {
      std::memcpy(to, from, item);
      continue;
    }
    const T x = oracle::read<T>(from, request.element);
    T result = 0;
    switch (request.operation) {
      case fastdrop::kDropout:
        if (keep[i]) result = x * constant(0);
        break;
      case fastdrop::kAlphaDropout:
        result = keep[i] ? x * constant(0) + constant(1) : constant(2);
        break;
      default:
        result = x * (1 + constant(0) * static_cast<T>(stream.normal(mask.index(i))));
    }
    oracle::write(to, request.element, result);
  }
}

}  // namespace

Results reference_elements(const Case& request) {
  std::vector<char> y(request.mask.count() * fastdrop::kElementBytes[request.element]);
  if (request.operation == fastdrop::kKeepMask) {
    const std::vector<std::uint8_t> keep = request.mask.decisions();
    std::memcpy(y.data(), keep.data(), keep.size());
  } else if (request.element == fastdrop::kFloat64) {
    work<double>(request, y);
  } else {
    work<float>(request, y);
  }
  return {y};
}

}  // namespace fuzz
