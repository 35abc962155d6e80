// SPDX-License-Identifier: BSD-3-Clause
#include "layout.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "../dispatch/isa_registry.h"
#include "../shared/tile.h"
#include "parallel.h"
#include "strided_copy.h"

namespace fastdrop {
namespace {

// The data of one box, on its way from x to out. It shares the first-level cache with the lines that it comes
// from and goes to.
constexpr std::int64_t kBoxBytes = 32 << 10;

// What a box has at least of the axis along which an array lies together, so that whole cache lines and a
// few neighbours are read and written at once.
constexpr std::int64_t kLineBytes = 64;

// From this length on a row that lies together is worked on where it lies, without a buffer. A part of it is
// a box, and short enough that run() does not look for threads itself.
constexpr std::int64_t kRowElements = 512;
constexpr std::int64_t kRowPartElements = 1 << 16;

// A thread has at least so many elements: half as many as in run(), because they take longer here.
constexpr std::uint64_t kElementsPerThread = 1 << 18;
constexpr int kPartsPerThread = 8;

struct Axis {
  std::int64_t length, index_stride, x_stride, out_stride;
  std::int64_t box = 1;  // how much of it a box has

  std::uint64_t box_count() const { return static_cast<std::uint64_t>((length + box - 1) / box); }
};

// The window's axes, less those of length 1; neighbours that are one axis on all sides are merged.
std::vector<Axis> merged_axes(const Window& window, const Layout& x, const Layout& out) {
  std::vector<Axis> axes;  // the last one first
  std::int64_t plain_stride = 1;
  for (int number = window.rank - 1; number >= 0; --number) {
    const std::int64_t length = window.shape[number];
    const std::int64_t index_stride = window.strides != nullptr ? window.strides[number] : plain_stride;
    plain_stride *= length;
    if (length == 1) continue;
    const Axis axis{length, index_stride, x.strides[number], out.strides[number]};
    if (!axes.empty()) {
      Axis& inner = axes.back();
      if (axis.index_stride == inner.length * inner.index_stride &&
          axis.x_stride == inner.length * inner.x_stride &&
          axis.out_stride == inner.length * inner.out_stride) {
        inner.length *= length;
        continue;
      }
    }
    axes.push_back(axis);
  }
  std::reverse(axes.begin(), axes.end());
  return axes;
}

class BoxedJob {
 public:
  BoxedJob(const Request& request, const Layout& x, const Layout& out)
      : request_(request),
        item_bytes_(static_cast<std::int64_t>(kElementBytes[request.element])),
        axes_(merged_axes(request.window, x, out)),
        x_(request.x, x.swapped, axes_, &Axis::x_stride, item_bytes_),
        out_(request.out, out.swapped, axes_, &Axis::out_stride, item_bytes_) {
    for (const Axis& axis : axes_) index_strides_.push_back(axis.index_stride);
    choose_box();
    for (const Axis& axis : axes_) box_count_ *= axis.box_count();
  }

  std::uint64_t box_count() const { return box_count_; }

  // The elements need no boxes: run() takes them as they lie.
  bool plain() const {
    std::int64_t shape[kMaxAxes];
    for (std::size_t i = 0; i < axes_.size(); ++i) shape[i] = axes_[i].length;
    return lies_plain(x_, shape) && lies_plain(out_, shape);
  }

  void run_boxes(std::uint64_t first, std::uint64_t last) const {
    alignas(64) char buffer[kBoxBytes];
    Box box;
    for (std::uint64_t number = first; number < last; ++number) {
      find(number, box);
      run_box(box, buffer);
    }
  }

 private:
  // One of the two arrays.
  struct Side {
    char* data;
    bool swapped;
    bool walkable;  // aligned and in native byte order: a kernel may read what lies together
    std::vector<std::int64_t> strides;

    Side(const void* first, bool other_order, const std::vector<Axis>& axes, std::int64_t Axis::* stride,
         std::int64_t item_bytes)
        : data(static_cast<char*>(const_cast<void*>(first))), swapped(other_order) {
      bool aligned = reinterpret_cast<std::uintptr_t>(first) % static_cast<std::uintptr_t>(item_bytes) == 0;
      for (const Axis& axis : axes) {
        strides.push_back(axis.*stride);
        aligned &= axis.*stride % item_bytes == 0;
      }
      walkable = aligned && !swapped;
    }
  };

  struct Box {
    std::int64_t shape[kMaxAxes];
    std::int64_t plain_strides[kMaxAxes];  // those that it has in a buffer, in bytes
    std::uint64_t start;                   // mask index of its first element, whose addresses follow
    char* x;
    char* out;
  };

  void choose_box() {
    if (axes_.empty()) return;
    Axis& last = axes_.back();
    if (x_.walkable && out_.walkable && last.x_stride == item_bytes_ && last.out_stride == item_bytes_ &&
        last.length >= kRowElements) {
      last.box = std::min(last.length, kRowPartElements);
      return;
    }
    std::int64_t room = kBoxBytes / item_bytes_;
    const auto widen = [&room](Axis& axis, std::int64_t wanted) {
      wanted = std::min({wanted, axis.length, room * axis.box});
      if (wanted <= axis.box) return;
      room = room * axis.box / wanted;
      axis.box = wanted;
    };
    widen(fastest(&Axis::x_stride), kLineBytes / item_bytes_);
    widen(fastest(&Axis::out_stride), kLineBytes / item_bytes_);
    // Next the axis of consecutive indices, by whole tiles of random numbers, and then whatever there is.
    const std::int64_t most = room * last.box;
    widen(last, most >= kPartElements && most < last.length ? most / kPartElements * kPartElements : most);
    for (auto axis = axes_.rbegin(); axis != axes_.rend(); ++axis) widen(*axis, axis->length);
  }

  Axis& fastest(std::int64_t Axis::* stride) {
    return *std::min_element(axes_.rbegin(), axes_.rend(), [stride](const Axis& a, const Axis& b) {
      return std::abs(a.*stride) < std::abs(b.*stride);
    });
  }

  void find(std::uint64_t number, Box& box) const {
    box.start = request_.window.start;
    box.x = x_.data;
    box.out = out_.data;
    std::int64_t plain_stride = item_bytes_;
    for (std::size_t i = axes_.size(); i-- > 0;) {
      const Axis& axis = axes_[i];
      const std::int64_t first = static_cast<std::int64_t>(number % axis.box_count()) * axis.box;
      number /= axis.box_count();
      box.shape[i] = std::min(axis.box, axis.length - first);
      box.plain_strides[i] = plain_stride;
      plain_stride *= box.shape[i];
      box.start += static_cast<std::uint64_t>(first) * static_cast<std::uint64_t>(axis.index_stride);
      box.x += first * axis.x_stride;
      box.out += first * axis.out_stride;
    }
  }

  bool lies_plain(const Side& side, const std::int64_t* shape) const {
    std::int64_t stride = item_bytes_;
    for (std::size_t i = axes_.size(); i-- > 0;) {
      if (shape[i] > 1 && side.strides[i] != stride) return false;
      stride *= shape[i];
    }
    return side.walkable;
  }

  // By way of the buffer, unless a side can stand for it.
  void run_box(const Box& box, char* buffer) const {
    const auto rank = static_cast<int>(axes_.size());
    const bool x_plain = lies_plain(x_, box.shape), out_plain = lies_plain(out_, box.shape);
    char* const to = out_plain ? box.out : buffer;
    Request request = request_;
    request.window = {box.start, rank, box.shape, index_strides_.data()};
    request.x = x_plain ? box.x : to;
    request.out = to;
    if (!x_plain)
      strided_copy({rank, box.shape, x_.strides.data(), box.plain_strides, item_bytes_, x_.swapped}, box.x,
                   to);
    run(request);
    if (!out_plain)
      strided_copy({rank, box.shape, box.plain_strides, out_.strides.data(), item_bytes_, out_.swapped}, to,
                   box.out);
  }

  const Request& request_;
  std::int64_t item_bytes_;
  std::vector<Axis> axes_;
  Side x_, out_;
  std::vector<std::int64_t> index_strides_;
  std::uint64_t box_count_ = 1;
};

}  // namespace

void run_strided(const Request& request, const Layout& x, const Layout& out) {
  std::uint64_t element_count = 1;
  for (int axis = 0; axis < request.window.rank; ++axis)
    element_count *= static_cast<std::uint64_t>(request.window.shape[axis]);
  if (element_count == 0) return;
  const BoxedJob job(request, x, out);
  if (job.plain()) return run(request);
  current_isa();  // what may throw comes before anything is written
  const std::uint64_t worthwhile = element_count / kElementsPerThread;
  const int threads = static_cast<int>(std::min<std::uint64_t>(worthwhile, thread_count()));
  const auto parts = static_cast<std::uint64_t>(threads > 1 ? threads * kPartsPerThread : 1);
  run_parts(threads, static_cast<int>(parts), [&job, parts](int part) {
    const auto number = static_cast<std::uint64_t>(part);
    job.run_boxes(job.box_count() * number / parts, job.box_count() * (number + 1) / parts);
  });
}

}  // namespace fastdrop
