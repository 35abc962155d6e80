// SPDX-License-Identifier: BSD-3-Clause
#include "operations.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../runtime/block_mask.h"
#include "../runtime/check_rows.h"
#include "../runtime/run.h"
#include "../runtime/run_rows.h"
#include "../runtime/run_strided.h"
#include "../runtime/threshold.h"
#include "arrays.h"
#include "fastcall.h"
#include "gil.h"
#include "mask_source.h"
#include "mask_state.h"
#include "parsed_request.h"
#include "python_types.h"

namespace fastdrop {
namespace {

// The operands of one call: arrays in the order of the operation's row, inputs first.
class Arrays {
 public:
  explicit Arrays(Operation operation)
      : info_(kOperations[operation]),
        inputs_(operand_count(info_.inputs)),
        outputs_(operand_count(info_.outputs)) {}

  int count() const { return inputs_ + outputs_; }

  // Takes what was given, if no array needs Python's attention: each is exactly a numpy.ndarray, contiguous,
  // and an output is an input or apart from all. Makes the outputs that are None. An optional input that is
  // None is absent, and an optional output that is False is not wanted.
  bool take_contiguous(PyObject* const* given, const Window& window) {
    for (int i = 0; i < count(); ++i) {
      const bool is_output = i >= inputs_;
      arrays_[i] = given[i];
      if (is_missing(i) || (is_output && given[i] == Py_None)) continue;
      if (!is_plain_array(given[i]) || !is_contiguous_native(array(i), is_output) || !fits(i, window))
        return false;
      for (int other = 0; is_output && other < i; ++other)
        if (arrays_[other] != Py_None && !is_missing(other) && overlap(array(i), array(other)) &&
            !is_in_place(i, other))
          return false;
    }
    for (int i = inputs_; i < count(); ++i)
      if (arrays_[i] == Py_None) make_output(i, window);
    return true;
  }

  // Takes what Python has checked: only what would be read as memory is looked at here again.
  void take_checked(PyObject* const* given, const Window& window) {
    for (int i = 0; i < count(); ++i) {
      arrays_[i] = given[i];
      if (is_missing(i)) continue;
      if (!npy::get().PyArray_Check_(given[i]) || !fits(i, window))
        throw std::invalid_argument(std::string(info(i).name) +
                                    " must be an array of the operation's dtype and shape");
    }
  }

  // An operation without inputs makes bytes.
  Element element() const { return inputs_ == 0 ? kBool : to_element(array(0).dtype()); }

  // Points the request to the arrays; `strides` is null for contiguous ones, or where theirs are put.
  void put_into(Request& request, std::vector<std::int64_t>* strides) const {
    const auto rank = static_cast<std::size_t>(request.window.rank);
    if (strides != nullptr) strides->resize(static_cast<std::size_t>(count()) * rank);
    for (int i = 0; i < count(); ++i) {
      Operand& operand = i < inputs_ ? request.inputs[i] : request.outputs[i - inputs_];
      operand = {nullptr, nullptr, false};
      if (is_missing(i)) continue;
      const py::array given = array(i);
      operand = {const_cast<void*>(given.data()), nullptr, false};
      if (strides == nullptr) continue;
      std::int64_t* const own = strides->data() + static_cast<std::size_t>(i) * rank;
      copy_strides(info(i), given, request.window.rank, own);
      const char order = given.dtype().byteorder();
      operand.strides = own;
      operand.swapped = order == '<' || order == '>';  // NumPy says '=' where an order is the native one
    }
  }

  py::object result() const {
    if (outputs_ == 1) return array(inputs_);
    py::tuple all(static_cast<py::ssize_t>(outputs_));
    for (int i = 0; i < outputs_; ++i)
      all[static_cast<std::size_t>(i)] =
          is_missing(inputs_ + i) ? py::none() : py::object(array(inputs_ + i));
    return std::move(all);
  }

 private:
  const OperandInfo& info(int operand) const {
    return operand < inputs_ ? info_.inputs[operand] : info_.outputs[operand - inputs_];
  }
  bool is_missing(int operand) const {
    return info(operand).optional && arrays_[operand] == (operand < inputs_ ? Py_None : Py_False);
  }
  py::array array(int operand) const { return py::reinterpret_borrow<py::array>(arrays_[operand]); }

  bool fits(int operand, const Window& window) const {
    const Element of_data = element();
    if (of_data == kElementCount || (of_data == kBool && inputs_ > 0)) return false;
    return to_element(array(operand).dtype()) == operand_element(info(operand), of_data) &&
           has_operand_shape(info(operand), array(operand), window);
  }

  bool is_in_place(int output, int input) const {
    return input < inputs_ && array(output).data() == array(input).data() && info(output).access == kFull &&
           info(input).access == kFull && info(output).type == info(input).type;
  }

  void make_output(int operand, const Window& window) {
    Lengths shape;
    int rank = 0;
    for (int axis = 0; axis < window.rank; ++axis)
      if (has_axis(info(operand), axis, window.rank))
        shape[static_cast<std::size_t>(rank++)] = window.shape[axis];
    const Element wanted = operand_element(info(operand), element());
    const py::dtype dtype = wanted == kBool       ? py::dtype::of<bool>()
                            : wanted == element() ? array(0).dtype()
                                                  : py::dtype::of<float>();
    made_[operand - inputs_] = new_array(dtype, rank, shape.data());
    arrays_[operand] = made_[operand - inputs_].ptr();
  }

  const OperationInfo& info_;
  int inputs_, outputs_;
  PyObject* arrays_[kMaxOperands];
  py::object made_[kMaxOutputs];
};

// Interned when the module is made: names that Python code writes are interned too, so that nearly always one
// comparison of pointers tells.
struct Names {
  PyObject* operations[kOperationCount];
  PyObject *state, *scale, *source;
} names;

PyObject* intern(const char* text) {
  PyObject* name = PyUnicode_InternFromString(text);
  if (name == nullptr) throw py::error_already_set();
  return name;
}

py::object run_operation(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  if (count < 2) throw py::type_error("wrong number of arguments");
  const Operation operation = find_operation(arguments[0]);
  Arrays arrays(operation);
  const int constants = constant_count(kOperations[operation]);
  const Py_ssize_t needed = 2 + arrays.count() + constants;
  if (keywords != nullptr || count < needed || count > needed + 1)
    throw py::type_error("wrong number of arguments");
  if (count > needed && !PyBool_Check(arguments[needed])) throw py::type_error("wrong number of arguments");
  const bool checked = count > needed && arguments[needed] == Py_True;

  ParsedRequest parsed(operation, arguments[1], arguments + 2 + arrays.count());
  Request& request = parsed.request;
  if (!checked) {
    if (!arrays.take_contiguous(arguments + 2, request.window)) return py::none();
    request.element = arrays.element();
    arrays.put_into(request, nullptr);
    run_without_gil(request, [&] { kOperations[operation].whole_rows ? run_rows(request) : run(request); });
  } else {
    arrays.take_checked(arguments + 2, request.window);
    request.element = arrays.element();
    std::vector<std::int64_t> strides;
    arrays.put_into(request, &strides);
    const bool whole_rows = kOperations[operation].whole_rows;
    if (whole_rows) check_rows(request);
    run_without_gil(request, [&] { whole_rows ? run_rows(request) : run_strided(request); });
  }
  return arrays.result();
}

// A Python Mask, as mask.py's new_mask makes it, but 85 ns faster.
py::object new_mask(PyTypeObject* mask_class, PyObject* state, PyObject* scale) {
  auto mask = py::reinterpret_steal<py::object>(mask_class->tp_alloc(mask_class, 0));
  if (!mask || PyObject_SetAttr(mask.ptr(), names.state, state) != 0 ||
      PyObject_SetAttr(mask.ptr(), names.scale, scale) != 0)
    throw py::error_already_set();
  return mask;
}

PyTypeObject* class_of_masks(PyObject* given) {
  const auto mask_class = reinterpret_cast<PyTypeObject*>(given);
  if (!PyType_Check(given) || !PyType_HasFeature(mask_class, Py_TPFLAGS_HEAPTYPE))
    throw py::type_error("a class is needed");
  return mask_class;
}

// The MaskSource of a MaskGenerator. The first object holds it.
MaskSource& source_of(PyObject* masks, py::object& owner) {
  owner = py::reinterpret_steal<py::object>(PyObject_GetAttr(masks, names.source));
  if (!owner) throw py::error_already_set();
  return mask_source(owner.ptr());
}

// draw_mask(masks, p, shape, mask_class): the next mask of a MaskGenerator.
py::object draw_mask(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  if (count != 4 || keywords != nullptr) throw py::type_error("wrong number of arguments");
  PyTypeObject* const mask_class = class_of_masks(arguments[3]);
  py::object owner;
  MaskSource& source = source_of(arguments[0], owner);
  const double rate = PyFloat_AsDouble(arguments[1]);
  if (rate == -1 && PyErr_Occurred()) throw py::error_already_set();
  auto state =
      py::reinterpret_steal<py::object>(next_mask_state(source, arguments[1], arguments[2], Py_None));
  if (!state) throw py::error_already_set();
  return new_mask(mask_class, state.ptr(), py::float_(scale_for(rate)).ptr());
}

// dropout(x, out, masks, p, strides, mask_class): the operation with the next mask of a MaskGenerator, in one
// call.
py::object dropout(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  if (count != 6 || keywords != nullptr) throw py::type_error("wrong number of arguments");
  PyObject *x = arguments[0], *p = arguments[3], *strides = arguments[4];
  PyTypeObject* const mask_class = class_of_masks(arguments[5]);
  py::object owner;
  MaskSource& source = source_of(arguments[2], owner);
  if (!is_plain_array(x) || !PyFloat_CheckExact(p)) return py::none();
  const double rate = PyFloat_AS_DOUBLE(p);
  if (!(rate > 0 && rate <= 1)) return py::none();

  const auto array = py::reinterpret_borrow<py::array>(x);
  const Window window{0, static_cast<int>(array.ndim()), array.shape(), nullptr};
  Arrays arrays(kDropout);
  if (!arrays.take_contiguous(arguments, window)) return py::none();  // and no mask is taken
  const MaskState next{
      source.rule, {source.key[0], source.key[1]}, source.streams.take(), {rate, nullptr}, nullptr};
  const auto state =
      py::reinterpret_steal<py::object>(new_mask_state(next, window.rank, window.shape, strides));
  if (!state) throw py::error_already_set();
  const double scale = scale_for(rate);
  const py::object mask = new_mask(mask_class, state.ptr(), py::float_(scale).ptr());
  // The state's own shape: x's may change while the GIL is given up.
  Request request{kDropout, arrays.element(),  next, mask_state(state.ptr()).window(), {},
                  {},       {{scale, nullptr}}};
  arrays.put_into(request, nullptr);
  run_without_gil(request, [&request] { run(request); });
  return py::make_tuple(arrays.result(), mask);
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

// draw_blocks(corners, shape, block): the bits of a stored mask, and how many of them are kept.
py::object blocks(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  if (count != 3 || keywords != nullptr) throw py::type_error("wrong number of arguments");
  const MaskStateObject& corners = mask_state(arguments[0]);
  const int rank = corners.rank();
  const Window window = corners.window();
  constexpr const char* kWanted = "shape and block must be tuples of a length for every axis of the corners";
  Lengths shape, block;
  copy_integers(arguments[1], rank, shape.data(), kWanted);
  copy_integers(arguments[2], rank, block.data(), kWanted);
  std::uint64_t size = 1;
  for (int axis = 0; axis < rank; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    const bool is_whole = block[at] >= 1 && block[at] <= std::max(shape[at], std::int64_t{1});
    if (!is_whole || shape[at] - block[at] + 1 != window.shape[axis])
      throw std::invalid_argument("corners must be where whole blocks begin");
    size *= static_cast<std::uint64_t>(shape[at]);
  }
  if (window.start != 0 || window.strides != nullptr || corners.p != nullptr)
    throw std::invalid_argument("corners must be a whole mask of one p");
  const std::uint64_t bytes = (size + kMaxTileElements - 1) / kMaxTileElements * (kMaxTileElements / 8);
  auto bits =
      py::reinterpret_steal<py::object>(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(bytes)));
  if (!bits) throw py::error_already_set();
  // CPython's bytes begin at a multiple of 16, as malloc's memory does.
  auto* const to = reinterpret_cast<std::uint64_t*>(PyBytes_AS_STRING(bits.ptr()));
  std::memset(to, 0, bytes);
  std::uint64_t kept = 0;
  without_gil(size, [&](Interrupt* interrupt) {
    kept = draw_blocks(corners.state, rank, shape.data(), block.data(), to, interrupt);
  });
  return py::make_tuple(bits, kept);
}

// A named tuple of the extension module.
py::object named_tuple(const char* name, const py::tuple& fields) {
  return py::module_::import("collections")
      .attr("namedtuple")(name, fields, py::arg("module") = "fastdrop._core");
}

py::tuple operand_rows(const py::object& row_type, const OperandInfo* operands, int count) {
  constexpr const char* kAccessNames[] = {"full", "per column", "per row"};
  constexpr const char* kTypeNames[] = {"element", "compute"};
  py::tuple rows(static_cast<py::ssize_t>(count));
  for (int i = 0; i < count; ++i)
    rows[static_cast<std::size_t>(i)] = row_type(operands[i].name, kAccessNames[operands[i].access],
                                                 kTypeNames[operands[i].type], operands[i].optional);
  return rows;
}

// The operations' rows, as data for the package, the tests and the benchmark.
void add_operation_rows(py::module_& module) {
  constexpr const char* kDrawNames[] = {"from bytes", "inline", "normals"};
  const py::object operand_row =
      named_tuple("OperandInfo", py::make_tuple("name", "access", "type", "optional"));
  const py::object operation_row =
      named_tuple("OperationInfo", py::make_tuple("inputs", "outputs", "constants", "whole_rows", "draw"));
  py::dict rows;
  for (const OperationInfo& info : kOperations) {
    py::tuple constants(static_cast<py::ssize_t>(constant_count(info)));
    for (int i = 0; i < constant_count(info); ++i)
      constants[static_cast<std::size_t>(i)] = info.constants[i].name;
    rows[info.name] = operation_row(operand_rows(operand_row, info.inputs, operand_count(info.inputs)),
                                    operand_rows(operand_row, info.outputs, operand_count(info.outputs)),
                                    constants, info.whole_rows, kDrawNames[info.draw]);
  }
  module.attr("OperandInfo") = operand_row;
  module.attr("OperationInfo") = operation_row;
  module.attr("operations") = rows;
}

}  // namespace

Operation find_operation(PyObject* name) {
  for (int i = 0; i < kOperationCount; ++i)
    if (names.operations[i] == name) return static_cast<Operation>(i);
  for (int i = 0; i < kOperationCount; ++i)
    if (PyUnicode_Check(name) && PyUnicode_Compare(names.operations[i], name) == 0)
      return static_cast<Operation>(i);
  throw std::invalid_argument("no such operation");
}

void add_operations(py::module_& module) {
  for (int i = 0; i < kOperationCount; ++i) names.operations[i] = intern(kOperations[i].name);
  names.state = intern("_state"), names.scale = intern("_scale"), names.source = intern("_source");
  static PyMethodDef methods[] = {
      fastcall_method<run_operation>(
          "run",
          "run($module, operation, mask, /, *arguments)\n--\n\n"
          "Run an operation on its inputs, outputs and constants, in the order of its entry in "
          "operations.\n\n"
          "An output that is None is made. Returns the outputs, or None if an array needs Python's\n"
          "attention. One argument more, True, says that Python has checked the arrays. Then they may\n"
          "have any layout."),
      fastcall_method<dropout>(
          "dropout",
          "dropout($module, x, out, masks, p, strides, mask_class, /)\n--\n\n"
          "The result of \"dropout\" with the next mask of a MaskGenerator, and that mask.\n\n"
          "Returns None, and takes no mask, if an array or p needs Python's attention."),
      fastcall_method<draw_mask>("draw_mask",
                                 "draw_mask($module, masks, p, shape, mask_class, /)\n--\n\n"
                                 "The next mask of a MaskGenerator, of one p."),
      fastcall_method<blocks>(
          "draw_blocks",
          "draw_blocks($module, corners, shape, block, /)\n--\n\n"
          "DropBlock's decisions for an array of that shape: the bits of a stored mask, and how many are "
          "kept.\n\n"
          "The corners are a whole mask, of the elements at which a whole block can begin."),
      {nullptr, nullptr, 0, nullptr}};
  if (PyModule_AddFunctions(module.ptr(), methods) != 0) throw py::error_already_set();
  add_operation_rows(module);
  module.def("generate", &generate, "Words of consecutive generator blocks, on the ISA in use; for tests.");
}

}  // namespace fastdrop
