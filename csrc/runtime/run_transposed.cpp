// SPDX-License-Identifier: BSD-3-Clause
// The data stay where they are: what is transposed are the decisions, a bit each, and once instead of there
// and back.
#include "run_transposed.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "../dispatch/isa_registry.h"
#include "operands.h"
#include "strided_copy.h"
#include "thread_pool.h"
#include "threshold.h"
#include "tuning.h"

namespace fastdrop {
namespace {

struct Axis {
  std::int64_t length, index_stride, item_stride;
};

// The window's axes in the order in which the operands lie in memory.
class MemoryOrder {
 public:
  explicit MemoryOrder(const Request& request) {
    const OperationInfo& info = kOperations[request.operation];
    const int inputs = operand_count(info.inputs), outputs = operand_count(info.outputs);
    std::int64_t c_stride = 1;
    for (int at = request.window.rank - 1; at >= 0; --at) {
      const std::int64_t length = request.window.shape[at];
      const std::int64_t stride = request.window.strides == nullptr ? c_stride : request.window.strides[at];
      c_stride *= length;
      if (length != 1) axes_[rank_++] = {length, stride, 0};
    }
    is_contiguous_ = true;
    for (int i = 0; i < inputs; ++i) add(request, info.inputs[i], request.inputs[i], i == 0);
    for (int i = 0; i < outputs; ++i)
      add(request, info.outputs[i], request.outputs[i], inputs == 0 && i == 0);
    std::sort(axes_, axes_ + rank_,
              [](const Axis& a, const Axis& b) { return a.item_stride > b.item_stride; });
    std::int64_t items = 1;
    for (int axis = rank_ - 1; axis >= 0; --axis) {
      is_contiguous_ &= axes_[axis].item_stride == items;
      items *= axes_[axis].length;
    }
    merge();
  }

  bool is_contiguous() const { return is_contiguous_; }
  int rank() const { return rank_; }
  const Axis& axis(int at) const { return axes_[at]; }

 private:
  // Whether the operand's strides are those of the others, in its items.
  void add(const Request& request, const OperandInfo& info, const Operand& operand, bool is_first) {
    const auto bytes = static_cast<std::int64_t>(item_bytes(info, request.element));
    is_contiguous_ &=
        info.access == kFull && !operand.swapped &&
        reinterpret_cast<std::uintptr_t>(operand.data) % static_cast<std::uintptr_t>(bytes) == 0;
    for (int at = request.window.rank - 1, axis = 0; at >= 0; --at) {
      if (request.window.shape[at] == 1) continue;
      const std::int64_t stride = operand.strides[at];
      if (is_first) axes_[axis].item_stride = stride / bytes;
      is_contiguous_ &= stride % bytes == 0 && axes_[axis].item_stride == stride / bytes;
      ++axis;
    }
  }

  // Neighbours that are one axis, in memory and in index space.
  void merge() {
    int kept = 0;
    for (int axis = 0; axis < rank_; ++axis) {
      const Axis& next = axes_[axis];
      if (kept > 0 && axes_[kept - 1].index_stride == next.length * next.index_stride)
        axes_[kept - 1] = {axes_[kept - 1].length * next.length, next.index_stride, next.item_stride};
      else
        axes_[kept++] = next;
    }
    rank_ = kept;
  }

  Axis axes_[kMaxRank];
  int rank_ = 0;
  bool is_contiguous_ = false;
};

// Planes of two axes: `row`, along which indices follow each other, and `column`, along which items do.
// Blocks of a plane are drawn row by row, transposed, and worked on column by column.
class TransposedJob {
 public:
  TransposedJob(const Request& request, const MemoryOrder& order, int row)
      : request_(request), order_(order), row_(row), column_(order.rank() - 1) {
    const OperationInfo& info = kOperations[request.operation];
    input_count_ = operand_count(info.inputs), output_count_ = operand_count(info.outputs);
    for (int axis = 0; axis < order.rank(); ++axis)
      if (axis != row_ && axis != column_)
        block_count_ *= static_cast<std::uint64_t>(order.axis(axis).length);
    block_count_ *= blocks_along(row_) * blocks_along(column_);
    const KernelTable& kernels = *current_isa().kernels;
    keep_mask_ = kernels.run[kKeepMask][kBool][request.mask.rule];
    kernel_ = kernels.run[request.operation][request.element][kStored];
  }

  std::uint64_t block_count() const { return block_count_; }
  // Of a chunk: the decisions of eight columns as bytes, those of a block as bits, and the same
  // transposed. No pitch is a power of two: then neighbours would share a few sets of the cache.
  static constexpr std::int64_t kBitsPitch = kTransposeSide + kCacheLineBytes;
  static constexpr std::int64_t kBitsBytes = kTransposeSide / 8 * kBitsPitch;
  static constexpr std::int64_t kTransposedPitch = kTransposeSide / 8 + kCacheLineBytes;
  static constexpr std::int64_t kTransposedBytes = kTransposeSide * kTransposedPitch;
  static constexpr std::size_t kScratchBytes =
      8 * kTransposeSide + kBitsBytes + kTransposedBytes + kBetweenBytes;

  void run_block(std::uint64_t index, std::uint8_t* scratch) const {
    std::int64_t start = 0, item = 0;
    const auto begin = [&](int at, std::int64_t first) {
      start += first * order_.axis(at).index_stride, item += first * order_.axis(at).item_stride;
    };
    const auto place_along = [&](int at) {
      const auto first = static_cast<std::int64_t>(index % blocks_along(at)) * kTransposeSide;
      index /= blocks_along(at);
      begin(at, first);
      return std::min(kTransposeSide, order_.axis(at).length - first);
    };
    const std::int64_t columns = place_along(column_), rows = place_along(row_);
    for (int axis = order_.rank() - 1; axis >= 0; --axis) {
      if (axis == row_ || axis == column_) continue;
      const auto length = static_cast<std::uint64_t>(order_.axis(axis).length);
      begin(axis, static_cast<std::int64_t>(index % length));
      index /= length;
    }
    KernelArgs args{};
    args.keep = keep_args(request_.mask, request_.mask.p.constant);
    std::uint8_t* const bits = scratch + 8 * kTransposeSide;
    std::uint8_t* const transposed = bits + kBitsBytes;
    args.element_count = static_cast<std::uint64_t>(rows);
    for (std::int64_t column = 0; column < columns; column += 8) {
      for (std::int64_t i = 0; i < 8; ++i) {
        const std::int64_t at = std::min(column + i, columns - 1);  // past the end any decision will do
        args.outputs[0] = scratch + i * kTransposeSide;
        args.start = request_.window.start +
                     static_cast<std::uint64_t>(start + at * order_.axis(column_).index_stride);
        keep_mask_(args);
      }
      pack(scratch, rows, bits + column / 8 * kBitsPitch);
    }
    // Whole squares, so that nothing is left beside them.
    const std::int64_t shape[] = {up_to_line((columns + 7) / 8), up_to_line(rows)};
    const std::int64_t from[] = {kBitsPitch, 1}, to[] = {1, kTransposedPitch};
    strided_copy({2, shape, from, to, 1, false, reinterpret_cast<char*>(transposed + kTransposedBytes)},
                 reinterpret_cast<const char*>(bits), reinterpret_cast<char*>(transposed));
    work(args, transposed, item, rows, static_cast<std::uint64_t>(columns));
  }

 private:
  // Bit i of every byte is from row i.
  static void pack(const std::uint8_t* rows, std::int64_t count, std::uint8_t* bits) {
    for (std::int64_t at = 0; at < count; ++at) {
      int eight = 0;
      for (int row = 0; row < 8; ++row) eight += rows[row * kTransposeSide + at] << row;
      bits[at] = static_cast<std::uint8_t>(eight);
    }
  }
  static std::int64_t up_to_line(std::int64_t length) {
    return (length + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
  }
  std::uint64_t blocks_along(int axis) const {
    return static_cast<std::uint64_t>((order_.axis(axis).length + kTransposeSide - 1) / kTransposeSide);
  }

  void work(KernelArgs& args, const std::uint8_t* decisions, std::int64_t item, std::int64_t rows,
            std::uint64_t columns) const {
    const OperationInfo& info = kOperations[request_.operation];
    for (int i = 0; i < kMaxConstants; ++i) args.constants[i] = request_.constants[i].constant;
    args.start = 0, args.element_count = columns;
    const auto at = [&](const OperandInfo& operand, void* data) {
      return static_cast<char*>(data) +
             item * static_cast<std::int64_t>(item_bytes(operand, request_.element));
    };
    for (std::int64_t row = 0; row < rows; ++row) {
      args.keep.decisions = decisions + row * kTransposedPitch;
      for (int i = 0; i < input_count_; ++i) args.inputs[i] = at(info.inputs[i], request_.inputs[i].data);
      for (int i = 0; i < output_count_; ++i) args.outputs[i] = at(info.outputs[i], request_.outputs[i].data);
      kernel_(args);
      item += order_.axis(row_).item_stride;
    }
  }

  const Request& request_;
  const MemoryOrder& order_;
  const int row_, column_;
  int input_count_, output_count_;
  std::uint64_t block_count_ = 1;
  Kernel keep_mask_, kernel_;
};

// The axis along which decisions are drawn, if transposing them is worth it; otherwise -1.
int drawn_axis(const Request& request, const MemoryOrder& order) {
  const OperationInfo& info = kOperations[request.operation];
  const bool is_drawn =
      request.mask.rule == kStored || (request.mask.p.constant != 0 && request.mask.p.constant != 1);
  if (varies(request) || !is_drawn || info.draw != kInline || order.rank() < 2) return -1;
  const Axis& last = order.axis(order.rank() - 1);
  if (last.index_stride == 1 || last.length < kCacheLineBytes) return -1;
  for (int axis = 0; axis < order.rank() - 1; ++axis)
    if (order.axis(axis).index_stride == 1 && order.axis(axis).length >= kCacheLineBytes) return axis;
  return -1;
}

}  // namespace

bool run_transposed(const Request& request) {
  const MemoryOrder order(request);
  if (!order.is_contiguous()) return false;
  const int row = drawn_axis(request, order);
  if (row < 0) return false;
  const TransposedJob job(request, order, row);
  const Sharing sharing = share_out(element_count(request.window), kStridedElementsPerThread);
  // Too large to insist on: without it, run_strided() goes on.
  const std::unique_ptr<std::uint8_t[]> scratch(new (
      std::nothrow) std::uint8_t[static_cast<std::size_t>(sharing.threads) * TransposedJob::kScratchBytes]);
  if (scratch == nullptr) return false;
  run_chunks(sharing, request.interrupt, [&](int chunk, int thread) {
    const auto at = static_cast<std::uint64_t>(chunk), count = static_cast<std::uint64_t>(sharing.chunks);
    std::uint8_t* const own = &scratch[static_cast<std::size_t>(thread) * TransposedJob::kScratchBytes];
    for (std::uint64_t block = job.block_count() * at / count; block < job.block_count() * (at + 1) / count;
         ++block)
      job.run_block(block, own);
  });
  return true;
}

}  // namespace fastdrop
