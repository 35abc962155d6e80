// SPDX-License-Identifier: BSD-3-Clause
#include "run.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../dispatch/isa_registry.h"
#include "../shared/tile.h"
#include "parallel.h"

namespace fastdrop {
namespace {

// With fewer elements for each thread a call that comes alone loses more by waking one, up to 15 us, than it
// gains; calls that follow each other would gain from half as many on (docs/performance.md).
constexpr std::uint64_t kElementsPerThread = 1 << 19;

// More parts than threads: of a thread that comes late others do the rest.
constexpr int kPartsPerThread = 8;

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

constexpr std::uint64_t kElementBytes[] = {4, 8, 1};
static_assert(sizeof kElementBytes / sizeof *kElementBytes == kElementCount, "a size for every element type");
constexpr std::uint64_t element_bytes(Element element) { return kElementBytes[element]; }

// Stream document, section 3: D = p * 2^64 rounded half to even. Not for p = 1, where D has 65 bits.
std::uint64_t threshold(double p) { return static_cast<std::uint64_t>(std::nearbyint(std::ldexp(p, 64))); }

// A window as equal runs of consecutive indices: the trailing axes that lie together in the whole mask are
// one run, and the leading axes say where each run begins.
class Runs {
 public:
  explicit Runs(const Window& window) : window_(window), leading_(window.rank) {
    if (window.strides == nullptr) leading_ = 0;
    while (leading_ > 0) {
      const std::int64_t size = window.shape[leading_ - 1];
      if (size != 1 && window.strides[leading_ - 1] != static_cast<std::int64_t>(length_)) break;
      length_ *= static_cast<std::uint64_t>(size);
      --leading_;
    }
    element_count_ = 1;
    for (int axis = 0; axis < window.rank; ++axis)
      element_count_ *= static_cast<std::uint64_t>(window.shape[axis]);
    if (leading_ == 0) length_ = element_count_;
  }

  std::uint64_t element_count() const { return element_count_; }
  std::uint64_t length() const { return length_; }

  std::uint64_t start_of(std::uint64_t run) const {
    std::uint64_t index = window_.start;
    for (int axis = leading_ - 1; axis >= 0; --axis) {
      const auto size = static_cast<std::uint64_t>(window_.shape[axis]);
      index += run % size * static_cast<std::uint64_t>(window_.strides[axis]);
      run /= size;
    }
    return index;
  }

 private:
  const Window& window_;
  int leading_;  // axes that are not part of a run
  std::uint64_t length_ = 1;
  std::uint64_t element_count_;
};

class Job {
 public:
  explicit Job(const Request& request)
      : request_(request),
        runs_(request.window),
        kernel_(current_isa().kernels->run[request.operation][request.element][request.mask.generator]),
        around_cache_(request.out != request.x && out_bytes() >= kAroundCacheBytes &&
                      !untouched(request.out, out_bytes())) {}

  std::uint64_t element_count() const { return runs_.element_count(); }

  // Parts begin at multiples of a tile, so that hardly any tile is worked on twice.
  void run_part(int number, int count) const {
    const std::uint64_t tiles = (element_count() + kPartElements - 1) / kPartElements;
    const auto boundary = [&](int part) {
      return std::min(element_count(), tiles * part / count * kPartElements);
    };
    run(boundary(number), boundary(number + 1));
  }

 private:
  double scale() const { return request_.mask.scale; }
  std::uint64_t out_bytes() const { return element_count() * element_bytes(request_.element); }

  // The elements from first to last in the window's own order.
  void run(std::uint64_t first, std::uint64_t last) const {
    const double p = request_.mask.p;
    if (p == 1 || (p == 0 && (scale() == 1 || request_.operation == kKeepMask)))
      return run_without_numbers(first, last);
    KernelArgs args{};
    std::memcpy(args.keep.key, request_.mask.key, sizeof args.keep.key);
    args.keep.stream = request_.mask.stream;
    const std::uint64_t bound = threshold(p);
    args.keep.threshold_high = static_cast<std::uint32_t>(bound >> 48);
    args.keep.threshold_low = bound & ((1ull << 48) - 1);
    args.scale = scale();
    args.around_cache = around_cache_;
    while (first < last) {
      const std::uint64_t run = first / runs_.length(), done = first % runs_.length();
      args.start = runs_.start_of(run) + done;
      args.element_count = std::min(runs_.length() - done, last - first);
      args.x = x_at(first);
      args.out = out_at(first);
      kernel_(args);
      first += args.element_count;
    }
  }

  // p = 0 without a scale copies bits: a signalling NaN stays one.
  void run_without_numbers(std::uint64_t first, std::uint64_t last) const {
    const std::uint64_t bytes = (last - first) * element_bytes(request_.element);
    if (request_.mask.p == 1)
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
  Runs runs_;
  Kernel kernel_;
  bool around_cache_;
};

}  // namespace

void run(const Request& request) {
  const Job job(request);
  const std::uint64_t worthwhile = job.element_count() / kElementsPerThread;
  const int threads = static_cast<int>(std::min<std::uint64_t>(worthwhile, thread_count()));
  const int parts = threads > 1 ? threads * kPartsPerThread : 1;
  run_parts(threads, parts, [&job, parts](int number) { job.run_part(number, parts); });
}

}  // namespace fastdrop
