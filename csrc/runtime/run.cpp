// SPDX-License-Identifier: BSD-3-Clause
#include "run.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <optional>

#include "../dispatch/isa_registry.h"
#include "floating_point.h"
#include "gather.h"
#include "kernel_calls.h"
#include "thread_pool.h"
#include "threshold.h"
#include "tuning.h"
#include "varying.h"
#include "varying_table.h"

namespace fastdrop {
namespace {

class Job {
 public:
  // `part`: how many elements will be worked on, if not all. What repeats after more is not converted ahead.
  // `rows` is memory for them.
  Job(const Request& request, std::optional<Rows>& rows, std::uint64_t part = ~std::uint64_t{0})
      : request_(request),
        part_(part),
        rows_(rows.emplace(request.window)),
        calls_(request, rows_.element_count()),
        keep_mask_(current_isa().kernels->run[kKeepMask][kBool][request.mask.rule]) {
    if (!varies(request) || element_count() == 0 || !takes_tables()) return;
    varying_keep_mask_ = current_isa().kernels->run_varying[kKeepMask][kBool][request.mask.rule];
    const DefaultFloatingPoint environment;
    auto table = new_table();
    if (table != nullptr && table->is_complete()) table_ = std::move(table);
  }

  std::uint64_t element_count() const { return rows_.element_count(); }

  // Chunks begin at multiples of a tile, so that hardly any tile is worked on twice.
  void run_chunk(int chunk, int chunk_count, Scratch* scratch) const {
    const std::uint64_t tiles = (element_count() + kMaxTileElements - 1) / kMaxTileElements;
    const auto boundary = [&](int at) {
      return std::min(element_count(), tiles * static_cast<std::uint64_t>(at) /
                                           static_cast<std::uint64_t>(chunk_count) * kMaxTileElements);
    };
    run_part(boundary(chunk), boundary(chunk + 1), scratch);
  }

  // Whether threads need memory: to gather decisions, to look up values, or to draw many.
  bool needs_scratch() const {
    if (element_count() == 0) return false;  // and there are no rows to look at
    return element_count() >= kSequenceElements || varies(request_) ||
           !(calls_.info().draw == kNormals || draws_all());
  }

  // The elements from first to last in the window's own order. `scratch`: null where it is not needed.
  void run_part(std::uint64_t first, std::uint64_t last, Scratch* scratch) const {
    if (first == last) return;
    if (varies(request_)) return run_varying(first, last, scratch);
    KernelArgs args;
    calls_.put_constants(args);
    choose_path(first, last, request_.mask.p.constant, args, scratch);
  }

 private:
  // Whether decisions are drawn by a p that varies.
  bool varies_drawing() const { return request_.mask.p.varying != nullptr && request_.mask.rule != kStored; }

  // Whether kernels can take p and the constants from tables: indices follow each other in the order of the
  // window, and elements that share a decision share p and the constants.
  bool takes_tables() const {
    const auto is_shared = [this](const Value& value) {
      return value.varying == nullptr || repeat_of(value.varying->window) % rows_.repeat() == 0;
    };
    bool takes =
        calls_.kernel(kGathered, true) != nullptr && rows_.stride() == 1 && is_shared(request_.mask.p);
    for (const Value& constant : request_.constants) takes = takes && is_shared(constant);
    return takes;
  }

  void run_varying(std::uint64_t first, std::uint64_t last, Scratch* scratch) const {
    if (table_ != nullptr) return run_with(*table_, first, last, scratch);
    const std::unique_ptr<VaryingTable> blocks = takes_tables() ? new_table() : nullptr;
    if (blocks == nullptr) return split_varying(first, last, scratch);
    run_with(*blocks, first, last, scratch);
  }

  // Null without memory: split_varying() needs none, and nothing may be thrown when a chunk has begun.
  std::unique_ptr<VaryingTable> new_table() const {
    try {
      return std::make_unique<VaryingTable>(request_, std::min(part_, element_count()), rows_.repeat());
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }

  void run_with(VaryingTable& table, std::uint64_t first, std::uint64_t last, Scratch* scratch) const {
    const Value& p = request_.mask.p;
    const bool is_drawn = request_.mask.rule != kStored && p.varying == nullptr;
    KernelArgs args;
    calls_.prepare(args, scratch);
    if (is_drawn && p.constant == 1 && calls_.info().zero_where_dropped) return calls_.zero(first, last);
    if (is_drawn && (p.constant == 0 || p.constant == 1))
      return calls_.run_alike(p.constant == 0, args, first, last, &table, scratch->saved);
    args.keep = keep_args(request_.mask, p.varying == nullptr ? p.constant : 0);
    if (varies_drawing() && calls_.kernel(request_.mask.rule, true) != nullptr && draws_rows())
      run_drawn(args, first, last, &table, scratch->saved);
    else
      run_gathered(args, first, last, *scratch, &table);
  }

  // The elements from first to last in the window's own order, cut where p or a constant changes.
  void split_varying(std::uint64_t first, std::uint64_t last, Scratch* scratch) const {
    const VaryingValues values(request_);
    while (first < last) {
      KernelArgs args;
      const double p = values.at(first, args);
      const std::uint64_t count = std::min(last - first, values.run_length(first));
      choose_path(first, first + count, p, args, scratch);
      first += count;
    }
  }

  // The arguments are filled in on the way, and not zeroed before: that costs 9 ns, and a kernel reads only
  // what the operation's row names.
  void choose_path(std::uint64_t first, std::uint64_t last, double p, KernelArgs& args,
                   Scratch* scratch) const {
    const KeepRule rule = request_.mask.rule;
    const bool keeps_all = rule != kStored && p == 0, drops_all = rule != kStored && p == 1;
    if (keeps_all && calls_.copies_bits(args)) return calls_.copy(first, last);
    if (drops_all && calls_.info().zero_where_dropped) return calls_.zero(first, last);
    calls_.prepare(args, scratch);
    if (calls_.info().draw == kNormals) {
      args.keep = keep_args(request_.mask, 0);
      run_drawn(args, first, last);
    } else if (keeps_all || drops_all) {
      calls_.run_alike(keeps_all, args, first, last);
    } else {
      args.keep = keep_args(request_.mask, rule == kStored ? 0 : p);
      if (draws_all())
        run_drawn(args, first, last);
      else
        run_gathered(args, first, last, *scratch);
    }
  }

  // Whether a kernel draws everything by one p.
  bool draws_all() const { return calls_.kernel(request_.mask.rule) != nullptr && draws_rows(); }

  // Whether rows are to be drawn where they are: runs of consecutive indices, long enough, each by itself.
  bool draws_rows() const {
    const bool long_rows = rows_.is_one_row() || rows_.length() >= kRunElements;
    return has_runs() && long_rows && calls_.has_long_rows() && !shares_rows();
  }

  // Whether consecutive elements have consecutive indices.
  bool has_runs() const { return rows_.repeat() == 1 && rows_.stride() == 1; }

  // Rows as runs of consecutive indices, by a kernel that draws; where there are none, element by element.
  void run_drawn(KernelArgs& args, std::uint64_t first, std::uint64_t last, VaryingTable* table = nullptr,
                 char* saved = nullptr) const {
    const bool varies = table != nullptr && varies_drawing();
    while (first < last) {
      args.element_count = has_runs() ? std::min(rows_.left_in_row(first), last - first) : 1;
      args.start = rows_.index_at(first / rows_.repeat());
      if (varies) {
        args.element_count = std::min(args.element_count, table->hold_thresholds(first));
        table->point_thresholds(first, args.keep);
      }
      calls_.run(calls_.kernel(request_.mask.rule, varies), args, first, table, saved);
    }
  }

  // Any order, and operations whose kernels do not draw: blocks of elements, whose decisions come first.
  // `table`: p, or a constant, varies.
  void run_gathered(KernelArgs& args, std::uint64_t first, std::uint64_t last, Scratch& scratch,
                    VaryingTable* table = nullptr) const {
    const bool varies = table != nullptr && varies_drawing();
    KeepCache cache(varies ? varying_keep_mask_ : keep_mask_, args.keep, scratch.cached);
    const std::uint64_t repeat = rows_.repeat();
    std::uint8_t *const distinct = scratch.distinct, *const repeated = scratch.repeated;
    if (repeat >= kSharedRun) return run_shared_runs(cache, args, first, last, distinct, table);
    while (first < last) {
      std::uint64_t until_row = last;
      if (shares_rows()) {
        if (const std::uint64_t equal = equal_rows(first, last); equal > 1) {
          run_equal_rows(cache, args, first, equal, scratch, table);
          first += equal * rows_.length();
          continue;
        }
        until_row = std::min(last, first + rows_.left_in_row(first));
      }
      const std::uint64_t position = first / repeat, end = (until_row - 1) / repeat + 1;
      const std::uint64_t next = position + gather_from(cache, position, end, distinct, table);
      for (const std::uint64_t next_element = std::min(next * repeat, until_row); first < next_element;) {
        const std::uint64_t until = std::min(first + kBlockDecisions, next_element);
        if (repeat != 1) {
          repeat_each(distinct + (first / repeat - position), repeat, first % repeat, until - first,
                      repeated);
          std::memset(repeated + (until - first), 0, kMaxTileElements);
        }
        calls_.run_decided(repeat == 1 ? distinct : repeated, args, first, until, table, scratch.saved);
        first = until;
      }
    }
  }

  // Gathers the decisions from that position on, at most a block of them, and returns how many. Kernels read
  // whole tiles of them, so that zeros follow.
  std::uint64_t gather_from(KeepCache& cache, std::uint64_t position, std::uint64_t end, std::uint8_t* bytes,
                            VaryingTable* table) const {
    const std::uint64_t count = std::min(kBlockDecisions, end - position);
    std::memset(bytes + count, 0, kMaxTileElements);
    if (table == nullptr || !varies_drawing()) {
      gather(rows_, cache, nullptr, position, position + count, bytes);
      return count;
    }
    KeepArgs keep = keep_args(request_.mask, 0);
    for (std::uint64_t done = 0; done < count;) {
      const std::uint64_t part = std::min(count - done, table->hold_thresholds(position + done));
      table->point_thresholds(position + done, keep);
      gather(rows_, cache, &keep, position + done, position + done + part, bytes + done);
      done += part;
    }
    return count;
  }

  // Whether neighbouring rows have the same decisions, and fit a block. Longer ones are drawn again: in
  // pieces that lie a row apart 2 Mi floats took 1.37 times a copy, and drawn again 1.20
  // (docs/performance-log.md).
  bool shares_rows() const {
    return rows_.repeat() == 1 && rows_.length() <= kBlockDecisions && rows_.identical_rows_after(1) > 0;
  }

  // How many whole rows from `first` on, as far as `last`, have the same decisions: 0 if none begins there.
  std::uint64_t equal_rows(std::uint64_t first, std::uint64_t last) const {
    const std::uint64_t length = rows_.length();
    if (first % length != 0) return 0;
    return std::min(1 + rows_.identical_rows_after(first / length + 1), (last - first) / length);
  }

  // Rows that have the same decisions, which are gathered once for several of them.
  void run_equal_rows(KeepCache& cache, KernelArgs& args, std::uint64_t first, std::uint64_t rows,
                      Scratch& scratch, VaryingTable* table) const {
    const std::uint64_t length = rows_.length(), end = first + rows * length;
    const std::uint64_t pattern = gather_from(cache, first, end, scratch.distinct, table) / length * length;
    for (; first < end; first += pattern)
      calls_.run_decided(scratch.distinct, args, first, std::min(first + pattern, end), table, scratch.saved);
  }

  // Long runs of elements that share a decision. Neighbours with the same one are one run.
  void run_shared_runs(KeepCache& cache, KernelArgs& args, std::uint64_t first, std::uint64_t last,
                       std::uint8_t* distinct, VaryingTable* table) const {
    const std::uint64_t repeat = rows_.repeat();
    std::optional<VaryingValues> values;
    if (table != nullptr) values.emplace(request_);
    while (first < last) {
      const std::uint64_t position = first / repeat;
      const std::uint64_t count = gather_from(cache, position, (last - 1) / repeat + 1, distinct, table);
      for (std::uint64_t at = 0; at < count;) {
        const bool keeps = distinct[at] != 0;
        double p = 1;  // not 0: what is drawn is not copied
        if (values) {
          p = values->at(first, args);
          ++at;
        } else {
          while (at < count && keeps == (distinct[at] != 0)) ++at;
        }
        const std::uint64_t until = std::min((position + at) * repeat, last);
        if (!keeps && calls_.info().zero_where_dropped)
          calls_.zero(first, until);
        else if (p == 0 && request_.mask.rule != kStored && calls_.copies_bits(args))
          calls_.copy(first, until);
        else
          calls_.run_alike(keeps, args, first, until);
        first = until;
      }
    }
  }

  const Request& request_;
  std::uint64_t part_;
  const Rows& rows_;
  KernelCalls calls_;
  Kernel keep_mask_, varying_keep_mask_ = nullptr;  // the second one goes with a table
  std::unique_ptr<VaryingTable> table_;  // null: each chunk has one of its own, which it fills as it goes
};

}  // namespace

void decide(const MaskState& mask, const Window& window, std::uint64_t first, std::uint64_t count,
            std::uint8_t* bytes, Scratch& scratch) {
  Request request{kKeepMask, kBool, mask, window, {}, {}, {}};
  // Where element 0 would be written.
  request.outputs[0].data = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(bytes) - first);
  Job(request, scratch.rows, count).run_part(first, first + count, &scratch);
}

void run_here(const Request& request, Scratch& scratch) {
  const Job job(request, scratch.rows);
  job.run_part(0, job.element_count(), &scratch);
}

void run(const Request& request) {
  std::optional<Rows> rows;
  const Job job(request, rows);
  const Sharing sharing = share_out(job.element_count(), kElementsPerThread);
  const std::unique_ptr<Scratch[]> scratch(job.needs_scratch() ? new Scratch[sharing.threads] : nullptr);
  const auto run_chunk = [&](int chunk, int thread) {
    job.run_chunk(chunk, sharing.chunks, scratch == nullptr ? nullptr : &scratch[thread]);
  };
  run_chunks(sharing, request.interrupt,
             std::cref(run_chunk));  // by reference: a std::function would allocate
}

}  // namespace fastdrop
