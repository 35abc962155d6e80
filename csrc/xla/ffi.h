// SPDX-License-Identifier: BSD-3-Clause
// What a handler reads of XLA's FFI, a C interface: as much of each struct as is used here, in our own words,
// so that no jaxlib is needed to build. host_tests/test_jax_ffi.py compares every offset and number with the
// header that the installed jaxlib brings (xla/ffi/api/c_api.h).
#pragma once
#include <cstddef>
#include <cstdint>

namespace fastdrop::xla {

// The version of the interface that this follows. What is read here is the same from minor version 1 on.
constexpr int kMajorVersion = 0, kOldestMinorVersion = 1, kMinorVersion = 3;

enum DataType : int { kU32 = 8, kS64 = 5, kF16 = 10, kF32 = 11, kF64 = 12, kBF16 = 16 };
enum ValueType : int { kBuffer = 1 };  // of an argument and of a result
enum AttributeType : int { kArrayAttribute = 1, kScalarAttribute = 3 };
enum Stage : int { kExecute = 3 };
enum ErrorCode : int { kInvalidArgument = 3 };
enum ExtensionType : int { kMetadata = 1 };

struct Extension {
  std::size_t struct_size;
  ExtensionType type;
  Extension* next;
};

struct Version {
  std::size_t struct_size;
  Extension* extensions;
  int major, minor;
};

struct Error;  // XLA's

struct ErrorArguments {
  std::size_t struct_size;
  Extension* extensions;
  const char* message;
  ErrorCode code;
};

// The beginning of a longer struct.
struct Api {
  std::size_t struct_size;
  Extension* extensions;
  Version version;
  const void* internal;
  Error* (*create_error)(ErrorArguments*);
};

struct Buffer {
  std::size_t struct_size;
  Extension* extensions;
  DataType type;
  void* data;  // in C order, unless another layout was asked for
  std::int64_t rank;
  const std::int64_t* shape;
};

struct Bytes {
  const char* data;
  std::size_t size;
};

struct Scalar {
  DataType type;
  const void* value;
};

struct Array {
  DataType type;
  std::size_t size;
  const void* data;
};

// Arguments and results.
struct Values {
  std::size_t struct_size;
  Extension* extensions;
  std::int64_t count;
  const ValueType* types;
  void* const* values;
};

struct Attributes {
  std::size_t struct_size;
  Extension* extensions;
  std::int64_t count;
  const AttributeType* types;
  const Bytes* const* names;
  const void* const* values;
};

// The beginning of a longer struct.
struct CallFrame {
  std::size_t struct_size;
  Extension* extensions;
  const Api* api;
  const void* context;
  Stage stage;
  Values arguments, results;
  Attributes attributes;
};

// The beginning of a longer struct.
struct Metadata {
  std::size_t struct_size;
  Version version;
  std::uint32_t traits;
};

struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

using Handler = Error* (*)(CallFrame*);

}  // namespace fastdrop::xla
