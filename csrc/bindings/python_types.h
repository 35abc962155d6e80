// SPDX-License-Identifier: BSD-3-Clause
// What the core's own types have in common. They are written in Python's C interface: an instance of a
// pybind11 class takes 20 ns longer to find (docs/performance-log.md).
#pragma once
#include <Python.h>

#include <cstdint>
#include <stdexcept>

namespace fastdrop {

inline PyObject* raise_value_error(const char* message) {
  PyErr_SetString(PyExc_ValueError, message);
  return nullptr;
}

// What `function` returns, or a ValueError where it refuses.
template <class Function>
PyObject* or_value_error(const Function& function) {
  try {
    return function();
  } catch (const std::invalid_argument& error) {
    return raise_value_error(error.what());
  } catch (const std::exception&) {
    return PyErr_NoMemory();  // nothing else is thrown
  }
}

// Throws std::invalid_argument with that message if the object is no integer of 64 bits.
inline std::int64_t integer(PyObject* object, const char* message) {
  const std::int64_t value = PyLong_AsLongLong(object);
  if (value != -1 || !PyErr_Occurred()) return value;
  PyErr_Clear();
  throw std::invalid_argument(message);
}

// Converts a tuple of that many integers, and throws as integer() does.
inline void copy_integers(PyObject* from, int count, std::int64_t* to, const char* message) {
  if (!PyTuple_Check(from) || PyTuple_GET_SIZE(from) != count) throw std::invalid_argument(message);
  for (int i = 0; i < count; ++i) to[i] = integer(PyTuple_GET_ITEM(from, i), message);
}

// None is for the caller to see.
inline void parse_strides(PyObject* from, int rank, std::int64_t* to) {
  copy_integers(from, rank, to, "strides must be None or an integer for every axis");
}

inline PyObject* key_tuple(const std::uint64_t key[2]) {
  return Py_BuildValue("(KK)", static_cast<unsigned long long>(key[0]),
                       static_cast<unsigned long long>(key[1]));
}

// A converter for PyArg_Parse functions.
inline int to_uint64(PyObject* object, void* to) {
  const unsigned long long value = PyLong_AsUnsignedLongLong(object);
  if (value == ~0ull && PyErr_Occurred()) return 0;
  *static_cast<std::uint64_t*>(to) = value;
  return 1;
}

// As Python's documentation casts what takes METH_FASTCALL.
inline PyCFunction as_function(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

// For types whose objects own no other Python object. A heap type counts its instances.
inline void free_object(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  type->tp_free(object);
  Py_DECREF(type);
}

// Makes a type and adds it to the module by its own name. False, with a Python exception set, if that fails.
inline bool add_type(PyObject* module, PyType_Spec& spec, PyTypeObject*& type) {
  PyObject* made = PyType_FromModuleAndSpec(module, &spec, nullptr);
  type = reinterpret_cast<PyTypeObject*>(made);
  return made != nullptr && PyModule_AddType(module, type) == 0;
}

}  // namespace fastdrop
