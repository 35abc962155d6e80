// SPDX-License-Identifier: BSD-3-Clause
#include "strided_copy.h"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace fastdrop {
namespace {

struct Axis {
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

// A square of items as rows of 16 bytes, transposed. Interleaving row k with row k + size / 2 takes each bit
// of an item's position, which is row and column, one place on; size is 2^n, and after n rounds row and
// column have changed places.
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

// The axis `inner` goes by the smallest steps of `from`, so that its cache lines are used up one by one.
template <class Item, bool swapped>
void copy_items(const Axis& inner, const Axis& outer, const char* from, char* to) {
  for (std::int64_t j = 0; j < outer.length; ++j, from += outer.from_stride, to += outer.to_stride) {
    const char* item = from;
    char* there = to;
    for (std::int64_t i = 0; i < inner.length; ++i, item += inner.from_stride, there += inner.to_stride)
      copy_item<Item, swapped>(item, there);
  }
}

template <class Item>
void copy_transposed(const Axis& inner, const Axis& outer, const char* from, char* to) {
  constexpr std::int64_t size = Square<Item>::size, bytes = sizeof(Item);
  const std::int64_t columns = inner.length / size * size, rows = outer.length / size * size;
  if constexpr (size > 1)
    for (std::int64_t row = 0; row < rows; row += size)
      for (std::int64_t column = 0; column < columns; column += size)
        Square<Item>::transpose(from + row * outer.from_stride + column * bytes, outer.from_stride,
                                to + column * inner.to_stride + row * bytes, inner.to_stride);
  const Axis right{inner.length - columns, inner.from_stride, inner.to_stride};
  const Axis left{columns, inner.from_stride, inner.to_stride};
  const Axis upper{rows, outer.from_stride, outer.to_stride};
  const Axis lower{outer.length - rows, outer.from_stride, outer.to_stride};
  copy_items<Item, false>(right, upper, from + columns * bytes, to + columns * inner.to_stride);
  copy_items<Item, false>(left, lower, from + rows * outer.from_stride, to + rows * bytes);
  copy_items<Item, false>(right, lower, from + rows * outer.from_stride + columns * bytes,
                          to + columns * inner.to_stride + rows * bytes);
}

template <class Item>
void copy_plane(const Axis& inner, const Axis& outer, bool swapped, const char* from, char* to) {
  constexpr std::int64_t bytes = sizeof(Item);
  if (swapped) return copy_items<Item, true>(inner, outer, from, to);
  if (inner.from_stride == bytes && inner.to_stride == bytes) {
    for (std::int64_t j = 0; j < outer.length; ++j)
      std::memcpy(to + j * outer.to_stride, from + j * outer.from_stride,
                  static_cast<std::size_t>(inner.length * bytes));
  } else if (Square<Item>::size > 1 && inner.from_stride == bytes && outer.to_stride == bytes) {
    copy_transposed<Item>(inner, outer, from, to);
  } else {
    copy_items<Item, false>(inner, outer, from, to);
  }
}

void copy_plane(const StridedCopy& copy, const Axis& inner, const Axis& outer, const char* from, char* to) {
  switch (copy.item_bytes) {
    case 1:
      return copy_plane<std::uint8_t>(inner, outer, false, from, to);
    case 2:
      return copy_plane<std::uint16_t>(inner, outer, copy.swapped, from, to);
    case 4:
      return copy_plane<std::uint32_t>(inner, outer, copy.swapped, from, to);
    default:
      return copy_plane<std::uint64_t>(inner, outer, copy.swapped, from, to);
  }
}

// The axis of the smallest steps, of those longer than 1 and other than that one; -1: there is none.
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
  const auto axis = [&copy](int number) {
    return number < 0 ? Axis{1, 0, 0}
                      : Axis{copy.shape[number], copy.from_strides[number], copy.to_strides[number]};
  };
  const int inner = fastest(copy, copy.from_strides, -1), outer = fastest(copy, copy.to_strides, inner);
  std::uint64_t planes = 1;
  for (int number = 0; number < copy.rank; ++number)
    if (number != inner && number != outer) planes *= static_cast<std::uint64_t>(copy.shape[number]);
  for (std::uint64_t plane = 0; plane < planes; ++plane) {
    std::uint64_t rest = plane;
    std::int64_t from_offset = 0, to_offset = 0;
    for (int number = copy.rank - 1; number >= 0 && planes > 1; --number) {
      if (number == inner || number == outer) continue;
      const auto length = static_cast<std::uint64_t>(copy.shape[number]);
      const auto position = static_cast<std::int64_t>(rest % length);
      rest /= length;
      from_offset += position * copy.from_strides[number];
      to_offset += position * copy.to_strides[number];
    }
    copy_plane(copy, axis(inner), axis(outer), from + from_offset, to + to_offset);
  }
}

}  // namespace fastdrop
