// SPDX-License-Identifier: BSD-3-Clause
#include "mask_source.h"

#include <new>

#include "mask_state.h"
#include "python_types.h"

namespace fastdrop {
namespace {

PyTypeObject* type = nullptr;

PyObject* create(PyTypeObject* subtype, PyObject* arguments, PyObject* keywords) {
  static const char* names[] = {"generator", "key", "handed_out", nullptr};
  long rule;
  std::uint64_t key[2], handed_out;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "l(O&O&)O&", const_cast<char**>(names), &rule,
                                   to_uint64, &key[0], to_uint64, &key[1], to_uint64, &handed_out))
    return nullptr;
  if (rule < 0 || rule >= kGeneratorCount) return raise_value_error("no such generator");
  PyObject* self = subtype->tp_alloc(subtype, 0);
  if (self == nullptr) return nullptr;
  auto* source = reinterpret_cast<MaskSource*>(self);
  source->rule = static_cast<KeepRule>(rule);
  source->key[0] = key[0], source->key[1] = key[1];
  new (&source->streams) StreamCounter(handed_out);
  return self;
}

MaskSource& self(PyObject* object) { return *reinterpret_cast<MaskSource*>(object); }

PyObject* get_generator(PyObject* object, void*) { return PyLong_FromLong(self(object).rule); }
PyObject* get_key(PyObject* object, void*) { return key_tuple(self(object).key); }
PyObject* get_handed_out(PyObject* object, void*) {
  return PyLong_FromUnsignedLongLong(self(object).streams.handed_out());
}

PyObject* draw(PyObject* object, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 3) {
    PyErr_SetString(PyExc_TypeError, "draw takes p, shape and strides");
    return nullptr;
  }
  return or_value_error(
      [&] { return next_mask_state(self(object), arguments[0], arguments[1], arguments[2]); });
}

PyGetSetDef fields[] = {
    {"generator", get_generator, nullptr, "Place of the generator in _core.generators.", nullptr},
    {"key", get_key, nullptr, "The key's two 64-bit halves, the lower one first.", nullptr},
    {"handed_out", get_handed_out, nullptr, "How many streams: the number of the next.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef methods[] = {{"draw", as_function(draw), METH_FASTCALL,
                          "draw($self, p, shape, strides, /)\n--\n\nThe state of the next stream."},
                         {nullptr, nullptr, 0, nullptr}};
PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(create)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(free_object)},
                       {Py_tp_getset, fields},
                       {Py_tp_methods, methods},
                       {Py_tp_doc, const_cast<char*>("MaskSource(generator, key, handed_out)\n--\n\n"
                                                     "A generator, a key, and the streams handed out.")},
                       {0, nullptr}};
PyType_Spec spec = {"fastdrop._core.MaskSource", sizeof(MaskSource), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, slots};

}  // namespace

bool add_mask_source(PyObject* module) { return add_type(module, spec, type); }

PyObject* next_mask_state(MaskSource& source, PyObject* p, PyObject* shape, PyObject* strides) {
  const MaskState state{source.rule, {source.key[0], source.key[1]}, 0, {}, nullptr};
  PyObject* mask = new_mask_state(state, 0, p, shape, strides, Py_None);
  if (mask == nullptr) return nullptr;
  try {  // only now, so that what is refused takes no stream
    reinterpret_cast<MaskStateObject*>(mask)->state.stream = source.streams.take();
  } catch (const std::invalid_argument&) {
    Py_DECREF(mask);
    throw;
  }
  return mask;
}

MaskSource& mask_source(PyObject* object) {
  if (!PyObject_TypeCheck(object, type)) throw std::invalid_argument("a source must be a MaskSource");
  return self(object);
}

}  // namespace fastdrop
