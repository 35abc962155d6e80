// SPDX-License-Identifier: BSD-3-Clause
#include "run.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../dispatch/isa_registry.h"
#include "../shared/tile.h"
#include "gather.h"
#include "parallel.h"
#include "rows.h"

namespace fastdrop {
namespace {

// With fewer elements for each thread a call that comes alone loses more by waking one, up to 15 us, than it
// gains; calls that follow each other would gain from half as many on (docs/performance.md).
constexpr std::uint64_t kElementsPerThread = 1 << 19;

// Shorter rows take less time when their decisions are gathered first: a kernel begins and ends each run
// slowly.
constexpr std::uint64_t kRunElements = 512;

// A used output of this size is written around the cache: it would push out everything else and not fit
// itself. The cache's own size is no guide, since virtual machines report that of a whole socket.
constexpr std::uint64_t kAroundCacheBytes = 32 << 20;

// Whether nobody has used that memory yet, judged by the page in its middle. The system zeroes such a page
// when it is first written to, so that it is in the cache: to write around that takes a tenth longer
// (docs/performance.md). Where mincore(2) cannot tell, memory counts as used.
bool untouched(const void* memory, std::uint64_t bytes) {
  const auto page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t middle = reinterpret_cast<std::uintptr_t>(memory) + bytes / 2;
  unsigned char resident = 1;
  mincore(reinterpret_cast<void*>(middle / page_bytes * page_bytes), 1, &resident);
  return resident % 2 == 0;
}

constexpr std::uint64_t element_bytes(Element element) { return kElementBytes[element]; }

// Stream document, section 3: D = p * 2^64 rounded half to even. Not for p = 1, where D has 65 bits.
std::uint64_t threshold(double p) { return static_cast<std::uint64_t>(std::nearbyint(std::ldexp(p, 64))); }

// A number of the mask where it may differ from element to element.
class Numbers {
 public:
  Numbers(double constant, const Varying* varying)
      : constant_(constant),
        values_(varying == nullptr ? nullptr : varying->values),
        rows_(varying == nullptr ? Window{} : varying->window) {}

  double of(std::uint64_t element) const {
    if (values_ == nullptr) return constant_;
    double value;
    std::memcpy(&value, values_ + rows_.place(element / rows_.repeat()) * sizeof value, sizeof value);
    return value;
  }

  // How many elements have that number, from that one on and as far as is easily seen.
  std::uint64_t constant_from(std::uint64_t element) const {
    return values_ == nullptr ? ~std::uint64_t{0} : rows_.repeat() - element % rows_.repeat();
  }

 private:
  double constant_;
  const char* values_;
  Rows rows_;
};

class Job {
 public:
  explicit Job(const Request& request)
      : request_(request),
        rows_(request.window),
        p_(request.mask.p, request.mask.varying_p),
        scale_(request.mask.scale, request.mask.varying_scale),
        kernels_(current_isa().kernels->run),
        around_cache_(request.out != request.x && out_bytes() >= kAroundCacheBytes &&
                      !untouched(request.out, out_bytes())) {}

  std::uint64_t element_count() const { return rows_.element_count(); }

  // Parts begin at multiples of a tile, so that hardly any tile is worked on twice.
  void run_part(int number, int count) const {
    const std::uint64_t tiles = (element_count() + kPartElements - 1) / kPartElements;
    const auto boundary = [&](int part) {
      return std::min(element_count(), tiles * part / count * kPartElements);
    };
    run(boundary(number), boundary(number + 1));
  }

 private:
  std::uint64_t out_bytes() const { return element_count() * element_bytes(request_.element); }

  // The elements from first to last in the window's own order.
  void run(std::uint64_t first, std::uint64_t last) const {
    while (first < last) {
      const std::uint64_t constant = std::min(p_.constant_from(first), scale_.constant_from(first));
      const std::uint64_t until = first + std::min(constant, last - first);
      run(first, until, p_.of(first), scale_.of(first));
      first = until;
    }
  }

  void run(std::uint64_t first, std::uint64_t last, double p, double scale) const {
    const bool drawn = request_.mask.rule != kStored;
    const bool keeps_all = drawn && p == 0, drops_all = drawn && p == 1;
    if (drops_all || (keeps_all && (scale == 1 || request_.operation != kScaleKept)))
      return run_without_numbers(first, last, drops_all);
    KernelArgs args{};
    args.keep = keep_args(p);
    args.scale = scale;
    args.shift = request_.shift;
    args.dropped = request_.dropped;
    args.around_cache = around_cache_;
    const bool long_rows = rows_.is_one_row() || rows_.length() >= kRunElements;
    const bool is_noise = request_.operation == kScaleByNoise;  // which cannot be gathered as decisions
    if (keeps_all)
      run_kept(args, first, last);
    else if ((has_runs() && long_rows) || is_noise)
      run_in_runs(args, first, last);
    else
      run_in_blocks(args, first, last);
  }

  bool has_runs() const { return rows_.repeat() == 1 && rows_.stride() == 1; }

  // Rows as runs of consecutive indices, as the kernels walk them; where they are none, element by element.
  void run_in_runs(KernelArgs& args, std::uint64_t first, std::uint64_t last) const {
    const Kernel kernel = kernels_[request_.operation][request_.element][request_.mask.rule];
    while (first < last) {
      args.start = rows_.place(first / rows_.repeat());
      args.element_count = has_runs() ? std::min(rows_.left_in_row(first), last - first) : 1;
      run_kernel(kernel, args, first);
    }
  }

  // Any other order: blocks of elements, whose decisions are gathered first.
  void run_in_blocks(KernelArgs& args, std::uint64_t first, std::uint64_t last) const {
    const Kernel kernel = kernels_[request_.operation][request_.element][kGathered];
    const Kernel keep_mask = kernels_[kKeepMask][kBool][request_.mask.rule];
    const KeepArgs keep = args.keep;
    const std::uint64_t repeat = rows_.repeat(), end = (last - 1) / repeat + 1;
    std::uint8_t decisions[kBlockDecisions], block[kBlockDecisions + kSpreadPast];
    args.keep.stored = repeat == 1 ? decisions : block;
    for (std::uint64_t number = first / repeat; number < end;) {
      const std::uint64_t until = std::min(number + kBlockDecisions, end);
      gather(rows_, keep_mask, keep, number, until, decisions);
      for (const std::uint64_t until_element = std::min(until * repeat, last); first < until_element;) {
        args.element_count = std::min(kBlockDecisions, until_element - first);
        if (repeat != 1)
          spread(decisions + (first / repeat - number), repeat, first % repeat, args.element_count, block);
        run_kernel(kernel, args, first);
      }
      number = until;
    }
  }

  // Everything is kept and scaled.
  void run_kept(KernelArgs& args, std::uint64_t first, std::uint64_t last) const {
    std::uint8_t kept[kBlockDecisions];
    std::memset(kept, 1, sizeof kept);
    args.keep.stored = kept;
    while (first < last) {
      args.element_count = std::min(kBlockDecisions, last - first);
      run_kernel(kernels_[request_.operation][request_.element][kGathered], args, first);
    }
  }

  void run_kernel(Kernel kernel, KernelArgs& args, std::uint64_t& first) const {
    args.x = x_at(first);
    args.out = out_at(first);
    kernel(args);
    first += args.element_count;
  }

  KeepArgs keep_args(double p) const {
    const MaskNumbers& mask = request_.mask;
    const std::uint64_t bound = threshold(p);
    return {{mask.key[0], mask.key[1]},
            mask.stream,
            static_cast<std::uint32_t>(bound >> 48),
            bound & ((1ull << 48) - 1),
            mask.bits};
  }

  // p = 0 without a scale copies bits: a signalling NaN stays one.
  void run_without_numbers(std::uint64_t first, std::uint64_t last, bool drops_all) const {
    const std::uint64_t bytes = (last - first) * element_bytes(request_.element);
    if (drops_all)
      std::memset(out_at(first), 0, bytes);
    else if (request_.operation == kKeepMask)
      std::memset(out_at(first), 1, bytes);
    else if (request_.x != request_.out)
      std::memcpy(out_at(first), x_at(first), bytes);
  }

  const char* x_at(std::uint64_t element) const {
    if (request_.x == nullptr) return nullptr;
    return static_cast<const char*>(request_.x) + element * element_bytes(request_.element);
  }
  char* out_at(std::uint64_t element) const {
    return static_cast<char*>(request_.out) + element * element_bytes(request_.element);
  }

  const Request& request_;
  Rows rows_;
  Numbers p_, scale_;
  const Kernel (&kernels_)[kOperationCount][kElementCount][kKeepRuleCount];
  bool around_cache_;
};

}  // namespace

void run(const Request& request) {
  const Job job(request);
  run_parts(job.element_count() / kElementsPerThread,
            [&job](int number, int count) { job.run_part(number, count); });
}

}  // namespace fastdrop
