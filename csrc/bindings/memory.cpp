// SPDX-License-Identifier: BSD-3-Clause
#include "memory.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "../runtime/check_rows.h"
#include "../runtime/operands.h"
#include "../runtime/run.h"
#include "../runtime/run_rows.h"
#include "../runtime/run_strided.h"
#include "fastcall.h"
#include "gil.h"
#include "mask_state.h"
#include "operations.h"
#include "parsed_request.h"
#include "python_types.h"

namespace fastdrop {
namespace {

void* address_of(PyObject* number) {
  void* address = PyLong_AsVoidPtr(number);
  if (address == nullptr && PyErr_Occurred()) throw py::error_already_set();
  return address;
}

// key_state(generator, address, p, shape, strides): the mask of the 16 bytes that lie there as its key.
py::object key_state(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  if (count != 5 || keywords != nullptr) throw py::type_error("wrong number of arguments");
  const std::int64_t rule = integer(arguments[0], "no such generator");
  if (rule < 0 || rule >= kGeneratorCount) throw std::invalid_argument("no such generator");
  MaskState state{static_cast<KeepRule>(rule), {}, 0, {}, nullptr};
  const void* key = address_of(arguments[1]);
  if (key == nullptr) throw std::invalid_argument("no memory is there");
  std::memcpy(state.key, key, sizeof state.key);
  auto mask = py::reinterpret_steal<py::object>(
      new_mask_state(state, 0, arguments[2], arguments[3], arguments[4], Py_None));
  if (!mask) throw py::error_already_set();
  return mask;
}

// An operand that lies somewhere in memory: an address, and None for contiguous elements or a stride for
// every axis, counted in elements. False: only the strided walk can read it.
bool take_memory(PyObject* address, PyObject* given_strides, const OperandInfo& info, const Request& request,
                 Operand& operand, std::int64_t* strides) {
  const Window& window = request.window;
  operand = {address_of(address), nullptr, false};
  if (operand.data == nullptr && info.optional) return true;
  operand.strides = strides;
  const bool is_contiguous = given_strides == Py_None;
  if (!is_contiguous) parse_strides(given_strides, window.rank, strides);
  // Modulo 2^64, as addresses are. A host may say anything along an axis of one element, or of no elements.
  const std::uint64_t bytes = item_bytes(info, request.element);
  std::uint64_t next = 1;
  bool has_items = true;
  for (int axis = window.rank - 1; axis >= 0; --axis) {
    std::int64_t& stride = strides[axis];
    const bool is_there = has_axis(info, axis, window.rank);
    const std::uint64_t items = !is_there ? 0 : is_contiguous ? next : static_cast<std::uint64_t>(stride);
    stride = static_cast<std::int64_t>(items * bytes);
    if (!is_there) continue;
    next *= static_cast<std::uint64_t>(window.shape[axis]);
    has_items &= window.shape[axis] > 0;
  }
  // A row without elements has a value per row all the same.
  if (operand.data == nullptr && has_items) throw std::invalid_argument("no memory is there");
  return is_contiguous && reinterpret_cast<std::uintptr_t>(operand.data) % bytes == 0;
}

// run_memory(operation, mask, element, address, strides, ..., constants...): as `run`, on memory of others.
py::object run_memory(PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  if (count < 3 || keywords != nullptr) throw py::type_error("wrong number of arguments");
  const Operation operation = find_operation(arguments[0]);
  const OperationInfo& info = kOperations[operation];
  const int inputs = operand_count(info.inputs), operands = inputs + operand_count(info.outputs);
  if (count != 3 + 2 * operands + constant_count(info)) throw py::type_error("wrong number of arguments");
  if (inputs == 0) throw std::invalid_argument("an operation without inputs makes bytes, of no element type");
  ParsedRequest parsed(operation, arguments[1], arguments + 3 + 2 * operands);
  Request& request = parsed.request;
  const std::int64_t element = integer(arguments[2], "no such element type");
  if (element < 0 || element >= kBool) throw std::invalid_argument("no such element type");
  request.element = static_cast<Element>(element);

  const auto rank = static_cast<std::size_t>(request.window.rank);
  std::vector<std::int64_t> strides(static_cast<std::size_t>(operands) * rank);
  bool direct = true;
  for (int i = 0; i < operands; ++i) {
    PyObject* const* given = arguments + 3 + 2 * i;
    Operand& operand = i < inputs ? request.inputs[i] : request.outputs[i - inputs];
    const OperandInfo& row = i < inputs ? info.inputs[i] : info.outputs[i - inputs];
    direct &= take_memory(given[0], given[1], row, request, operand,
                          strides.data() + static_cast<std::size_t>(i) * rank);
  }
  if (info.whole_rows) check_rows(request);
  run_without_gil(request, [&] {
    if (info.whole_rows)
      run_rows(request);
    else
      direct ? run(request) : run_strided(request);
  });
  return py::none();
}

}  // namespace

void add_memory(py::module_& module) {
  static PyMethodDef methods[] = {
      fastcall_method<key_state>(
          "key_state",
          "key_state($module, generator, address, p, shape, strides, /)\n--\n\n"
          "A MaskState of stream 0, whose key is read from that address: two numbers of 64 bits."),
      fastcall_method<run_memory>(
          "run_memory",
          "run_memory($module, operation, mask, element, /, *arguments)\n--\n\n"
          "Run an operation on memory of other libraries, which the caller has checked.\n\n"
          "`element` is an index of `elements`. Two arguments for every operand: its address (0 for an\n"
          "optional one that is absent or not wanted), and None if it is contiguous or a tuple of strides\n"
          "in elements. Then the constants."),
      {nullptr, nullptr, 0, nullptr}};
  if (PyModule_AddFunctions(module.ptr(), methods) != 0) throw py::error_already_set();
  module.attr("elements") = py::make_tuple("float32", "float64", "float16", "bfloat16");
}

}  // namespace fastdrop
