// SPDX-License-Identifier: BSD-3-Clause
#include "run_rows.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "../dispatch/cpu_features.h"
#include "../dispatch/isa_registry.h"
#include "column_sums.h"
#include "floating_point.h"
#include "keep_bits.h"
#include "operands.h"
#include "store_policy.h"
#include "thread_pool.h"
#include "tuning.h"
#include "varying.h"

namespace fastdrop {
namespace {

// A strip of -0.0 of every element type, which changes nothing where it is added, or of another value.
struct Neutral {
  alignas(64) char bytes[kStripBytes];

  template <class Value>
  void fill(Value value) {
    for (std::size_t at = 0; at < sizeof bytes; at += sizeof value)
      std::memcpy(bytes + at, &value, sizeof value);
  }
  void fill(double value, std::uint64_t item) {
    if (item == sizeof(float))
      fill(static_cast<float>(value));
    else
      fill(value);
  }
};

struct NeutralValues {
  Neutral addend[kElementCount], factor[kElementCount];
  NeutralValues() {
    for (const Element element : {kFloat32, kFloat64}) {
      addend[element].fill(-0.0, kElementBytes[element]);
      factor[element].fill(1.0, kElementBytes[element]);
    }
    for (const Element element : {kFloat16, kBFloat16}) addend[element].fill(std::uint16_t{0x8000});
  }
  const char* of(const OperandInfo& operand, Element element) const {
    const Element type = operand.type == kComputeType && kElementBytes[element] == 2 ? kFloat32 : element;
    return (std::strcmp(operand.name, "weight") == 0 ? factor : addend)[type].bytes;
  }
};

// The leading axes of the window, merged where one stride steps over two of them in every operand: rows are
// counted along them in C order.
class RowPlaces {
 public:
  explicit RowPlaces(const Request& request) : info_(kOperations[request.operation]) {
    const Window& window = request.window;
    inputs_ = operand_count(info_.inputs);
    for (int i = 0; i < inputs_; ++i) add(info_.inputs[i], request.inputs[i]);
    for (int i = 0; i < operand_count(info_.outputs); ++i) add(info_.outputs[i], request.outputs[i]);
    std::int64_t c_stride[kMaxOperands];
    for (int i = 0; i < count_; ++i)
      c_stride[i] = static_cast<std::int64_t>(item_bytes(*infos_[i], request.element)) *
                    (infos_[i]->access == kFull ? window.shape[window.rank - 1] : 1);
    for (int axis = window.rank - 2; axis >= 0; --axis) {
      const std::int64_t length = window.shape[axis];
      if (length == 1) continue;
      Axis next{length, {}};
      for (int i = 0; i < count_; ++i) {
        if (infos_[i]->access == kPerColumn) continue;
        next.strides[i] = operands_[i]->strides != nullptr ? operands_[i]->strides[axis] : c_stride[i];
        c_stride[i] *= length;
      }
      if (!axes_.empty() && continues(next, axes_.back()))
        axes_.back().length *= length;
      else
        axes_.push_back(next);
    }
    if (axes_.empty()) axes_.push_back({1, {}});
  }

  // Whether every operand is C-contiguous, and has a value for every element.
  bool is_flat(const Request& request) const {
    const Window& window = request.window;
    for (int i = 0; i < count_; ++i) {
      if (operands_[i]->data == nullptr) continue;
      const auto row_bytes =
          static_cast<std::int64_t>(item_bytes(*infos_[i], request.element)) * window.shape[window.rank - 1];
      const Axis& axis = axes_.front();
      if (infos_[i]->access != kFull || axes_.size() > 1) return false;
      if (axis.length > 1 && axis.strides[i] != row_bytes) return false;
    }
    return true;
  }

  // How many rows, from `row` on, are evenly spaced.
  std::uint64_t run_length(std::uint64_t row) const {
    const auto length = static_cast<std::uint64_t>(axes_.front().length);
    return length - row % length;
  }

  // Points to row `row`, and to its elements from `column` on.
  void point(const Request& request, std::uint64_t row, std::uint64_t column, RowArgs& args) const {
    for (int i = 0; i < count_; ++i) {
      if (operands_[i]->data == nullptr) continue;
      std::int64_t offset = 0;
      std::uint64_t left = row;
      if (infos_[i]->access != kPerColumn) {
        for (const Axis& axis : axes_) {
          const auto length = static_cast<std::uint64_t>(axis.length);
          offset += static_cast<std::int64_t>(axes_.size() == 1 ? left : left % length) * axis.strides[i];
          if (axes_.size() > 1) left /= length;
        }
      }
      if (infos_[i]->access != kPerRow)
        offset += static_cast<std::int64_t>(column * item_bytes(*infos_[i], request.element));
      char* const data = static_cast<char*>(operands_[i]->data) + offset;
      const std::int64_t step = infos_[i]->access == kPerColumn ? 0 : axes_.front().strides[i];
      if (i < inputs_)
        args.inputs[i] = data, args.input_rows[i] = step;
      else if (infos_[i]->access != kPerColumn)  // the others are the sums'
        args.outputs[i - inputs_] = data, args.output_rows[i - inputs_] = step;
    }
  }

 private:
  struct Axis {
    std::int64_t length;
    std::int64_t strides[kMaxOperands];
  };

  void add(const OperandInfo& info, const Operand& operand) {
    infos_[count_] = &info;
    operands_[count_++] = &operand;
  }
  bool continues(const Axis& outer, const Axis& inner) const {
    for (int i = 0; i < count_; ++i)
      if (operands_[i]->data != nullptr && outer.strides[i] != inner.length * inner.strides[i]) return false;
    return true;
  }

  const OperationInfo& info_;
  const OperandInfo* infos_[kMaxOperands];
  const Operand* operands_[kMaxOperands];  // the inputs, then the outputs
  int inputs_ = 0, count_ = 0;
  std::vector<Axis> axes_;  // the innermost one first
};

class RowJob {
 public:
  explicit RowJob(const Request& request)
      : request_(request),
        info_(kOperations[request.operation]),
        mask_(is_decided_by_result() ? kAllKept : request.mask),
        kernel_(current_isa().rows->run[request.operation][request.element]),
        places_(request),
        length_(static_cast<std::uint64_t>(request.window.shape[request.window.rank - 1])),
        row_count_(product(request.window.shape, 0, request.window.rank - 1)),
        by_elements_(works_by_elements()),
        non_temporal_(stores_non_temporally(request, element_count())),
        prefetches_(non_temporal_ || element_count() * kElementBytes[request.element] <= kPrefetchedBytes ||
                    gains_from_prefetching()) {
    if (by_elements_ && places_.is_flat(request)) length_ *= row_count_, row_count_ = 1;
    if (by_elements_) {
      task_count_ = std::min(element_count() / kTaskElements + 1, kMostTasks);
    } else if (wants_sums()) {
      sums_.emplace(request, row_count_, length_);
      task_count_ = sums_->task_count();
    } else {
      task_count_ = std::min({row_count_, element_count() / kTaskElements + 1, kMostTasks});
    }
    const DefaultFloatingPoint environment;
    scale_.fill(request.constants[0].constant, kComputeBytes[request.element]);
    if (most_elements() > kBitsAtOnce) bits_ = memory<std::uint8_t>(KeepBitsSource::bytes_for(length_));
    if (varies_scale()) scales_ = memory<char>(most_elements() * kComputeBytes[request.element]);
  }

  std::uint64_t element_count() const { return row_count_ * length_; }

  void run_chunk(int chunk, int chunk_count) const {
    const auto boundary = [&](int at) {
      return task_count_ * static_cast<std::uint64_t>(at) / static_cast<std::uint64_t>(chunk_count);
    };
    for (std::uint64_t task = boundary(chunk); task < boundary(chunk + 1); ++task) run_task(task);
  }

  void finish() const {
    if (!sums_) return;
    const DefaultFloatingPoint environment;
    sums_->finish();
  }

 private:
  static constexpr MaskState kAllKept{kArs4x32, {}, 0, {0, nullptr}, nullptr};

  // With relu and no residual, what the forward pass gave says what was kept.
  bool is_decided_by_result() const {
    return request_.operation == kBiasDropoutAddBackward && request_.inputs[3].data != nullptr;
  }
  bool wants_sums() const {
    bool wants = false;
    for (int i = 0; i < operand_count(info_.outputs); ++i)
      wants |= info_.outputs[i].access == kPerColumn && request_.outputs[i].data != nullptr;
    return wants;
  }
  // Whether the work may be cut anywhere, not only where rows end.
  bool works_by_elements() const {
    for (const OperandInfo& operand : info_.inputs)
      if (operand.name != nullptr && operand.access == kPerRow) return false;
    for (const OperandInfo& operand : info_.outputs)
      if (operand.name != nullptr && operand.access == kPerRow) return false;
    return !wants_sums();
  }
  bool varies_scale() const { return request_.constants[0].varying != nullptr; }

  // How many elements a call of the kernel has at most.
  std::uint64_t most_elements() const {
    if (varies_scale()) return by_elements_ ? std::min(length_, kBlockDecisions) : length_;
    return by_elements_ ? kBitsAtOnce : std::max(length_, kBitsAtOnce);
  }

  template <class Item>
  std::unique_ptr<Item[]> memory(std::uint64_t per_task) const {
    return std::unique_ptr<Item[]>(new Item[per_task * task_count_]);
  }

  void run_task(std::uint64_t task) const {
    std::uint8_t bits[KeepBitsSource::bytes_for(kBitsAtOnce)];
    KeepBitsSource source(mask_, request_.window,
                          bits_ == nullptr ? bits : bits_.get() + task * KeepBitsSource::bytes_for(length_));
    RowArgs args;
    prepare(task, source, args);
    if (by_elements_) {
      run_elements(element_count() * task / task_count_, element_count() * (task + 1) / task_count_, task,
                   source, args);
    } else if (sums_) {
      const std::uint64_t rows = sums_->blocks_per_task() * kBlockRows, first = task * rows;
      std::uint64_t block = 0;
      for (std::uint64_t row = first; row < std::min(first + rows, row_count_); row += kBlockRows, ++block) {
        sums_->begin_block(task, block, args.outputs);
        run_whole_rows(row, std::min(row + kBlockRows, row_count_), task, source, args);
        sums_->end_block(task, block);
      }
      sums_->end_task(task, block);
    } else {
      run_whole_rows(row_count_ * task / task_count_, row_count_ * (task + 1) / task_count_, task, source,
                     args);
    }
  }

  // What all calls of a task have in common.
  void prepare(std::uint64_t task, KeepBitsSource& source, RowArgs& args) const {
    for (int i = 0; i < operand_count(info_.inputs); ++i) {
      args.is_there[i] = request_.inputs[i].data != nullptr;
      if (args.is_there[i]) continue;
      args.inputs[i] = neutral_values().of(info_.inputs[i], request_.element);
      args.input_rows[i] = 0;
    }
    for (int i = 0; i < operand_count(info_.outputs); ++i) args.outputs[i] = nullptr, args.output_rows[i] = 0;
    for (int i = 0; i < kMaxConstants; ++i) args.constants[i] = request_.constants[i].constant;
    args.scale_varies = varies_scale();
    args.scale = args.scale_varies ? scales_.get() + task * most_elements() * kComputeBytes[request_.element]
                                   : scale_.bytes;
    args.keep = &source.keep();
    args.non_temporal = non_temporal_, args.prefetches = prefetches_;
  }

  // Pieces of rows, or several whole rows.
  void run_elements(std::uint64_t first, std::uint64_t last, std::uint64_t task, KeepBitsSource& source,
                    RowArgs& args) const {
    const std::uint64_t most = most_elements();
    while (first < last) {
      const std::uint64_t row = first / length_, column = first % length_;
      std::uint64_t rows = 1, count = std::min({length_ - column, last - first, most});
      if (count == length_ && !args.scale_varies)
        rows = std::min({(last - first) / length_, places_.run_length(row), most / length_});
      run_kernel(row, column, rows, count, task, source, args);
      first += rows * count;
    }
  }

  void run_whole_rows(std::uint64_t row, std::uint64_t end, std::uint64_t task, KeepBitsSource& source,
                      RowArgs& args) const {
    const std::uint64_t most =
        args.scale_varies || length_ == 0 ? 1 : std::max(kBitsAtOnce / length_, std::uint64_t{1});
    while (row < end) {
      const std::uint64_t rows = std::min({end - row, places_.run_length(row), most});
      run_kernel(row, 0, rows, length_, task, source, args);
      row += rows;
    }
  }

  void run_kernel(std::uint64_t row, std::uint64_t column, std::uint64_t rows, std::uint64_t count,
                  std::uint64_t task, KeepBitsSource& source, RowArgs& args) const {
    const std::uint64_t first = row * length_ + column;
    places_.point(request_, row, column, args);
    if (args.scale_varies) fill_scales(first, count, task);
    args.first_bit = source.begin(first, rows * count);
    args.row_count = rows, args.length = count;
    kernel_(args);
  }

  void fill_scales(std::uint64_t first, std::uint64_t count, std::uint64_t task) const {
    const std::uint64_t item = kComputeBytes[request_.element];
    char* const to = scales_.get() + task * most_elements() * item;
    const VaryingValue scale(request_.constants[0]);
    for (std::uint64_t i = 0; i < count; ++i) {
      const double value = scale.at(first + i);
      const auto single = static_cast<float>(value);
      std::memcpy(to + i * item, item == sizeof(float) ? static_cast<const void*>(&single) : &value, item);
    }
  }

  static const NeutralValues& neutral_values() {
    static const NeutralValues values;
    return values;
  }

  const Request& request_;
  const OperationInfo& info_;
  const MaskState mask_;
  const RowKernel kernel_;
  const RowPlaces places_;
  std::uint64_t length_, row_count_;  // of what kernels see as rows
  const bool by_elements_, non_temporal_, prefetches_;
  std::uint64_t task_count_;
  std::optional<ColumnSums> sums_;
  Neutral scale_;
  std::unique_ptr<std::uint8_t[]> bits_;
  std::unique_ptr<char[]> scales_;
};

void check_rows_of(const Request& request, const OperandInfo& info, const Operand& operand) {
  const int rank = request.window.rank;
  const auto item = static_cast<std::int64_t>(item_bytes(info, request.element));
  bool walks = !operand.swapped &&
               reinterpret_cast<std::uintptr_t>(operand.data) % item_bytes(info, request.element) == 0;
  for (int axis = 0; axis < rank && operand.strides != nullptr; ++axis) {
    if (request.window.shape[axis] <= 1 || !has_axis(info, axis, rank)) continue;
    const bool is_along_row = axis == rank - 1 || info.access == kPerColumn;
    walks &= is_along_row ? operand.strides[axis] == item : operand.strides[axis] % item == 0;
  }
  if (!walks) throw std::invalid_argument("rows must be contiguous, aligned and in native byte order");
}

}  // namespace

void check_rows(const Request& request) {
  const OperationInfo& info = kOperations[request.operation];
  for (int i = 0; i < operand_count(info.inputs); ++i)
    check_rows_of(request, info.inputs[i], request.inputs[i]);
  for (int i = 0; i < operand_count(info.outputs); ++i)
    check_rows_of(request, info.outputs[i], request.outputs[i]);
}

void run_rows(const Request& request) {
  const RowJob job(request);
  run_chunks(job.element_count() / kElementsPerThread,
             [&job](int chunk, int chunk_count) { job.run_chunk(chunk, chunk_count); });
  job.finish();
}

}  // namespace fastdrop
