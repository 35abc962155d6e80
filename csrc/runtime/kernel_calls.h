// SPDX-License-Identifier: BSD-3-Clause
// Calls of kernels for parts of a request: what an operation's row says about operands and constants, put
// into arguments.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "../dispatch/cpu_features.h"
#include "../dispatch/isa_registry.h"
#include "operands.h"
#include "scratch.h"
#include "store_policy.h"
#include "tuning.h"
#include "varying_table.h"

namespace fastdrop {

// A block of decisions that are all the same, as bits and as bytes; whole tiles can be read.
struct AlikeDecisions {
  std::uint8_t none[kBlockDecisions + kMaxTileElements] = {};
  std::uint8_t all_bits[kBlockDecisions + kMaxTileElements], ones[kBlockDecisions + kMaxTileElements];
  constexpr AlikeDecisions() : all_bits(), ones() {
    for (std::uint8_t& byte : all_bits) byte = 0xFF;
    for (std::uint8_t& byte : ones) byte = 1;
  }
};
inline constexpr AlikeDecisions kAlike;

class KernelCalls {
 public:
  KernelCalls(const Request& request, std::uint64_t element_count)
      : request_(request),
        info_(kOperations[request.operation]),
        input_count_(operand_count(info_.inputs)),
        output_count_(operand_count(info_.outputs)),
        constant_count_(constant_count(info_)),
        row_length_(row_length()),
        fixed_(current_isa().kernels->run[request.operation][request.element]),
        varying_(current_isa().kernels->run_varying[request.operation][request.element]),
        non_temporal_(stores_non_temporally(request, element_count)),
        prefetches_(non_temporal_ || element_count * kElementBytes[request.element] <= kPrefetchedBytes ||
                    gains_from_prefetching()) {}

  const OperationInfo& info() const { return info_; }
  // Null where there is no such kernel. `varies`: p, or a constant, varies.
  Kernel kernel(KeepRule rule, bool varies = false) const { return varies ? varying_[rule] : fixed_[rule]; }

  // Of arguments, what all parts have in common. `scratch` may be null.
  void prepare(KernelArgs& args, Scratch* scratch) const {
    args.non_temporal = non_temporal_, args.prefetches = prefetches_;
    args.sequence = scratch == nullptr ? nullptr : scratch->sequence;
  }
  void put_constants(KernelArgs& args) const {
    for (int i = 0; i < constant_count_; ++i) args.constants[i] = request_.constants[i].constant;
  }

  // Whether kernels may run for long without meeting the end of a row of data.
  bool has_long_rows() const { return row_length_ == 0 || row_length_ >= kRunElements; }

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

  // The elements from `first` on, args.element_count of them or fewer: so many are done, and `first` is
  // moved. With a table, `saved` is memory of kSavedBytes.
  void run(Kernel kernel, KernelArgs& args, std::uint64_t& first, VaryingTable* table = nullptr,
           char* saved = nullptr) const {
    args.element_count = std::min(args.element_count, left_in_data_row(first));
    if (table != nullptr && constant_count_ > 0) return run_varying(kernel, args, first, *table, saved);
    point_operands(args, first);
    kernel(args);
    first += args.element_count;
  }

  // The same decision about all elements.
  void run_alike(bool keep, KernelArgs& args, std::uint64_t first, std::uint64_t last,
                 VaryingTable* table = nullptr, char* saved = nullptr) const {
    if (table == nullptr && row_length_ == 0 && fixed_[kStored] != nullptr) {
      // As bits: eight times as many at a time.
      args.start = 0, args.keep.decisions = keep ? kAlike.all_bits : kAlike.none;
      while (first < last) {
        args.element_count = std::min(last - first, 8 * kBlockDecisions);
        run(fixed_[kStored], args, first);
      }
      args.keep.decisions = nullptr;
      return;
    }
    for (; first < last; first += std::min(kBlockDecisions, last - first))
      run_decided(keep ? kAlike.ones : kAlike.none, args, first, std::min(first + kBlockDecisions, last),
                  table, saved);
  }

  // The elements whose decisions these are; whole tiles of decisions can be read.
  void run_decided(const std::uint8_t* decisions, KernelArgs& args, std::uint64_t first, std::uint64_t last,
                   VaryingTable* table = nullptr, char* saved = nullptr) const {
    args.start = 0;
    while (first < last) {
      args.keep.decisions = decisions;
      args.element_count = last - first;
      run(kernel(kGathered, table != nullptr), args, first, table, saved);
      decisions += args.element_count;
    }
  }

 private:
  // The length of the window's last axis where kernels must not pass its end, and otherwise 0.
  std::uint64_t row_length() const {
    const Window& window = request_.window;
    return has_row_ends(info_) ? static_cast<std::uint64_t>(window.shape[window.rank - 1]) : 0;
  }

  // Where an element is kept and its constants are neutral, an operation that copies then gets x's bits back.
  void run_varying(Kernel kernel, KernelArgs& args, std::uint64_t& first, VaryingTable& table,
                   char* saved) const {
    args.element_count = std::min(args.element_count, table.hold_constants(first));
    table.point_constants(first, args);
    const std::uint64_t item = kElementBytes[request_.element];
    const char* x = at(info_.inputs[0], request_.inputs[0].data, first);
    char* const y = at(info_.outputs[0], request_.outputs[0].data, first);
    if (table.copies_any() && x == y) {
      args.element_count = std::min(args.element_count, kSavedBytes / item);
      std::memcpy(saved, x, args.element_count * item);
      x = saved;
    }
    point_operands(args, first);
    kernel(args);
    switch (item) {
      case 2:
        table.copy_kept<std::uint16_t>(first, args.element_count, x, y);
        break;
      case 4:
        table.copy_kept<std::uint32_t>(first, args.element_count, x, y);
        break;
      default:
        table.copy_kept<std::uint64_t>(first, args.element_count, x, y);
    }
    first += args.element_count;
  }

  std::uint64_t left_in_data_row(std::uint64_t element) const {
    return row_length_ == 0 ? ~std::uint64_t{0} : row_length_ - element % row_length_;
  }

  void point_operands(KernelArgs& args, std::uint64_t first) const {
    for (int i = 0; i < input_count_; ++i)
      args.inputs[i] = at(info_.inputs[i], request_.inputs[i].data, first);
    for (int i = 0; i < output_count_; ++i)
      args.outputs[i] = at(info_.outputs[i], request_.outputs[i].data, first);
  }

  char* at(const OperandInfo& operand, void* data, std::uint64_t element) const {
    const std::uint64_t item = operand.access == kFull        ? element
                               : operand.access == kPerColumn ? element % row_length_
                                                              : element / row_length_;
    return static_cast<char*>(data) + item * item_bytes(operand, request_.element);
  }

  const Request& request_;
  const OperationInfo& info_;
  int input_count_, output_count_, constant_count_;
  std::uint64_t row_length_;
  const Kernel (&fixed_)[kKeepRuleCount];
  const Kernel (&varying_)[kKeepRuleCount];
  bool non_temporal_, prefetches_;
};

}  // namespace fastdrop
