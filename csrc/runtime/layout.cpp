// SPDX-License-Identifier: BSD-3-Clause
#include "layout.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
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

// What goes along when a box is walked through: the places of its elements in the mask, in the numbers that
// vary, and in both arrays. Each has a stride for every axis; those of the arrays are in bytes.
enum Walk : int { kIndex, kP, kScale, kX, kOut, kWalkCount };

struct Axis {
  std::int64_t length;
  std::int64_t strides[kWalkCount];
  std::int64_t box = 1;  // how much of it a box has

  std::uint64_t box_count() const { return static_cast<std::uint64_t>((length + box - 1) / box); }
  // Whether the two are one axis on every walk.
  bool continues(const Axis& inner) const {
    for (int walk = 0; walk < kWalkCount; ++walk)
      if (strides[walk] != inner.length * inner.strides[walk]) return false;
    return true;
  }
};

// The window's axes, less those of length 1; neighbours that are one axis are merged.
std::vector<Axis> merged_axes(const Request& request, const Layout& x, const Layout& out) {
  const Window& window = request.window;
  std::vector<Axis> axes;  // the last one first
  std::int64_t plain_stride = 1;
  const auto stride = [&plain_stride](const Window& of, int number) {
    return of.strides != nullptr ? of.strides[number] : plain_stride;
  };
  const auto varying_stride = [&stride](const Varying* varying, int number) {
    return varying != nullptr ? stride(varying->window, number) : 0;
  };
  for (int number = window.rank - 1; number >= 0; --number) {
    const std::int64_t length = window.shape[number];
    const Axis axis{
        length,
        {stride(window, number), varying_stride(request.mask.varying_p, number),
         varying_stride(request.mask.varying_scale, number), x.strides[number], out.strides[number]}};
    plain_stride *= length;
    if (length == 1) continue;
    if (!axes.empty() && axis.continues(axes.back()))
      axes.back().length *= length;
    else
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
        x_swapped_(x.swapped),
        out_swapped_(out.swapped),
        axes_(merged_axes(request, x, out)) {
    for (int walk = 0; walk < kWalkCount; ++walk)
      for (const Axis& axis : axes_) strides_[walk].push_back(axis.strides[walk]);
    x_walkable_ = walkable(request.x, kX, x_swapped_);
    out_walkable_ = walkable(request.out, kOut, out_swapped_);
    choose_box();
    for (const Axis& axis : axes_) box_count_ *= axis.box_count();
  }

  std::uint64_t box_count() const { return box_count_; }

  // The elements need no boxes: run() takes them as they lie.
  bool plain() const {
    std::int64_t shape[kMaxRank];
    for (std::size_t i = 0; i < axes_.size(); ++i) shape[i] = axes_[i].length;
    return x_plain(shape) && out_plain(shape);
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
  struct Box {
    std::int64_t shape[kMaxRank];
    std::int64_t plain_strides[kMaxRank];  // those that it has in a buffer, in bytes
    std::int64_t offsets[kWalkCount];      // of its first element
  };

  // Aligned and in native byte order: a kernel may read what lies together.
  bool walkable(const void* data, Walk walk, bool swapped) const {
    bool aligned = reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(item_bytes_) == 0;
    for (const std::int64_t stride : strides_[walk]) aligned &= stride % item_bytes_ == 0;
    return aligned && !swapped;
  }

  bool lies_together(Walk walk, const std::int64_t* shape) const {
    std::int64_t stride = item_bytes_;
    for (std::size_t i = axes_.size(); i-- > 0;) {
      if (shape[i] > 1 && strides_[walk][i] != stride) return false;
      stride *= shape[i];
    }
    return true;
  }
  bool x_plain(const std::int64_t* shape) const { return x_walkable_ && lies_together(kX, shape); }
  bool out_plain(const std::int64_t* shape) const { return out_walkable_ && lies_together(kOut, shape); }

  void choose_box() {
    if (axes_.empty()) return;
    Axis& last = axes_.back();
    if (x_walkable_ && out_walkable_ && last.strides[kX] == item_bytes_ &&
        last.strides[kOut] == item_bytes_ && last.length >= kRowElements) {
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
    widen(fastest(kX), kLineBytes / item_bytes_);
    widen(fastest(kOut), kLineBytes / item_bytes_);
    // Next the axis of consecutive indices, by whole tiles of random numbers, and then whatever there is.
    const std::int64_t most = room * last.box;
    widen(last, most >= kPartElements && most < last.length ? most / kPartElements * kPartElements : most);
    for (auto axis = axes_.rbegin(); axis != axes_.rend(); ++axis) widen(*axis, axis->length);
  }

  Axis& fastest(Walk walk) {
    return *std::min_element(axes_.rbegin(), axes_.rend(), [walk](const Axis& a, const Axis& b) {
      return std::abs(a.strides[walk]) < std::abs(b.strides[walk]);
    });
  }

  void find(std::uint64_t number, Box& box) const {
    std::int64_t plain_stride = item_bytes_;
    std::fill(std::begin(box.offsets), std::end(box.offsets), 0);
    for (std::size_t i = axes_.size(); i-- > 0;) {
      const Axis& axis = axes_[i];
      const auto first = static_cast<std::int64_t>(number % axis.box_count()) * axis.box;
      number /= axis.box_count();
      box.shape[i] = std::min(axis.box, axis.length - first);
      box.plain_strides[i] = plain_stride;
      plain_stride *= box.shape[i];
      for (int walk = 0; walk < kWalkCount; ++walk) box.offsets[walk] += first * axis.strides[walk];
    }
  }

  // By way of the buffer, unless a side can stand for it.
  void run_box(const Box& box, char* buffer) const {
    const auto rank = static_cast<int>(axes_.size());
    const auto part = [&](const Window& whole, Walk walk) -> Window {
      return {whole.start + static_cast<std::uint64_t>(box.offsets[walk]), rank, box.shape,
              strides_[walk].data()};
    };
    const char* const x = static_cast<const char*>(request_.x) + box.offsets[kX];
    char* const out = static_cast<char*>(request_.out) + box.offsets[kOut];
    char* const to = out_plain(box.shape) ? out : buffer;
    Request request = request_;
    request.window = part(request.window, kIndex);
    Varying p, scale;  // their parts of the box
    const auto varying = [&part](const Varying*& whole, Varying& here, Walk walk) {
      if (whole == nullptr) return;
      here = {whole->values, part(whole->window, walk)};
      whole = &here;
    };
    varying(request.mask.varying_p, p, kP);
    varying(request.mask.varying_scale, scale, kScale);
    request.x = x_plain(box.shape) ? x : to;
    request.out = to;
    if (request.x != x)
      strided_copy({rank, box.shape, strides_[kX].data(), box.plain_strides, item_bytes_, x_swapped_}, x, to);
    run(request);
    if (to != out)
      strided_copy({rank, box.shape, box.plain_strides, strides_[kOut].data(), item_bytes_, out_swapped_}, to,
                   out);
  }

  const Request& request_;
  std::int64_t item_bytes_;
  bool x_swapped_, out_swapped_, x_walkable_, out_walkable_;
  std::vector<Axis> axes_;
  std::vector<std::int64_t> strides_[kWalkCount];
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
  run_parts(element_count / kElementsPerThread, [&job](int part, int count) {
    const auto number = static_cast<std::uint64_t>(part), parts = static_cast<std::uint64_t>(count);
    job.run_boxes(job.box_count() * number / parts, job.box_count() * (number + 1) / parts);
  });
}

}  // namespace fastdrop
