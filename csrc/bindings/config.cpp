// SPDX-License-Identifier: BSD-3-Clause
#include "config.h"

#include <string>

#include "../dispatch/isa_registry.h"
#include "../runtime/thread_limit.h"

namespace py = pybind11;

namespace fastdrop {
namespace {

// The generators come first.
py::tuple rule_names(int count) {
  py::tuple names(static_cast<py::ssize_t>(count));
  for (int rule = 0; rule < count; ++rule) names[static_cast<std::size_t>(rule)] = kKeepRuleNames[rule];
  return names;
}

py::list isas() {
  py::list rows;
  for (const Isa& isa : built_isas()) rows.append(py::make_tuple(isa.name, isa.description, usable(isa)));
  return rows;
}

}  // namespace

void add_config(py::module_& module) {
  module.attr("__version__") = FASTDROP_VERSION;
  module.attr("compiler") = FASTDROP_COMPILER;
  module.attr("has_openmp") = has_openmp();
  module.attr("generators") = rule_names(kGeneratorCount);
  module.attr("rules") = rule_names(kMaskRuleCount);
  module.def("isas", &isas, "(name, description, usable) of every ISA that was built, best first.");
  module.def("isa", [] { return current_isa().name; }, "The ISA in use.");
  module.def(
      "use_isa", [](const std::string& name) { return use_isa(name).name; },
      "Switch the ISA; returns the name of the one before.");
  module.def("thread_count", &thread_count, "Threads that a large call made here would use.");
  module.def("set_thread_limit", &set_thread_limit, "Set fastdrop's own limit; returns the one before.");
}

}  // namespace fastdrop
