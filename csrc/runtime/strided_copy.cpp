// SPDX-License-Identifier: BSD-3-Clause
#include "strided_copy.h"

#include <cstdlib>
#include <cstring>

#include "tuning.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace fastdrop {
namespace {

struct CopyAxis {
  std::int64_t length, from_stride, to_stride;
};

inline std::uint8_t reversed(std::uint8_t item) { return item; }
inline std::uint16_t reversed(std::uint16_t item) { return __builtin_bswap16(item); }
inline std::uint32_t reversed(std::uint32_t item) { return __builtin_bswap32(item); }
inline std::uint64_t reversed(std::uint64_t item) { return __builtin_bswap64(item); }

// By memcpy, because addresses may be no multiple of the item's size.
template <class Item, bool swapped>
inline void copy_item(const char* from, char* to) {
  Item item;
  std::memcpy(&item, from, sizeof item);
  if (swapped) item = reversed(item);
  std::memcpy(to, &item, sizeof item);
}

// A square of items as rows of 16 bytes, transposed. Each round interleaves row k with row k + size / 2.
// After log2(size) rounds rows and columns are exchanged: a round takes each bit of an item's position, which
// is row and column, one bit on.
template <class Item>
struct Square {
  static constexpr std::int64_t size = 1;  // no registers known: item by item
};
#if defined(__x86_64__)
template <class Item>
struct RegisterSquare {
  static constexpr std::int64_t size = 16 / sizeof(Item);

  static void transpose(const char* from, std::int64_t from_stride, char* to, std::int64_t to_stride) {
    __m128i rows[size], next[size];
    for (int row = 0; row < size; ++row)
      rows[row] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + row * from_stride));
    for (int round = 1; round < size; round *= 2) {
      for (int row = 0; row < size / 2; ++row) {
        next[2 * row] = Square<Item>::low(rows[row], rows[row + size / 2]);
        next[2 * row + 1] = Square<Item>::high(rows[row], rows[row + size / 2]);
      }
      for (int row = 0; row < size; ++row) rows[row] = next[row];
    }
    for (int row = 0; row < size; ++row)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + row * to_stride), rows[row]);
  }
};
template <>
struct Square<std::uint8_t> : RegisterSquare<std::uint8_t> {
  static __m128i low(__m128i a, __m128i b) { return _mm_unpacklo_epi8(a, b); }
  static __m128i high(__m128i a, __m128i b) { return _mm_unpackhi_epi8(a, b); }
};
template <>
struct Square<std::uint16_t> : RegisterSquare<std::uint16_t> {
  static __m128i low(__m128i a, __m128i b) { return _mm_unpacklo_epi16(a, b); }
  static __m128i high(__m128i a, __m128i b) { return _mm_unpackhi_epi16(a, b); }
};
template <>
struct Square<std::uint32_t> : RegisterSquare<std::uint32_t> {
  static __m128i low(__m128i a, __m128i b) { return _mm_unpacklo_epi32(a, b); }
  static __m128i high(__m128i a, __m128i b) { return _mm_unpackhi_epi32(a, b); }
};
template <>
struct Square<std::uint64_t> : RegisterSquare<std::uint64_t> {
  static __m128i low(__m128i a, __m128i b) { return _mm_unpacklo_epi64(a, b); }
  static __m128i high(__m128i a, __m128i b) { return _mm_unpackhi_epi64(a, b); }
};
#endif

// Two axes of a block: `read` has the smallest strides of `from`, `write` the smallest of `to`.
struct Plane {
  CopyAxis read, write;

  // The inner loop follows the side with the larger strides (the array, not the buffer), so that each of its
  // cache lines is finished before it is evicted.
  bool along_read() const { return std::abs(write.from_stride) >= std::abs(read.to_stride); }
};

template <class Item, bool swapped>
void copy_items(const CopyAxis& inner, const CopyAxis& outer, const char* from, char* to) {
  for (std::int64_t j = 0; j < outer.length; ++j, from += outer.from_stride, to += outer.to_stride) {
    const char* item = from;
    char* there = to;
    for (std::int64_t i = 0; i < inner.length; ++i, item += inner.from_stride, there += inner.to_stride)
      copy_item<Item, swapped>(item, there);
  }
}

template <class Item, bool swapped>
void copy_items(const Plane& plane, const char* from, char* to) {
  if (plane.along_read())
    copy_items<Item, swapped>(plane.read, plane.write, from, to);
  else
    copy_items<Item, swapped>(plane.write, plane.read, from, to);
}

// Two lines of rows and columns, transposed square by square; `to` is written along its rows.
template <class Item>
void transpose_squares(const char* from, std::int64_t from_stride, char* to, std::int64_t to_stride) {
  constexpr std::int64_t bytes = sizeof(Item), items = kCacheLineBytes / bytes;
  for (std::int64_t row = 0; row < items; row += Square<Item>::size)
    for (std::int64_t column = 0; column < items; column += Square<Item>::size)
      Square<Item>::transpose(from + column * from_stride + row * bytes, from_stride,
                              to + row * to_stride + column * bytes, to_stride);
}

// Transposes one cache line of items at a time through a contiguous scratch square. With power-of-two strides
// the strided lines map to the same few cache sets; touching each only once avoids fetching it again.
template <class Item>
void transpose_lines(const Plane& plane, const char* from, char* to, char* between) {
  constexpr std::int64_t items = kCacheLineBytes / sizeof(Item);
  if (plane.along_read()) {
    for (std::int64_t line = 0; line < items; ++line)
      std::memcpy(between + line * kCacheLineBytes, from + line * plane.write.from_stride, kCacheLineBytes);
    transpose_squares<Item>(between, kCacheLineBytes, to, plane.read.to_stride);
  } else {
    transpose_squares<Item>(from, plane.write.from_stride, between, kCacheLineBytes);
    for (std::int64_t line = 0; line < items; ++line)
      std::memcpy(to + line * plane.read.to_stride, between + line * kCacheLineBytes, kCacheLineBytes);
  }
}

// Where both steps are an item's size.
template <class Item>
void copy_transposed(const Plane& plane, const char* from, char* to, char* between) {
  constexpr std::int64_t bytes = sizeof(Item), items = kCacheLineBytes / bytes;
  const CopyAxis &read = plane.read, &write = plane.write;
  const std::int64_t reads = read.length / items * items, writes = write.length / items * items;
  for (std::int64_t j = 0; j < writes; j += items)
    for (std::int64_t i = 0; i < reads; i += items)
      transpose_lines<Item>(plane, from + j * write.from_stride + i * bytes,
                            to + i * read.to_stride + j * bytes, between);
  // What is left beside the squares: the end of every line read, then the lines after the last square.
  Plane rest = plane;
  rest.read.length -= reads;
  copy_items<Item, false>(rest, from + reads * bytes, to + reads * read.to_stride);
  rest = plane;
  rest.read.length = reads;
  rest.write.length -= writes;
  copy_items<Item, false>(rest, from + writes * write.from_stride, to + writes * bytes);
}

template <class Item>
void copy_plane(const Plane& plane, bool swapped, const char* from, char* to, char* between) {
  constexpr std::int64_t bytes = sizeof(Item);
  const CopyAxis &read = plane.read, &write = plane.write;
  if (swapped) return copy_items<Item, true>(plane, from, to);
  if (read.from_stride == bytes && read.to_stride == bytes) {
    for (std::int64_t j = 0; j < write.length; ++j)
      std::memcpy(to + j * write.to_stride, from + j * write.from_stride,
                  static_cast<std::size_t>(read.length * bytes));
    return;
  }
  if constexpr (Square<Item>::size > 1)
    if (read.from_stride == bytes && write.to_stride == bytes)
      return copy_transposed<Item>(plane, from, to, between);
  copy_items<Item, false>(plane, from, to);
}

void copy_plane(const StridedCopy& copy, const Plane& plane, const char* from, char* to) {
  switch (copy.item_bytes) {
    case 1:
      return copy_plane<std::uint8_t>(plane, false, from, to, copy.between);
    case 2:
      return copy_plane<std::uint16_t>(plane, copy.swapped, from, to, copy.between);
    case 4:
      return copy_plane<std::uint32_t>(plane, copy.swapped, from, to, copy.between);
    default:
      return copy_plane<std::uint64_t>(plane, copy.swapped, from, to, copy.between);
  }
}

// The axis with the smallest stride among those longer than 1, except `other`; -1 if there is none.
int fastest(const StridedCopy& copy, const std::int64_t* strides, int other) {
  int best = -1;
  for (int axis = copy.rank - 1; axis >= 0; --axis)
    if (axis != other && copy.shape[axis] > 1 &&
        (best < 0 || std::abs(strides[axis]) < std::abs(strides[best])))
      best = axis;
  return best;
}

}  // namespace

void strided_copy(const StridedCopy& copy, const char* from, char* to) {
  const auto at = [&copy](int axis) {
    return axis < 0 ? CopyAxis{1, 0, 0}
                    : CopyAxis{copy.shape[axis], copy.from_strides[axis], copy.to_strides[axis]};
  };
  const int read = fastest(copy, copy.from_strides, -1), write = fastest(copy, copy.to_strides, read);
  std::uint64_t planes = 1;
  for (int axis = 0; axis < copy.rank; ++axis)
    if (axis != read && axis != write) planes *= static_cast<std::uint64_t>(copy.shape[axis]);
  for (std::uint64_t plane = 0; plane < planes; ++plane) {
    std::uint64_t rest = plane;
    std::int64_t from_offset = 0, to_offset = 0;
    for (int axis = copy.rank - 1; axis >= 0 && planes > 1; --axis) {
      if (axis == read || axis == write) continue;
      const auto length = static_cast<std::uint64_t>(copy.shape[axis]);
      const auto position = static_cast<std::int64_t>(rest % length);
      rest /= length;
      from_offset += position * copy.from_strides[axis];
      to_offset += position * copy.to_strides[axis];
    }
    copy_plane(copy, {at(read), at(write)}, from + from_offset, to + to_offset);
  }
}

}  // namespace fastdrop
