// SPDX-License-Identifier: BSD-3-Clause
#include "config.h"

#include <limits>
#include <string>

#include "../dispatch/cpu_features.h"
#include "../dispatch/isa_registry.h"
#include "../runtime/floating_point.h"
#include "../runtime/thread_limit.h"
#include "../xla/dropout.h"
#include "python_types.h"
#include "seed.h"

namespace fastdrop {
namespace {

// A tuple of the texts name_of(0), name_of(1), ...
template <class NameOf>
PyObject* tuple_of_names(int count, const NameOf& name_of) {
  PyObject* names = PyTuple_New(count);
  for (int i = 0; names != nullptr && i < count; ++i) {
    PyObject* name = PyUnicode_FromString(name_of(i));
    if (name == nullptr)
      Py_CLEAR(names);
    else
      PyTuple_SET_ITEM(names, i, name);
  }
  return names;
}

// The names of the first rules; the generators come first.
PyObject* rule_names(int count) {
  return tuple_of_names(count, [](int rule) { return kKeepRuleNames[rule]; });
}

PyObject* isa_rows() {
  PyObject* rows = PyList_New(0);
  for (const Isa& isa : built_isas()) {
    PyObject* row = Py_BuildValue("(ssO)", isa.name, isa.description, usable(isa) ? Py_True : Py_False);
    if (rows == nullptr || row == nullptr || PyList_Append(rows, row) != 0) Py_CLEAR(rows);
    Py_XDECREF(row);
    if (rows == nullptr) break;
  }
  return rows;
}

PyObject* isas(PyObject*, PyObject*) { return or_value_error(isa_rows); }

// isas_for(leaf_1_ecx, leaf_7_ebx, leaf_7_ecx, xcr0): the names of those that a processor could run.
PyObject* isas_for(PyObject*, PyObject* arguments) {
  unsigned leaf_1_ecx, leaf_7_ebx, leaf_7_ecx;
  std::uint64_t xcr0;
  if (!PyArg_ParseTuple(arguments, "IIIO&", &leaf_1_ecx, &leaf_7_ebx, &leaf_7_ecx, to_uint64, &xcr0))
    return nullptr;
  const std::uint32_t features = features_of({leaf_1_ecx, leaf_7_ebx, leaf_7_ecx, xcr0});
  PyObject* names = PyList_New(0);
  for (const Isa& isa : built_isas()) {
    if (names == nullptr || !usable_with(isa, features)) continue;
    PyObject* name = PyUnicode_FromString(isa.name);
    if (name == nullptr || PyList_Append(names, name) != 0) Py_CLEAR(names);
    Py_XDECREF(name);
  }
  return names;
}

// The names of built_isas(), made when the module is.
PyObject* names_of_isas = nullptr;

PyObject* name_of(const Isa& isa) {
  return Py_NewRef(PyTuple_GET_ITEM(names_of_isas, &isa - built_isas().data()));
}

bool make_names_of_isas() {
  const auto& isas = built_isas();
  const auto name = [&](int i) { return isas[static_cast<std::size_t>(i)].name; };
  names_of_isas = tuple_of_names(static_cast<int>(isas.size()), name);
  return names_of_isas != nullptr;
}

PyObject* isa(PyObject*, PyObject*) {
  return or_value_error([] { return name_of(current_isa()); });
}

PyObject* use(PyObject*, PyObject* name) {
  const char* text = PyUnicode_AsUTF8(name);
  if (text == nullptr) return nullptr;
  return or_value_error([text] { return name_of(use_isa(text)); });
}

PyObject* count_threads(PyObject*, PyObject*) {
  return or_value_error([] { return PyLong_FromLong(thread_count()); });
}

PyObject* limit_threads(PyObject*, PyObject* limit) {
  const long value = PyLong_AsLong(limit);
  if (value == -1 && PyErr_Occurred()) return nullptr;
  if (value < 1 || value > std::numeric_limits<int>::max()) return raise_value_error("a limit is at least 1");
  return or_value_error([value] { return PyLong_FromLong(set_thread_limit(static_cast<int>(value))); });
}

// A caller may have set that subnormal numbers count as zero. A small p or q is one, and must not become 0.
PyObject* with_subnormals(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  if (count == 0) {
    PyErr_SetString(PyExc_TypeError, "with_subnormals takes a function");
    return nullptr;
  }
  const DefaultFloatingPoint environment;
  return PyObject_Vectorcall(arguments[0], arguments + 1, static_cast<std::size_t>(count - 1), nullptr);
}

// The two halves of a seed, and those of its key.
PyObject* seed_key(PyObject*, PyObject* arguments) {
  std::uint64_t low, high;
  if (!PyArg_ParseTuple(arguments, "O&O&", to_uint64, &low, to_uint64, &high)) return nullptr;
  const auto upper = [](std::uint64_t half) { return static_cast<std::uint32_t>(half >> 32); };
  const SeedWords key =
      key_words({static_cast<std::uint32_t>(low), upper(low), static_cast<std::uint32_t>(high), upper(high)});
  const std::uint64_t halves[] = {key[0] | std::uint64_t{key[1]} << 32, key[2] | std::uint64_t{key[3]} << 32};
  return key_tuple(halves);
}

// As jax.ffi.register_ffi_target takes it.
PyObject* xla_dropout(PyObject*, PyObject* minor) {
  const long value = PyLong_AsLong(minor);
  if (value == -1 && PyErr_Occurred()) return nullptr;
  if (value < xla::kOldestMinorVersion || value > std::numeric_limits<int>::max())
    return raise_value_error("XLA's FFI is too old");
  xla::speak(static_cast<int>(value));
  return PyCapsule_New(reinterpret_cast<void*>(&xla::dropout), nullptr, nullptr);
}

PyMethodDef methods[] = {
    {"isas", isas, METH_NOARGS,
     "isas($module, /)\n--\n\n(name, description, usable) of every ISA that was built, best first."},
    {"isas_for", isas_for, METH_VARARGS,
     "isas_for($module, leaf_1_ecx, leaf_7_ebx, leaf_7_ecx, xcr0, /)\n--\n\n"
     "Names of the ISAs that a processor with these registers could run; for tests."},
    {"with_subnormals", as_function(with_subnormals), METH_FASTCALL,
     "with_subnormals($module, function, /, *arguments)\n--\n\n"
     "Call a function where subnormal numbers are numbers, whatever the caller has set."},
    {"seed_key", seed_key, METH_VARARGS,
     "seed_key($module, low, high, /)\n--\n\nThe key of an integer seed below 2^128, both in 64-bit halves."},
    {"isa", isa, METH_NOARGS, "isa($module, /)\n--\n\nThe ISA in use."},
    {"use_isa", use, METH_O,
     "use_isa($module, name, /)\n--\n\nSwitch the ISA; returns the name of the one before."},
    {"thread_count", count_threads, METH_NOARGS,
     "thread_count($module, /)\n--\n\nThreads that a large call made here would use."},
    {"set_thread_limit", limit_threads, METH_O,
     "set_thread_limit($module, limit, /)\n--\n\nSet fastdrop's own limit; returns the one before."},
    {"xla_dropout", xla_dropout, METH_O,
     "xla_dropout($module, minor, /)\n--\n\nThe function that XLA calls, as a capsule, for an XLA whose FFI "
     "has "
     "that minor version."},
    {nullptr, nullptr, 0, nullptr}};

// Takes a new reference, or null.
bool add(PyObject* module, const char* name, PyObject* value) {
  const bool added = value != nullptr && PyModule_AddObjectRef(module, name, value) == 0;
  Py_XDECREF(value);
  return added;
}

}  // namespace

bool add_config(PyObject* module) {
  return make_names_of_isas() && add(module, "__version__", PyUnicode_FromString(FASTDROP_VERSION)) &&
         add(module, "compiler", PyUnicode_FromString(FASTDROP_COMPILER)) &&
         add(module, "has_openmp", PyBool_FromLong(has_openmp())) &&
         add(module, "generators", rule_names(kGeneratorCount)) &&
         add(module, "rules", rule_names(kMaskRuleCount)) &&
         add(module, "xla_versions",
             Py_BuildValue("(iii)", xla::kMajorVersion, xla::kOldestMinorVersion, xla::kMinorVersion)) &&
         PyModule_AddFunctions(module, methods) == 0;
}

}  // namespace fastdrop
