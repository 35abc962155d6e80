// SPDX-License-Identifier: BSD-3-Clause
#include "dropout.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include "../runtime/floating_point.h"
#include "../runtime/run.h"
#include "../runtime/threshold.h"

namespace fastdrop::xla {
namespace {

void require(bool holds, const char* wanted) {
  if (!holds) throw std::invalid_argument(wanted);
}

Element element_of(DataType type) {
  switch (type) {
    case kF16:
      return kFloat16;
    case kBF16:
      return kBFloat16;
    case kF32:
      return kFloat32;
    case kF64:
      return kFloat64;
    default:
      throw std::invalid_argument("x must be an array of float16, bfloat16, float32 or float64");
  }
}

const Buffer& buffer(const Values& values, int place) {
  require(place < values.count && values.types[place] == kBuffer, "x and words go in, and y comes out");
  return *static_cast<const Buffer*>(values.values[place]);
}

const void* attribute(const Attributes& attributes, AttributeType type, const std::string& name) {
  for (std::int64_t i = 0; i < attributes.count; ++i)
    if (attributes.types[i] == type &&
        name == std::string(attributes.names[i]->data, attributes.names[i]->size))
      return attributes.values[i];
  throw std::invalid_argument("the attribute " + name + " is missing, or of another type");
}

template <typename T>
T scalar(const Attributes& attributes, DataType type, const char* name) {
  const auto& found = *static_cast<const Scalar*>(attribute(attributes, kScalarAttribute, name));
  require(found.type == type, "an attribute must have its type");
  T value;
  std::memcpy(&value, found.value, sizeof value);
  return value;
}

struct Integers {
  const std::int64_t* values;
  std::int64_t count;
};

Integers integers(const Attributes& attributes, const char* name) {
  const auto& found = *static_cast<const Array*>(attribute(attributes, kArrayAttribute, name));
  require(found.type == kS64, "an attribute must have its type");
  return {static_cast<const std::int64_t*>(found.data), static_cast<std::int64_t>(found.size)};
}

// Of no words: the attribute.
double probability(const std::uint32_t* words, std::int64_t count, double attribute) {
  double p = attribute;
  if (count == 1) {
    float narrow;
    std::memcpy(&narrow, words, sizeof narrow);
    p = narrow;
  } else if (count == 2) {
    std::memcpy(&p, words, sizeof p);
  }
  if (p >= 0 && p <= 1) return p;
  char refusal[96];
  std::snprintf(refusal, sizeof refusal, "p must be from 0 to 1, the probability of dropping, not %.17g", p);
  throw std::invalid_argument(refusal);
}

void run_frame(const CallFrame& frame) {
  const DefaultFloatingPoint environment;  // on XLA's threads a subnormal p, of either sign, equals 0
  require(frame.arguments.struct_size == sizeof frame.arguments &&
              frame.results.struct_size == sizeof frame.results &&
              frame.attributes.struct_size == sizeof frame.attributes,
          "this version of XLA's FFI is too new");
  const Buffer &x = buffer(frame.arguments, 0), &words = buffer(frame.arguments, 1);
  const Buffer& y = buffer(frame.results, 0);
  const Integers strides = integers(frame.attributes, "strides"), steps = integers(frame.attributes, "steps");
  const auto generator = scalar<std::int64_t>(frame.attributes, kS64, "generator");
  const auto p = scalar<double>(frame.attributes, kF64, "p");

  const std::int64_t batch_rank = x.rank - strides.count;
  require(y.type == x.type && y.rank == x.rank && std::equal(x.shape, x.shape + x.rank, y.shape),
          "y must have the shape and dtype of x");
  require(words.type == kU32 && batch_rank >= 0 && words.rank == batch_rank + 1 &&
              std::equal(x.shape, x.shape + batch_rank, words.shape),
          "words must be uint32, an array of them for each of the batch");
  const std::int64_t count = words.shape[batch_rank], of_p = count - 6 - steps.count;
  require(of_p >= 0 && of_p <= 2, "there must be words for key, stream, places and p");
  require(generator >= 0 && generator < kGeneratorCount, "no such generator");
  require(strides.count <= kMaxRank, "x must have at most 64 axes");

  Request request{};
  request.operation = kDropout;
  request.element = element_of(x.type);
  request.mask.rule = static_cast<KeepRule>(generator);
  request.window = {0, static_cast<int>(strides.count), x.shape + batch_rank, strides.values};
  const std::uint64_t bytes = element_count(request.window) * kElementBytes[request.element];
  const std::uint64_t batch = product(x.shape, 0, static_cast<int>(batch_rank));
  for (std::uint64_t i = 0; i < batch; ++i) {
    const auto* own = static_cast<const std::uint32_t*>(words.data) + i * static_cast<std::uint64_t>(count);
    const auto half = [own](int place) { return own[place] | std::uint64_t{own[place + 1]} << 32; };
    request.mask.key[0] = half(0), request.mask.key[1] = half(2), request.mask.stream = half(4);
    require(request.mask.stream >> 63 == 0, "stream must be less than 2^63");
    request.window.start = 0;
    for (std::int64_t axis = 0; axis < steps.count; ++axis)
      request.window.start += own[6 + axis] * static_cast<std::uint64_t>(steps.values[axis]);
    request.mask.p = {probability(own + 6 + steps.count, of_p, p), nullptr};
    request.constants[0] = {scale_for(request.mask.p.constant), nullptr};
    request.inputs[0] = {static_cast<char*>(x.data) + i * bytes, nullptr, false};
    request.outputs[0] = {static_cast<char*>(y.data) + i * bytes, nullptr, false};
    run(request);
  }
}

std::atomic<int> minor_version{kMinorVersion};

}  // namespace

void speak(int minor) { minor_version = std::min(minor, kMinorVersion); }

Error* dropout(CallFrame* frame) noexcept {
  for (Extension* extension = frame->extensions; extension != nullptr; extension = extension->next)
    if (extension->type == kMetadata) {
      Version& version = reinterpret_cast<MetadataExtension*>(extension)->metadata->version;
      version.major = kMajorVersion, version.minor = minor_version;
      return nullptr;
    }
  if (frame->stage != kExecute) return nullptr;
  char message[256] = "fastdrop.jax.dropout: unknown error";
  try {
    run_frame(*frame);
    return nullptr;
  } catch (const std::exception& error) {
    std::snprintf(message, sizeof message, "fastdrop.jax.dropout: %s", error.what());
  } catch (...) {
  }
  ErrorArguments arguments{sizeof arguments, nullptr, message, kInvalidArgument};
  return frame->api->create_error(&arguments);
}

}  // namespace fastdrop::xla
