// SPDX-License-Identifier: BSD-3-Clause
#include "run.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "../dispatch/cpu_features.h"
#include "../dispatch/isa_registry.h"
#include "floating_point.h"
#include "gather.h"
#include "operands.h"
#include "store_policy.h"
#include "thread_pool.h"
#include "threshold.h"
#include "tuning.h"
#include "varying.h"
#include "varying_table.h"

namespace fastdrop {
namespace {

// What follows works element by element.
constexpr bool any_whole_rows() {
  for (const OperationInfo& info : kOperations)
    if (info.whole_rows) return true;
  return false;
}
static_assert(!any_whole_rows(), "an operation on whole rows needs a job of its own");

class Job {
 public:
  explicit Job(const Request& request)
      : request_(request),
        info_(kOperations[request.operation]),
        input_count_(operand_count(info_.inputs)),
        output_count_(operand_count(info_.outputs)),
        constant_count_(constant_count(info_)),
        rows_(request.window),
        row_length_(row_length()),
        kernels_(current_isa().kernels->run[request.operation][request.element]),
        varying_(current_isa().kernels->run_varying[request.operation][request.element]),
        keep_mask_(current_isa().kernels->run[kKeepMask][kBool][request.mask.rule]),
        non_temporal_(stores_non_temporally(request, rows_.element_count())),
        prefetches_(non_temporal_ || gains_from_prefetching()) {
    if (!varies() || element_count() == 0 || !takes_tables()) return;
    if (varies_drawing())
      keep_mask_ = current_isa().kernels->run_varying[kKeepMask][kBool][request.mask.rule];
    const DefaultFloatingPoint environment;
    auto table = std::make_unique<VaryingTable>(request, element_count(), rows_.repeat());
    if (table->is_complete()) table_ = std::move(table);
  }

  std::uint64_t element_count() const { return rows_.element_count(); }

  // Chunks begin at multiples of a tile, so that hardly any tile is worked on twice.
  void run_chunk(int chunk, int chunk_count) const {
    const std::uint64_t tiles = (element_count() + kMaxTileElements - 1) / kMaxTileElements;
    const auto boundary = [&](int at) {
      return std::min(element_count(), tiles * static_cast<std::uint64_t>(at) /
                                           static_cast<std::uint64_t>(chunk_count) * kMaxTileElements);
    };
    const std::uint64_t first = boundary(chunk), last = boundary(chunk + 1);
    if (first == last) return;
    if (varies()) return run_varying(first, last);
    KernelArgs args;
    for (int i = 0; i < constant_count_; ++i) args.constants[i] = request_.constants[i].constant;
    choose_path(first, last, request_.mask.p.constant, args);
  }

 private:
  // The length of the window's last axis where kernels must not pass its end, and otherwise 0.
  std::uint64_t row_length() const {
    const Window& window = request_.window;
    return has_row_ends(info_) ? static_cast<std::uint64_t>(window.shape[window.rank - 1]) : 0;
  }

  bool varies() const {
    bool varies = request_.mask.p.varying != nullptr;
    for (const Value& constant : request_.constants) varies |= constant.varying != nullptr;
    return varies;
  }

  // Whether decisions are drawn by a p that varies.
  bool varies_drawing() const { return request_.mask.p.varying != nullptr && request_.mask.rule != kStored; }

  // Whether kernels can take p and the constants from tables: indices follow each other in the order of the
  // window, and elements that share a decision share p and the constants.
  bool takes_tables() const {
    const auto is_shared = [this](const Value& value) {
      return value.varying == nullptr || Rows(value.varying->window).repeat() % rows_.repeat() == 0;
    };
    bool takes = varying_[kGathered] != nullptr && rows_.stride() == 1 && is_shared(request_.mask.p);
    for (const Value& constant : request_.constants) takes = takes && is_shared(constant);
    return takes;
  }

  void run_varying(std::uint64_t first, std::uint64_t last) const {
    if (table_ != nullptr) return run_with(*table_, first, last);
    if (!takes_tables()) return split_varying(first, last);
    std::unique_ptr<VaryingTable> blocks;
    try {
      blocks = std::make_unique<VaryingTable>(request_, element_count(), rows_.repeat());
    } catch (const std::bad_alloc&) {
      return split_varying(first, last);  // slower, and without memory
    }
    run_with(*blocks, first, last);
  }

  void run_with(VaryingTable& table, std::uint64_t first, std::uint64_t last) const {
    const Value& p = request_.mask.p;
    const bool is_drawn = request_.mask.rule != kStored && p.varying == nullptr;
    KernelArgs args;
    args.non_temporal = non_temporal_, args.prefetches = prefetches_;
    if (is_drawn && p.constant == 1 && info_.zero_where_dropped) return zero(first, last);
    if (is_drawn && (p.constant == 0 || p.constant == 1))
      return run_alike(p.constant == 0, args, first, last, &table);
    args.keep = keep_args(p.varying == nullptr ? p.constant : 0);
    if (varies_drawing() && varying_[request_.mask.rule] != nullptr && draws_rows())
      run_drawn_varying(args, first, last, table);
    else
      run_gathered(args, first, last, &table);
  }

  // The elements from first to last in the window's own order, cut where p or a constant changes.
  void split_varying(std::uint64_t first, std::uint64_t last) const {
    const VaryingValues values(request_);
    while (first < last) {
      KernelArgs args;
      const double p = values.at(first, args);
      const std::uint64_t count = std::min(last - first, values.run_length(first));
      choose_path(first, first + count, p, args);
      first += count;
    }
  }

  // The arguments are filled in on the way, and not zeroed before: that costs 9 ns, and a kernel reads only
  // what the operation's row names.
  void choose_path(std::uint64_t first, std::uint64_t last, double p, KernelArgs& args) const {
    const KeepRule rule = request_.mask.rule;
    const bool keeps_all = rule != kStored && p == 0, drops_all = rule != kStored && p == 1;
    if (keeps_all && copies_bits(args)) return copy(first, last);
    if (drops_all && info_.zero_where_dropped) return zero(first, last);
    args.non_temporal = non_temporal_, args.prefetches = prefetches_;
    if (info_.draw == kNormals) {
      args.keep = keep_args(0);
      run_drawn(args, first, last);
    } else if (keeps_all || drops_all) {
      run_alike(keeps_all, args, first, last);
    } else {
      args.keep = keep_args(rule == kStored ? 0 : p);
      if (kernels_[rule] != nullptr && draws_rows())
        run_drawn(args, first, last);
      else
        run_gathered(args, first, last);
    }
  }

  // Where everything is kept and all constants are neutral, such an operation copies bits: a signalling NaN
  // stays one.
  bool copies_bits(const KernelArgs& args) const {
    if (!info_.copies_where_kept) return false;
    for (int i = 0; i < constant_count_; ++i) {
      const double neutral = info_.constants[i].neutral;
      if (!std::isnan(neutral) && args.constants[i] != neutral) return false;
    }
    return true;
  }

  void zero(std::uint64_t first, std::uint64_t last) const {
    std::memset(at(info_.outputs[0], request_.outputs[0].data, first), 0,
                (last - first) * kElementBytes[request_.element]);
  }

  void copy(std::uint64_t first, std::uint64_t last) const {
    if (request_.inputs[0].data == request_.outputs[0].data) return;
    const char* x = at(info_.inputs[0], request_.inputs[0].data, first);
    std::memcpy(at(info_.outputs[0], request_.outputs[0].data, first), x,
                (last - first) * kElementBytes[request_.element]);
  }

  // Whether rows are to be drawn where they are: runs of consecutive indices, long enough, each by itself.
  bool draws_rows() const {
    const bool long_rows = (rows_.is_one_row() || rows_.length() >= kRunElements) &&
                           (row_length_ == 0 || row_length_ >= kRunElements);
    return has_runs() && long_rows && !shares_rows();
  }

  // Whether consecutive elements have consecutive indices.
  bool has_runs() const { return rows_.repeat() == 1 && rows_.stride() == 1; }

  // Rows as runs of consecutive indices, by a kernel that draws; where there are none, element by element.
  void run_drawn(KernelArgs& args, std::uint64_t first, std::uint64_t last) const {
    while (first < last) {
      const std::uint64_t count = has_runs() ? std::min(rows_.left_in_row(first), last - first) : 1;
      args.start = rows_.index_at(first / rows_.repeat());
      args.element_count = std::min(count, left_in_data_row(first));
      run_kernel(kernels_[request_.mask.rule], args, first);
    }
  }

  // The same where p varies.
  void run_drawn_varying(KernelArgs& args, std::uint64_t first, std::uint64_t last,
                         VaryingTable& table) const {
    while (first < last) {
      const std::uint64_t held = std::min(table.hold_thresholds(first), left_in_data_row(first));
      args.start = rows_.index_at(first);
      args.element_count = std::min({held, rows_.left_in_row(first), last - first});
      table.point_thresholds(first, args.keep);
      run_kernel_varying(varying_[request_.mask.rule], args, first, table);
    }
  }

  // The same decision about all elements.
  void run_alike(bool keep, KernelArgs& args, std::uint64_t first, std::uint64_t last,
                 VaryingTable* table = nullptr) const {
    std::uint8_t decisions[kBlockDecisions + kMaxTileElements];
    std::memset(decisions, keep ? 1 : 0, std::min(last - first, kBlockDecisions) + kMaxTileElements);
    for (; last - first > kBlockDecisions; first += kBlockDecisions)
      run_decided(decisions, args, first, first + kBlockDecisions, table);
    run_decided(decisions, args, first, last, table);
  }

  // Any order, and operations whose kernels do not draw: blocks of elements, whose decisions come first.
  // `table`: p, or a constant, varies.
  void run_gathered(KernelArgs& args, std::uint64_t first, std::uint64_t last,
                    VaryingTable* table = nullptr) const {
    const KeepArgs keep = args.keep;  // whose decisions are replaced by those that were gathered
    const std::uint64_t repeat = rows_.repeat();
    std::uint8_t distinct[kBlockDecisions + kMaxTileElements];
    if (repeat >= kSharedRun) return run_shared_runs(keep, args, first, last, distinct, table);
    std::uint8_t repeated[kBlockDecisions + kMaxOverwrite + kMaxTileElements];
    while (first < last) {
      std::uint64_t until_row = last;
      if (shares_rows()) {
        if (const std::uint64_t equal = equal_rows(first, last); equal > 1) {
          run_equal_rows(keep, args, first, equal, distinct, table);
          first += equal * rows_.length();
          continue;
        }
        until_row = std::min(last, first + rows_.left_in_row(first));
      }
      const std::uint64_t position = first / repeat, end = (until_row - 1) / repeat + 1;
      const std::uint64_t next = position + gather_from(keep, position, end, distinct, table);
      for (const std::uint64_t next_element = std::min(next * repeat, until_row); first < next_element;) {
        const std::uint64_t until = std::min(first + kBlockDecisions, next_element);
        if (repeat != 1)
          repeat_each(distinct + (first / repeat - position), repeat, first % repeat, until - first,
                      repeated);
        run_decided(repeat == 1 ? distinct : repeated, args, first, until, table);
        first = until;
      }
    }
  }

  // Gathers the decisions from that position on, at most a block of them, and returns how many.
  std::uint64_t gather_from(const KeepArgs& keep, std::uint64_t position, std::uint64_t end,
                            std::uint8_t* bytes, VaryingTable* table) const {
    const std::uint64_t count = std::min(kBlockDecisions, end - position);
    if (table == nullptr || !varies_drawing()) {
      gather(rows_, keep_mask_, keep, position, position + count, bytes);
      return count;
    }
    KeepArgs here = keep;
    for (std::uint64_t done = 0; done < count;) {
      const std::uint64_t part = std::min(count - done, table->hold_thresholds(position + done));
      table->point_thresholds(position + done, here);
      gather(rows_, keep_mask_, here, position + done, position + done + part, bytes + done);
      done += part;
    }
    return count;
  }

  // Whether neighbouring rows have the same decisions, and are short enough to use that.
  bool shares_rows() const {
    return rows_.repeat() == 1 && rows_.length() <= kSharedRowElements && rows_.identical_rows_after(1) > 0;
  }

  // How many whole rows from `first` on, as far as `last`, have the same decisions: 0 if none begins there.
  std::uint64_t equal_rows(std::uint64_t first, std::uint64_t last) const {
    const std::uint64_t length = rows_.length();
    if (first % length != 0) return 0;
    return std::min(1 + rows_.identical_rows_after(first / length + 1), (last - first) / length);
  }

  // Rows that have the same decisions, which are gathered once for all of them: several short rows, or a
  // piece of a long one.
  void run_equal_rows(const KeepArgs& keep, KernelArgs& args, std::uint64_t first, std::uint64_t rows,
                      std::uint8_t* decisions, VaryingTable* table) const {
    const std::uint64_t length = rows_.length();
    if (length <= kBlockDecisions) {
      const std::uint64_t end = first + rows * length;
      const std::uint64_t pattern = gather_from(keep, first, end, decisions, table) / length * length;
      for (; first < end; first += pattern)
        run_decided(decisions, args, first, std::min(first + pattern, end), table);
      return;
    }
    for (std::uint64_t done = 0; done < length;) {
      const std::uint64_t piece = gather_from(keep, first + done, first + length, decisions, table);
      for (std::uint64_t row = 0; row < rows; ++row) {
        const std::uint64_t at = first + row * length + done;
        run_decided(decisions, args, at, at + piece, table);
      }
      done += piece;
    }
  }

  // Long runs of elements that share a decision. Neighbours with the same one are one run.
  void run_shared_runs(const KeepArgs& keep, KernelArgs& args, std::uint64_t first, std::uint64_t last,
                       std::uint8_t* distinct, VaryingTable* table) const {
    const std::uint64_t repeat = rows_.repeat();
    const VaryingValues values(request_);
    while (first < last) {
      const std::uint64_t position = first / repeat;
      const std::uint64_t count = gather_from(keep, position, (last - 1) / repeat + 1, distinct, table);
      for (std::uint64_t at = 0; at < count;) {
        const bool keeps = distinct[at] != 0;
        double p = 1;  // not 0: what is drawn is not copied
        if (table == nullptr) {
          while (at < count && keeps == (distinct[at] != 0)) ++at;
        } else {
          p = values.at(first, args);
          ++at;
        }
        const std::uint64_t until = std::min((position + at) * repeat, last);
        if (!keeps && info_.zero_where_dropped)
          zero(first, until);
        else if (p == 0 && request_.mask.rule != kStored && copies_bits(args))
          copy(first, until);
        else
          run_alike(keeps, args, first, until);
        first = until;
      }
    }
  }

  // The elements whose decisions these are; whole tiles of decisions can be read.
  void run_decided(const std::uint8_t* decisions, KernelArgs& args, std::uint64_t first, std::uint64_t last,
                   VaryingTable* table = nullptr) const {
    args.start = 0;
    while (first < last) {
      args.keep.decisions = decisions;
      args.element_count = std::min(last - first, left_in_data_row(first));
      if (table != nullptr) {
        run_kernel_varying(varying_[kGathered], args, first, *table);
      } else {
        run_kernel(kernels_[kGathered], args, first);
      }
      decisions += args.element_count;
    }
  }

  // Where an element is kept and its constants are neutral, an operation that copies then gets x's bits back.
  void run_kernel_varying(Kernel kernel, KernelArgs& args, std::uint64_t& first, VaryingTable& table) const {
    if (constant_count_ == 0) return run_kernel(kernel, args, first);
    args.element_count = std::min(args.element_count, table.hold_constants(first));
    table.point_constants(first, args);
    const std::uint64_t begin = first, item = kElementBytes[request_.element];
    const char* x = at(info_.inputs[0], request_.inputs[0].data, begin);
    char saved[kSavedBytes];
    if (table.copies_any() && request_.inputs[0].data == request_.outputs[0].data) {
      args.element_count = std::min(args.element_count, kSavedBytes / item);
      std::memcpy(saved, x, args.element_count * item);
      x = saved;
    }
    run_kernel(kernel, args, first);
    char* y = at(info_.outputs[0], request_.outputs[0].data, begin);
    table.each_copied(begin, args.element_count, [&](std::uint64_t from, std::uint64_t count) {
      std::memcpy(y + from * item, x + from * item, count * item);
    });
  }

  std::uint64_t left_in_data_row(std::uint64_t element) const {
    return row_length_ == 0 ? ~std::uint64_t{0} : row_length_ - element % row_length_;
  }

  void run_kernel(Kernel kernel, KernelArgs& args, std::uint64_t& first) const {
    for (int i = 0; i < input_count_; ++i)
      args.inputs[i] = at(info_.inputs[i], request_.inputs[i].data, first);
    for (int i = 0; i < output_count_; ++i)
      args.outputs[i] = at(info_.outputs[i], request_.outputs[i].data, first);
    kernel(args);
    first += args.element_count;
  }

  char* at(const OperandInfo& operand, void* data, std::uint64_t element) const {
    const std::uint64_t item = operand.access == kFull        ? element
                               : operand.access == kPerColumn ? element % row_length_
                                                              : element / row_length_;
    return static_cast<char*>(data) + item * item_bytes(operand, request_.element);
  }

  KeepArgs keep_args(double p) const {
    const MaskState& mask = request_.mask;
    const Threshold bound = threshold(p);
    return {{mask.key[0], mask.key[1]}, mask.stream, bound.high, bound.low, nullptr, nullptr, mask.bits};
  }

  const Request& request_;
  const OperationInfo& info_;
  int input_count_, output_count_, constant_count_;
  Rows rows_;
  std::uint64_t row_length_;
  const Kernel (&kernels_)[kKeepRuleCount];
  const Kernel (&varying_)[kKeepRuleCount];
  Kernel keep_mask_;
  bool non_temporal_, prefetches_;
  std::unique_ptr<VaryingTable> table_;  // null: each chunk has one of its own, which it fills as it goes
};

}  // namespace

void run(const Request& request) {
  const Job job(request);
  run_chunks(job.element_count() / kElementsPerThread,
             [&job](int chunk, int chunk_count) { job.run_chunk(chunk, chunk_count); });
}

}  // namespace fastdrop
