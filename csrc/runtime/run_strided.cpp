// SPDX-License-Identifier: BSD-3-Clause
#include "run_strided.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <vector>

#include "../dispatch/isa_registry.h"
#include "operands.h"
#include "run.h"
#include "run_transposed.h"
#include "strided_copy.h"
#include "thread_pool.h"
#include "tuning.h"

namespace fastdrop {
namespace {

// What goes along when a block is walked through: the indices of its elements in the mask, in the values that
// vary, and in the operands. Each has a stride for every axis; those of the operands are in bytes.
enum Walk : int {
  kIndex,
  kP,
  kConstants,
  kOperands = kConstants + kMaxConstants,
  kWalkCount = kOperands + kMaxOperands
};

struct Axis {
  std::int64_t length;
  std::int64_t strides[kWalkCount];
  std::int64_t block = 1;  // its extent in a block

  std::uint64_t block_count() const { return static_cast<std::uint64_t>((length + block - 1) / block); }
  // Whether the two are one axis on every walk.
  bool continues(const Axis& inner) const {
    for (int walk = 0; walk < kWalkCount; ++walk)
      if (strides[walk] != inner.length * inner.strides[walk]) return false;
    return true;
  }
};

// The window's axes, less those of length 1; neighbours that are one axis are merged. Where kernels must know
// where rows end, the last axis stays as it is.
std::vector<Axis> merged_axes(const Request& request, const Operand* const* operands, int operand_count) {
  const Window& window = request.window;
  const bool keeps_last = has_row_ends(kOperations[request.operation]);
  std::vector<Axis> axes;  // the last one first
  std::int64_t c_stride = 1;
  for (int at = window.rank - 1; at >= 0; --at) {
    const auto stride = [&](const Window& of) { return of.strides != nullptr ? of.strides[at] : c_stride; };
    const auto varying_stride = [&](const Value& value) {
      return value.varying != nullptr ? stride(value.varying->window) : 0;
    };
    Axis axis{window.shape[at], {}};
    axis.strides[kIndex] = stride(window);
    axis.strides[kP] = varying_stride(request.mask.p);
    for (int i = 0; i < kMaxConstants; ++i)
      axis.strides[kConstants + i] = varying_stride(request.constants[i]);
    for (int i = 0; i < operand_count; ++i) axis.strides[kOperands + i] = operands[i]->strides[at];
    c_stride *= axis.length;
    const bool is_row = keeps_last && at == window.rank - 1;
    const bool follows_row = keeps_last && axes.size() == 1;
    if (axis.length == 1 && !is_row) continue;
    if (!axes.empty() && !follows_row && axis.continues(axes.back()))
      axes.back().length *= axis.length;
    else
      axes.push_back(axis);
  }
  std::reverse(axes.begin(), axes.end());
  return axes;
}

class StridedJob {
 public:
  explicit StridedJob(const Request& request) : request_(request), info_(kOperations[request.operation]) {
    input_count_ = operand_count(info_.inputs);
    for (int i = 0; i < input_count_; ++i) add(info_.inputs[i], request.inputs[i]);
    for (int i = 0; i < operand_count(info_.outputs); ++i) add(info_.outputs[i], request.outputs[i]);
    axes_ = merged_axes(request, operands_, operand_count_);
    rank_ = static_cast<int>(axes_.size());
    for (int walk = 0; walk < kWalkCount; ++walk)
      for (const Axis& axis : axes_) strides_.push_back(axis.strides[walk]);
    for (int i = 0; i < operand_count_; ++i) is_aligned_native_[i] = is_aligned_native(i);
    choose_block();
    for (const Axis& axis : axes_) block_count_ *= axis.block_count();
  }

  std::uint64_t block_count() const { return block_count_; }

  // run() takes the operands as they are.
  bool is_contiguous() const {
    for (int i = 0; i < operand_count_; ++i)
      if (!is_direct(i, [this](int axis) { return axes_[static_cast<std::size_t>(axis)].length; }))
        return false;
    return true;
  }

 private:
  struct Block {
    std::int64_t shape[kMaxRank];
    std::int64_t offsets[kWalkCount];  // of its first element
  };

 public:
  // What a thread needs beside its stack.
  struct Memory {
    alignas(kCacheLineBytes) char buffers[kBufferBytes];
    alignas(kCacheLineBytes) char between[kBetweenBytes];
    Block block;
    Request request;  // of the block
    Varying varying[1 + kMaxConstants];
    std::int64_t copied_shape[kMaxRank], buffer_strides[kMaxRank];
    Scratch scratch;
  };

  void run_blocks(std::uint64_t first, std::uint64_t last, Memory& memory) const {
    for (std::uint64_t index = first; index < last; ++index) {
      find_block(index, memory.block);
      run_block(memory);
    }
  }

 private:
  void add(const OperandInfo& info, const Operand& operand) {
    infos_[operand_count_] = &info;
    operands_[operand_count_++] = &operand;
  }

  const std::int64_t* strides(int walk) const { return strides_.data() + walk * rank_; }
  std::int64_t bytes_per_item(int operand) const {
    return static_cast<std::int64_t>(item_bytes(*infos_[operand], request_.element));
  }

  // Aligned and in native byte order: a kernel may read what is contiguous.
  bool is_aligned_native(int operand) const {
    const std::int64_t bytes = bytes_per_item(operand);
    bool aligned =
        reinterpret_cast<std::uintptr_t>(operands_[operand]->data) % static_cast<std::uintptr_t>(bytes) == 0;
    for (int axis = 0; axis < rank_; ++axis) aligned &= strides(kOperands + operand)[axis] % bytes == 0;
    return aligned && !operands_[operand]->swapped;
  }

  // Calls work(axis, stride) with the strides that an operand has in a buffer, the last axis first, and
  // returns how many bytes it has. `length(axis)` is that of the part in the buffer.
  template <class Length, class Work>
  std::int64_t for_buffer_strides(int operand, Length length, Work work) const {
    std::int64_t bytes = bytes_per_item(operand);
    for (int axis = rank_ - 1; axis >= 0; --axis) {
      const bool is_there = has_axis(*infos_[operand], axis, rank_);
      work(axis, is_there ? bytes : 0);
      if (is_there) bytes *= length(axis);
    }
    return bytes;
  }

  // A kernel can walk a part as it is.
  template <class Length>
  bool is_direct(int operand, Length length) const {
    bool is_direct = is_aligned_native_[operand];
    for_buffer_strides(operand, length, [&](int axis, std::int64_t stride) {
      is_direct &= length(axis) <= 1 || strides(kOperands + operand)[axis] == stride;
    });
    return is_direct;
  }

  // With one input the output's memory is the buffer of both; otherwise each operand has a buffer.
  bool shares_buffer() const {
    return input_count_ == 1 && operand_count_ == 2 && infos_[0]->type == infos_[1]->type &&
           infos_[0]->access == infos_[1]->access;
  }
  // How many elements of a block the buffers hold.
  std::int64_t buffered_elements() const {
    if (shares_buffer()) return kBufferBytes / bytes_per_item(0);
    std::int64_t bytes = 0;
    for (int i = 0; i < operand_count_; ++i) bytes += bytes_per_item(i);
    return (kBufferBytes - operand_count_ * kCacheLineBytes) / bytes;  // each begins at a cache line
  }

  void choose_block() {
    if (axes_.empty()) return;
    Axis& last = axes_.back();
    bool direct_rows = last.length >= kDirectRowElements;
    for (int i = 0; i < operand_count_; ++i) {
      const std::int64_t wanted = has_axis(*infos_[i], rank_ - 1, rank_) ? bytes_per_item(i) : 0;
      direct_rows &= is_aligned_native_[i] && last.strides[kOperands + i] == wanted;
    }
    if (direct_rows) {
      last.block = std::min(last.length, kDirectPieceElements);
      return;
    }
    std::int64_t room = buffered_elements();
    const auto widen = [&room](Axis& axis, std::int64_t wanted) {
      wanted = std::min({wanted, axis.length, room * axis.block});
      if (wanted <= axis.block) return;
      room = room * axis.block / wanted;
      axis.block = wanted;
    };
    // Minimum extent along an array's contiguous axis: one cache line, so that no line is read or written
    // twice.
    for (int i = 0; i < operand_count_; ++i)
      if (infos_[i]->access == kFull) widen(fastest_axis(i), kCacheLineBytes / bytes_per_item(i));
    // Next the axis of consecutive indices, by whole tiles of random words, and then what fits.
    const std::int64_t most = room * last.block;
    const bool cut = most >= kMaxTileElements && most < last.length;
    widen(last, cut ? most / kMaxTileElements * kMaxTileElements : most);
    for (auto axis = axes_.rbegin(); axis != axes_.rend(); ++axis) widen(*axis, axis->length);
  }

  Axis& fastest_axis(int operand) {
    const int walk = kOperands + operand;
    return *std::min_element(axes_.rbegin(), axes_.rend(), [walk](const Axis& a, const Axis& b) {
      return std::abs(a.strides[walk]) < std::abs(b.strides[walk]);
    });
  }

  void find_block(std::uint64_t index, Block& block) const {
    std::fill(std::begin(block.offsets), std::end(block.offsets), 0);
    for (int i = rank_ - 1; i >= 0; --i) {
      const Axis& axis = axes_[static_cast<std::size_t>(i)];
      const auto first = static_cast<std::int64_t>(index % axis.block_count()) * axis.block;
      index /= axis.block_count();
      block.shape[i] = std::min(axis.block, axis.length - first);
      for (int walk = 0; walk < kWalkCount; ++walk) block.offsets[walk] += first * axis.strides[walk];
    }
  }

  void run_block(Memory& memory) const {
    const Block& block = memory.block;
    const auto length = [&block](int axis) { return block.shape[axis]; };
    char* buffer = memory.buffers;
    Request& request = memory.request = request_;
    const auto part = [&](const Window& whole, int walk) -> Window {
      return {whole.start + static_cast<std::uint64_t>(block.offsets[walk]), rank_, block.shape,
              strides(walk)};
    };
    request.window = part(request.window, kIndex);
    const auto cut_varying = [&](Value& value, int walk) {
      if (value.varying == nullptr) return;
      memory.varying[walk - kP] = {value.varying->values, part(value.varying->window, walk)};
      value.varying = &memory.varying[walk - kP];
    };
    cut_varying(request.mask.p, kP);
    for (int i = 0; i < kMaxConstants; ++i) cut_varying(request.constants[i], kConstants + i);

    char *given[kMaxOperands], *work[kMaxOperands];  // where an operand is, and where it is worked on
    for (int i = 0; i < operand_count_; ++i) {
      given[i] = static_cast<char*>(operands_[i]->data) + block.offsets[kOperands + i];
      work[i] = given[i];
      if (is_direct(i, length)) continue;
      work[i] = buffer;
      if (shares_buffer()) continue;
      const std::int64_t bytes = for_buffer_strides(i, length, [](int, std::int64_t) {});
      buffer += (bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
    }
    if (shares_buffer() && work[0] != given[0]) work[0] = work[1];
    for (int i = 0; i < operand_count_; ++i) {
      Operand& operand = i < input_count_ ? request.inputs[i] : request.outputs[i - input_count_];
      operand = {work[i], nullptr, false};
      if (i < input_count_ && work[i] != given[i]) copy(i, memory, given[i], work[i]);
    }
    run_here(request, memory.scratch);
    for (int i = input_count_; i < operand_count_; ++i)
      if (work[i] != given[i]) copy(i, memory, work[i], given[i]);
  }

  // From where an operand is to where it is worked on, or of an output back.
  void copy(int operand, Memory& memory, const char* from, char* to) const {
    std::int64_t *const shape = memory.copied_shape, *const contiguous = memory.buffer_strides;
    const auto length = [&memory](int axis) { return memory.block.shape[axis]; };
    for_buffer_strides(operand, length, [&](int axis, std::int64_t stride) {
      contiguous[axis] = stride;
      shape[axis] = has_axis(*infos_[operand], axis, rank_) ? length(axis) : 1;
    });
    const std::int64_t* own = strides(kOperands + operand);
    const bool back = operand >= input_count_;
    strided_copy({rank_, shape, back ? contiguous : own, back ? own : contiguous, bytes_per_item(operand),
                  operands_[operand]->swapped, memory.between},
                 from, to);
  }

  const Request& request_;
  const OperationInfo& info_;
  const OperandInfo* infos_[kMaxOperands];
  const Operand* operands_[kMaxOperands];  // the inputs, then the outputs
  bool is_aligned_native_[kMaxOperands];
  int input_count_ = 0, operand_count_ = 0, rank_ = 0;
  std::vector<Axis> axes_;
  std::vector<std::int64_t> strides_;  // of every walk, an axis after another
  std::uint64_t block_count_ = 1;
};

}  // namespace

void run_strided(const Request& request) {
  const std::uint64_t elements = element_count(request.window);
  if (elements == 0) return;
  if (run_transposed(request)) return;
  const StridedJob job(request);
  if (job.is_contiguous()) return run(request);
  const Sharing sharing = share_out(elements, kStridedElementsPerThread);
  const std::unique_ptr<StridedJob::Memory[]> memory(new StridedJob::Memory[sharing.threads]);
  current_isa();  // what may throw comes before anything is written
  run_chunks(sharing, request.interrupt, [&](int chunk, int thread) {
    const auto at = static_cast<std::uint64_t>(chunk), count = static_cast<std::uint64_t>(sharing.chunks);
    job.run_blocks(job.block_count() * at / count, job.block_count() * (at + 1) / count, memory[thread]);
  });
}

}  // namespace fastdrop
