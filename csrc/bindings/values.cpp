// SPDX-License-Identifier: BSD-3-Clause
#include "values.h"

#include <algorithm>
#include <cstring>

#include "../runtime/floating_point.h"
#include "../runtime/threshold.h"
#include "../runtime/tuning.h"
#include "python_types.h"

namespace fastdrop {
namespace {

constexpr Py_ssize_t kItem = sizeof(double);

// Calls work(first, last), places in bytes, for pieces of an array of that many bytes. Handlers of signals
// run between them; false if one of these raises an exception.
template <class Work>
bool in_pieces(Py_ssize_t bytes, const Work& work) {
  constexpr Py_ssize_t kPiece = kPieceElements * kItem;
  for (Py_ssize_t first = 0; first < bytes; first += kPiece) {
    if (first > 0 && PyErr_CheckSignals() != 0) return false;
    work(first, std::min(first + kPiece, bytes));
  }
  return true;
}

double value_at(const char* values, Py_ssize_t place) {
  double value;  // where a user's array begins at any byte
  std::memcpy(&value, values + place, sizeof value);
  return value;
}

// Whether every value of a C-contiguous buffer of float64 is from 0 to 1.
PyObject* are_probabilities(PyObject*, PyObject* values) {
  Py_buffer view;
  if (PyObject_GetBuffer(values, &view, PyBUF_C_CONTIGUOUS) != 0) return nullptr;
  const auto* const from = static_cast<const char*>(view.buf);
  int others = 0;
  const bool is_done = in_pieces(view.len / kItem * kItem, [&](Py_ssize_t first, Py_ssize_t last) {
    const DefaultFloatingPoint environment;
    for (Py_ssize_t at = first; at < last; at += kItem)
      others |= !(value_at(from, at) >= 0) | !(value_at(from, at) <= 1);
  });
  PyBuffer_Release(&view);
  return is_done ? PyBool_FromLong(others == 0) : nullptr;
}

// The bytes of a C-contiguous buffer of float64.
PyObject* value_bytes(PyObject*, PyObject* values) {
  Py_buffer view;
  if (PyObject_GetBuffer(values, &view, PyBUF_C_CONTIGUOUS) != 0) return nullptr;
  PyObject* made = PyBytes_FromStringAndSize(nullptr, view.len);
  if (made != nullptr && !in_pieces(view.len, [&](Py_ssize_t first, Py_ssize_t last) {
        std::memcpy(PyBytes_AS_STRING(made) + first, static_cast<const char*>(view.buf) + first,
                    static_cast<std::size_t>(last - first));
      }))
    Py_CLEAR(made);
  PyBuffer_Release(&view);
  return made;
}

PyObject* scale(PyObject*, PyObject* rate) {
  if (!PyFloat_Check(rate)) return raise_value_error("a rate must be a float");
  const DefaultFloatingPoint environment;
  return PyFloat_FromDouble(scale_for(PyFloat_AS_DOUBLE(rate)));
}

// The scale of every rate: bytes of float64, from the same.
PyObject* scales(PyObject*, PyObject* rates) {
  if (!PyBytes_Check(rates)) return raise_value_error("rates must be bytes");
  PyObject* made = PyBytes_FromStringAndSize(nullptr, PyBytes_GET_SIZE(rates));
  if (made == nullptr) return nullptr;
  const char* const from = PyBytes_AS_STRING(rates);
  char* const to = PyBytes_AS_STRING(made);
  const Py_ssize_t bytes = PyBytes_GET_SIZE(rates) / kItem * kItem;
  if (!in_pieces(bytes, [&](Py_ssize_t first, Py_ssize_t last) {
        const DefaultFloatingPoint environment;
        for (Py_ssize_t at = first; at < last; at += kItem) {
          const double scale = scale_for(value_at(from, at));
          std::memcpy(to + at, &scale, sizeof scale);
        }
      }))
    Py_CLEAR(made);
  return made;
}

PyMethodDef methods[] = {
    {"are_probabilities", are_probabilities, METH_O,
     "are_probabilities($module, values, /)\n--\n\nWhether all float64 of a contiguous buffer are from 0 to "
     "1."},
    {"value_bytes", value_bytes, METH_O,
     "value_bytes($module, values, /)\n--\n\nThe float64 of a contiguous buffer, as bytes."},
    {"scale", scale, METH_O,
     "scale($module, rate, /)\n--\n\nWhat is kept is multiplied by that, for one rate."},
    {"scales", scales, METH_O,
     "scales($module, rates, /)\n--\n\nWhat is kept is multiplied by that: float64 as bytes, for rates as "
     "bytes."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

bool add_values(PyObject* module) { return PyModule_AddFunctions(module, methods) == 0; }

}  // namespace fastdrop
