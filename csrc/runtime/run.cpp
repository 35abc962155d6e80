// SPDX-License-Identifier: BSD-3-Clause
#include "run.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../dispatch/isa_registry.h"
#include "gather.h"
#include "operands.h"
#include "store_policy.h"
#include "thread_pool.h"
#include "tuning.h"
#include "varying.h"

namespace fastdrop {
namespace {

// What follows works element by element.
constexpr bool any_whole_rows() {
  for (const OperationInfo& info : kOperations)
    if (info.whole_rows) return true;
  return false;
}
static_assert(!any_whole_rows(), "an operation on whole rows needs a job of its own");

// Stream document, section 3: D modulo 2^64, from p or from -q, where q is the probability of keeping. Not
// for p = 1.
std::uint64_t threshold(double p) {
  const auto rounded = static_cast<std::uint64_t>(std::nearbyint(std::ldexp(std::fabs(p), 64)));
  return p < 0 ? 0 - rounded : rounded;
}

// Whether D is 2^64: also for a q that rounds to 0.
bool drops_everything(double p) { return p == 1 || (p < 0 && threshold(p) == 0); }

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
        keep_mask_(current_isa().kernels->run[kKeepMask][kBool][request.mask.rule]),
        non_temporal_(stores_non_temporally(request, rows_.element_count())) {}

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
    if (varies()) return split_varying(first, last);
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

  // The elements from first to last in the window's own order, cut where p or a constant changes.
  void split_varying(std::uint64_t first, std::uint64_t last) const {
    const VaryingValue p(request_.mask.p);
    const VaryingValue constants[kMaxConstants] = {
        VaryingValue(request_.constants[0]), VaryingValue(request_.constants[1]),
        VaryingValue(request_.constants[2]), VaryingValue(request_.constants[3])};
    while (first < last) {
      std::uint64_t count = std::min(last - first, p.run_length(first));
      KernelArgs args;
      for (int i = 0; i < constant_count_; ++i) {
        count = std::min(count, constants[i].run_length(first));
        args.constants[i] = constants[i].at(first);
      }
      choose_path(first, first + count, p.at(first), args);
      first += count;
    }
  }

  // The arguments are filled in on the way, and not zeroed before: that costs 9 ns, and a kernel reads only
  // what the operation's row names.
  void choose_path(std::uint64_t first, std::uint64_t last, double p, KernelArgs& args) const {
    const KeepRule rule = request_.mask.rule;
    const bool keeps_all = rule != kStored && p == 0, drops_all = rule != kStored && drops_everything(p);
    if (keeps_all && copies_bits(args)) return copy(first, last);
    if (drops_all && info_.zero_where_dropped) return zero(first, last);
    args.non_temporal = non_temporal_;
    if (info_.draw == kNormals) {
      args.keep = keep_args(0);
      run_drawn(args, first, last);
    } else if (keeps_all || drops_all) {
      run_alike(keeps_all, args, first, last);
    } else {
      args.keep = keep_args(rule == kStored ? 0 : p);
      const bool long_rows = (rows_.is_one_row() || rows_.length() >= kRunElements) &&
                             (row_length_ == 0 || row_length_ >= kRunElements);
      if (kernels_[rule] != nullptr && has_runs() && long_rows)
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

  // The same decision about all elements.
  void run_alike(bool keep, KernelArgs& args, std::uint64_t first, std::uint64_t last) const {
    std::uint8_t decisions[kBlockDecisions + kMaxTileElements];
    std::memset(decisions, keep ? 1 : 0, sizeof decisions);
    for (; last - first > kBlockDecisions; first += kBlockDecisions)
      run_decided(decisions, args, first, first + kBlockDecisions);
    run_decided(decisions, args, first, last);
  }

  // Any order, and operations whose kernels do not draw: blocks of elements, whose decisions come first.
  void run_gathered(KernelArgs& args, std::uint64_t first, std::uint64_t last) const {
    const KeepArgs keep = args.keep;
    const std::uint64_t repeat = rows_.repeat(), end = (last - 1) / repeat + 1;
    std::uint8_t distinct[kBlockDecisions + kMaxTileElements];
    std::uint8_t repeated[kBlockDecisions + kMaxOverwrite + kMaxTileElements];
    for (std::uint64_t position = first / repeat; position < end;) {
      const std::uint64_t next = std::min(position + kBlockDecisions, end);
      gather(rows_, keep_mask_, keep, position, next, distinct);
      for (const std::uint64_t next_element = std::min(next * repeat, last); first < next_element;) {
        const std::uint64_t until = std::min(first + kBlockDecisions, next_element);
        if (repeat != 1)
          repeat_each(distinct + (first / repeat - position), repeat, first % repeat, until - first,
                      repeated);
        run_decided(repeat == 1 ? distinct : repeated, args, first, until);
        first = until;
      }
      position = next;
    }
  }

  // The elements whose decisions these are; whole tiles of decisions can be read.
  void run_decided(const std::uint8_t* decisions, KernelArgs& args, std::uint64_t first,
                   std::uint64_t last) const {
    args.start = 0;
    while (first < last) {
      args.keep.decisions = decisions;
      args.element_count = std::min(last - first, left_in_data_row(first));
      decisions += args.element_count;
      run_kernel(kernels_[kGathered], args, first);
    }
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
    const std::uint64_t bound = threshold(p);
    return {{mask.key[0], mask.key[1]},
            mask.stream,
            static_cast<std::uint32_t>(bound >> 48),
            bound & ((1ull << 48) - 1),
            mask.bits};
  }

  const Request& request_;
  const OperationInfo& info_;
  int input_count_, output_count_, constant_count_;
  Rows rows_;
  std::uint64_t row_length_;
  const Kernel (&kernels_)[kKeepRuleCount];
  Kernel keep_mask_;
  bool non_temporal_;
};

}  // namespace

void run(const Request& request) {
  const Job job(request);
  run_chunks(job.element_count() / kElementsPerThread,
             [&job](int chunk, int chunk_count) { job.run_chunk(chunk, chunk_count); });
}

}  // namespace fastdrop
