// SPDX-License-Identifier: BSD-3-Clause
// The extension module. Python objects are thin: they hold numbers, and call these functions with them.
#include <pybind11/stl.h>

#include "../dispatch/isa_registry.h"
#include "../runtime/parallel.h"
#include "../runtime/streams.h"
#include "array_args.h"
#include "calls.h"
#include "strided_calls.h"

namespace fastdrop {
namespace {

py::array keep_mask(const py::tuple& numbers) {
  const MaskArgs mask(numbers);
  py::array_t<bool> to(std::vector<py::ssize_t>(mask.window.shape, mask.window.shape + mask.window.rank));
  run_without_gil({kKeepMask, kBool, mask.numbers, mask.window, nullptr, to.mutable_data()}, to.size());
  return std::move(to);
}

py::array generate(const std::string& generator, std::uint64_t first, std::uint64_t upper,
                   const std::array<std::uint32_t, 4>& key_words, py::ssize_t block_count) {
  py::array_t<std::uint32_t> words(std::vector<py::ssize_t>{block_count, 4});
  const std::uint64_t key[2] = {key_words[0] | std::uint64_t{key_words[1]} << 32,
                                key_words[2] | std::uint64_t{key_words[3]} << 32};
  for (int rule = 0; rule < kGeneratorCount; ++rule) {
    if (generator != kKeepRuleNames[rule]) continue;
    current_isa().kernels->generate[rule](key, first, upper, static_cast<std::uint64_t>(block_count),
                                          words.mutable_data());
    return std::move(words);
  }
  throw std::invalid_argument("no such generator");
}

// The generators come first.
py::tuple rules(int count) {
  py::tuple names(static_cast<py::ssize_t>(count));
  for (int rule = 0; rule < count; ++rule) names[rule] = kKeepRuleNames[rule];
  return names;
}

py::list isas() {
  py::list rows;
  for (const Isa& isa : built_isas()) rows.append(py::make_tuple(isa.name, isa.description, usable(isa)));
  return rows;
}

}  // namespace
}  // namespace fastdrop

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  using namespace fastdrop;
  m.doc() = "The compiled core of fastdrop. Private: use the functions of the fastdrop package.";
  m.attr("__version__") = FASTDROP_VERSION;
  m.attr("compiler") = FASTDROP_COMPILER;
  m.attr("has_openmp") = has_openmp();
  m.attr("generators") = rules(kGeneratorCount);
  m.attr("rules") = rules(kMaskRuleCount);
  add_calls(m);
  // The same for arrays of any layout, into `out`: what _checks has let through.
  m.def("scale_kept_strided", &map_strided<kScaleKept>);
  m.def("affine_kept_strided", &affine_kept_strided);
  m.def("scale_by_noise_strided", &map_strided<kScaleByNoise>);
  m.def("new_streams", &new_streams, "Streams of which so many have been handed out.");
  m.def(
      "take_stream", [](const py::capsule& streams) { return streams_in(streams).take(); },
      "The next stream.");
  m.def(
      "streams_handed_out", [](const py::capsule& streams) { return streams_in(streams).handed_out(); },
      "How many have been handed out: the number of the next.");
  m.def("keep_mask", &keep_mask, "The mask as an array of bool, True where kept.");
  m.def("generate", &generate, "Words of consecutive generator blocks, on the ISA in use; for tests.");
  m.def("isas", &isas, "(name, description, usable) of every ISA that was built, best first.");
  m.def("isa", [] { return current_isa().name; }, "The ISA in use.");
  m.def(
      "use_isa", [](const std::string& name) { return use_isa(name).name; },
      "Switch the ISA; returns the name of the one before.");
  m.def("thread_count", &thread_count, "Threads that a large call made here would use.");
  m.def("set_thread_limit", &set_thread_limit, "Set fastdrop's own limit; returns the one before.");
}
