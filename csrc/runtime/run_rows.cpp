// SPDX-License-Identifier: BSD-3-Clause
#include "run_rows.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "../dispatch/cpu_features.h"
#include "../dispatch/isa_registry.h"
#include "check_rows.h"
#include "column_sums.h"
#include "floating_point.h"
#include "interrupt.h"
#include "keep_bits.h"
#include "neutral_values.h"
#include "operands.h"
#include "row_places.h"
#include "store_policy.h"
#include "thread_pool.h"
#include "tuning.h"
#include "varying.h"

namespace fastdrop {
namespace {

class RowJob {
 public:
  explicit RowJob(const Request& request)
      : request_(request),
        info_(kOperations[request.operation]),
        mask_(is_decided_by_result() ? kAllKept : request.mask),
        isa_(current_isa()),
        kernel_(isa_.rows->run[request.operation][request.element]),
        places_(request),
        length_(static_cast<std::uint64_t>(request.window.shape[request.window.rank - 1])),
        row_count_(product(request.window.shape, 0, request.window.rank - 1)),
        matrix_rows_(
            product(request.window.shape, std::max(request.window.rank - 2, 0), request.window.rank - 1)),
        element_count_(row_count_ * length_),
        by_elements_(!info_.reduces_rows && !wants_sums()),
        is_flat_(by_elements_ && places_.is_flat(request)),
        non_temporal_(stores_non_temporally(request, element_count_)),
        prefetches_(non_temporal_ || element_count_ * kElementBytes[request.element] <= kPrefetchedBytes ||
                    gains_from_prefetching()) {
    if (length_ == 0 && !has_row_results()) row_count_ = 0;
    if (is_flat_) lengthen_rows();
    if (by_elements_) {
      task_count_ = std::min((element_count_ + kTaskElements - 1) / kTaskElements, kMostTasks);
    } else if (wants_sums()) {
      sums_.emplace(request, row_count_, length_);
      task_count_ = sums_->task_count();
    } else {
      task_count_ = std::min({row_count_, element_count_ / kTaskElements + 1, kMostTasks});
    }
    const DefaultFloatingPoint environment;
    scale_.fill(request.constants[0].constant, kComputeBytes[request.element]);
    sharing_ = share_out(element_count_, info_.reduces_rows ? kReducedElementsPerThread : kElementsPerThread);
    const auto threads = static_cast<std::uint64_t>(sharing_.threads);
    memory_.reset(new Memory[threads]);
    if (most_elements() > kBitsAtOnce) bits_.reset(new std::uint8_t[threads * bits_bytes()]);
    if (varies_scale()) scales_.reset(new char[threads * scales_bytes()]);
  }

  const Sharing& sharing() const { return sharing_; }

  void run_chunk(int chunk, int thread) const {
    const auto boundary = [&](int at) {
      return task_count_ * static_cast<std::uint64_t>(at) / static_cast<std::uint64_t>(sharing_.chunks);
    };
    for (std::uint64_t task = boundary(chunk); task < boundary(chunk + 1); ++task)
      run_task(task, static_cast<std::uint64_t>(thread));
  }

  void finish() const {
    if (!sums_) return;
    const DefaultFloatingPoint environment;
    sums_->finish();
  }

 private:
  static constexpr MaskState kAllKept{kArs4x32, {}, 0, {0, nullptr}, nullptr};

  // What a thread needs beside its stack.
  struct Memory {
    alignas(64) char room[kRoomBytes];
    std::uint8_t bits[KeepBitsSource::bytes_for(kBitsAtOnce)];
    GatherScratch gather;
    std::optional<KeepBitsSource> source;
  };

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
  // Whether there is something to do for a row without elements.
  bool has_row_results() const {
    bool has = false;
    for (const OperandInfo& operand : info_.outputs)
      has |= operand.name != nullptr && operand.access == kPerRow;
    return has;
  }
  // Flat operands are one row, or if a bias repeats along them and is short, rows of several: it is written
  // as often as they need it.
  void lengthen_rows() {
    const std::uint64_t item = kComputeBytes[request_.element], own = length_;
    length_ = element_count_;
    for (int i = 0; i < operand_count(info_.inputs); ++i) {
      if (info_.inputs[i].access != kPerColumn || request_.inputs[i].data == nullptr || own == 0) continue;
      const std::uint64_t times = own >= kShortRow ? 1 : std::min(kShortRow / own + 1, row_count_);
      length_ = own * times;
      if (times == 1) continue;
      columns_[i].reset(new char[length_ * item]);
      for (std::uint64_t at = 0; at < times; ++at)
        std::memcpy(columns_[i].get() + at * own * item, request_.inputs[i].data, own * item);
    }
  }
  bool varies_scale() const { return request_.constants[0].varying != nullptr; }

  // How many elements a call of the kernel has at most.
  std::uint64_t most_elements() const {
    if (varies_scale()) return by_elements_ ? std::min(length_, kBlockDecisions) : length_;
    return by_elements_ ? kBitsAtOnce : std::max(length_, kBitsAtOnce);
  }

  // Of a thread.
  std::uint64_t bits_bytes() const { return KeepBitsSource::bytes_for(length_); }
  std::uint64_t scales_bytes() const { return most_elements() * kComputeBytes[request_.element]; }

  void run_task(std::uint64_t task, std::uint64_t thread) const {
    Memory& memory = memory_[thread];
    std::uint8_t* const bits = bits_ == nullptr ? memory.bits : bits_.get() + thread * bits_bytes();
    KeepBitsSource& source =
        memory.source.emplace(isa_, mask_, request_.window, request_.interrupt, bits, memory.gather);
    RowArgs args;
    prepare(thread, source, args);
    if (by_elements_) {
      const std::uint64_t tiles = (element_count_ + kMaxTileElements - 1) / kMaxTileElements;
      const auto boundary = [&](std::uint64_t at) {
        return std::min(tiles * at / task_count_ * kMaxTileElements, element_count_);
      };
      run_elements(boundary(task), boundary(task + 1), source, args);
    } else if (sums_) {
      const std::uint64_t rows = sums_->blocks_per_task() * kBlockRows, first = task * rows;
      std::uint64_t block = 0;
      for (std::uint64_t row = first; row < std::min(first + rows, row_count_); row += kBlockRows, ++block) {
        sums_->begin_block(task, block, args.outputs);
        run_whole_rows(row, std::min(row + kBlockRows, row_count_), source, args);
        sums_->end_block(task, block);
        if (stops(request_.interrupt, 0)) return;
      }
      sums_->end_task(task, block);
    } else {
      run_whole_rows(row_count_ * task / task_count_, row_count_ * (task + 1) / task_count_, source, args);
    }
  }

  // What all calls of a task have in common.
  void prepare(std::uint64_t thread, KeepBitsSource& source, RowArgs& args) const {
    for (int i = 0; i < operand_count(info_.inputs); ++i) {
      args.is_there[i] = request_.inputs[i].data != nullptr;
      if (args.is_there[i]) continue;
      args.inputs[i] = neutral_values().of(info_.inputs[i], request_.element);
      args.input_rows[i] = 0;
    }
    for (int i = 0; i < operand_count(info_.outputs); ++i) args.outputs[i] = nullptr, args.output_rows[i] = 0;
    for (int i = 0; i < kMaxConstants; ++i) args.constants[i] = request_.constants[i].constant;
    args.scale_varies = varies_scale();
    args.scale = args.scale_varies ? scales_.get() + thread * scales_bytes() : scale_.bytes;
    args.keep = &source.keep();
    args.non_temporal = non_temporal_, args.prefetches = prefetches_;
    args.room = memory_[thread].room;
    args.stops = [](void* interrupt) { return stops(static_cast<Interrupt*>(interrupt)); };
    args.interrupt = request_.interrupt;
  }

  // Pieces of rows, or several whole rows.
  void run_elements(std::uint64_t first, std::uint64_t last, KeepBitsSource& source, RowArgs& args) const {
    const std::uint64_t most = most_elements();
    while (first < last) {
      const std::uint64_t row = first / length_, column = first % length_;
      std::uint64_t rows = 1, count = std::min({length_ - column, last - first, most});
      if (count == length_ && !args.scale_varies)
        rows =
            std::min({(last - first) / length_, is_flat_ ? most : places_.run_length(row), most / length_});
      run_kernel(row, column, rows, count, source, args);
      first += rows * count;
      if (stops(request_.interrupt, rows * count)) return;
    }
  }

  void run_whole_rows(std::uint64_t row, std::uint64_t end, KeepBitsSource& source, RowArgs& args) const {
    const std::uint64_t most =
        args.scale_varies || length_ == 0 ? 1 : std::max(kBitsAtOnce / length_, std::uint64_t{1});
    while (row < end) {
      // Rows of one run, which are drawn, if there are some.
      const std::uint64_t run = length_ == 0 ? 0 : source.run_left(row * length_) / length_;
      const std::uint64_t rows = std::min({end - row, places_.run_length(row), most, run > 0 ? run : most});
      run_kernel(row, 0, rows, length_, source, args);
      row += rows;
      if (stops(request_.interrupt, rows * length_)) return;
    }
  }

  void run_kernel(std::uint64_t row, std::uint64_t column, std::uint64_t rows, std::uint64_t count,
                  KeepBitsSource& source, RowArgs& args) const {
    const std::uint64_t first = row * length_ + column;
    if (is_flat_)
      places_.point_flat(request_, length_, row, column, args);
    else
      places_.point(request_, row, column, args);
    for (int i = 0; i < kMaxInputs; ++i)
      if (columns_[i] != nullptr)
        args.inputs[i] = columns_[i].get() + column * kComputeBytes[request_.element];
    if (args.scale_varies) fill_scales(first, count, const_cast<char*>(args.scale));
    args.first_bit = source.begin(first, rows * count);
    args.row_count = rows, args.length = count;
    args.first_row = row, args.matrix_rows = matrix_rows_;
    kernel_(args);
  }

  void fill_scales(std::uint64_t first, std::uint64_t count, char* to) const {
    const std::uint64_t item = kComputeBytes[request_.element];
    const VaryingValue scale(request_.constants[0]);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (i % kBlockDecisions == 0 && stops(request_.interrupt, i)) return;
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
  const Isa& isa_;
  const RowKernel kernel_;
  const RowPlaces places_;
  std::uint64_t length_, row_count_;  // of what kernels see as rows
  const std::uint64_t matrix_rows_, element_count_;
  const bool by_elements_, is_flat_;  // by_elements_: the work may be cut anywhere, not only where rows end
  const bool non_temporal_, prefetches_;
  std::uint64_t task_count_;
  Sharing sharing_;
  std::optional<ColumnSums> sums_;
  Neutral scale_;
  // Of every thread. Long rows have more bits than memory_ has room for.
  std::unique_ptr<Memory[]> memory_;
  std::unique_ptr<std::uint8_t[]> bits_;
  std::unique_ptr<char[]> scales_;
  std::unique_ptr<char[]> columns_[kMaxInputs];  // of operands that are written several times
};

}  // namespace

void run_rows(const Request& request) {
  check_choice(request);
  const RowJob job(request);
  run_chunks(job.sharing(), request.interrupt,
             [&job](int chunk, int thread) { job.run_chunk(chunk, thread); });
  if (!stops(request.interrupt, 0)) job.finish();
}

}  // namespace fastdrop
