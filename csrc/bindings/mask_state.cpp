// SPDX-License-Identifier: BSD-3-Clause
#include "mask_state.h"

#include <cstddef>
#include <iterator>
#include <stdexcept>

#include "../shared/tile.h"
#include "python_types.h"

namespace fastdrop {
namespace {

PyTypeObject* type = nullptr;

MaskStateObject& self(PyObject* object) { return *reinterpret_cast<MaskStateObject*>(object); }

// How many items a sequence must have so that a window stays inside: 0 for a window without elements, and the
// greatest number for a window that begins before the sequence or has more than 2^63 elements.
std::uint64_t items_reached(const Window& window) {
  constexpr std::uint64_t most = std::uint64_t{1} << 63;
  for (int axis = 0; axis < window.rank; ++axis)
    if (window.shape[axis] == 0) return 0;
  std::uint64_t elements = 1;
  auto lowest = static_cast<__int128>(window.start), highest = lowest;
  for (int axis = window.rank - 1; axis >= 0; --axis) {
    const auto length = static_cast<std::uint64_t>(window.shape[axis]);
    const __int128 stride =
        window.strides == nullptr ? static_cast<__int128>(elements) : window.strides[axis];
    if (length > most / elements) return ~std::uint64_t{0};
    elements *= length;
    (stride < 0 ? lowest : highest) += static_cast<__int128>(length - 1) * stride;
  }
  return lowest < 0 || highest >= most ? ~std::uint64_t{0} : static_cast<std::uint64_t>(highest) + 1;
}

std::uint64_t bytes_in(PyObject* bytes) { return static_cast<std::uint64_t>(PyBytes_GET_SIZE(bytes)); }

// A whole mask of that many axes whose lengths are missing. Null with a Python exception set if there is no
// memory.
MaskStateObject* allocate(int rank) {
  MaskStateObject* mask = PyObject_NewVar(MaskStateObject, type, rank);
  if (mask == nullptr) return nullptr;
  mask->state = {};
  mask->start = 0, mask->c_order = true, mask->p = nullptr, mask->bits = nullptr;
  return mask;
}

void fill(MaskStateObject& mask, PyObject* p, PyObject* shape, PyObject* strides, PyObject* bits) {
  const int rank = mask.rank();
  copy_integers(shape, rank, mask.axes, "shape must be a tuple of integers");
  for (int axis = 0; axis < rank; ++axis)
    if (mask.axes[axis] < 0) throw std::invalid_argument("shape must have no negative length");
  mask.c_order = strides == Py_None;
  if (!mask.c_order) parse_strides(strides, rank, mask.axes + rank);
  ValueArgument checked;
  const Value value = checked.parse(p, mask.window());
  mask.state.p = {value.constant, nullptr};
  if (value.varying != nullptr)
    mask.p = Py_NewRef(p);
  else if (!(value.constant > -1 && value.constant <= 1))
    throw std::invalid_argument("p must be from 0 to 1, or minus a probability of keeping");
  if (mask.state.rule != kStored) {
    if (bits != Py_None) throw std::invalid_argument("bits must be None, since a generator draws this mask");
    return;
  }
  // All that the window reaches must be there, up to the end of the last tile.
  const std::uint64_t tiles = items_reached(mask.window()) / kMaxTileElements;
  const bool last_is_whole = items_reached(mask.window()) % kMaxTileElements == 0;
  if (!PyBytes_Check(bits) || tiles + (last_is_whole ? 0 : 1) > bytes_in(bits) / (kMaxTileElements / 8))
    throw std::invalid_argument("bits must be bytes that hold whole tiles, as far as the window reaches");
  mask.bits = Py_NewRef(bits);
  mask.state.bits = reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(bits));
}

PyObject* create(PyTypeObject*, PyObject* arguments, PyObject* keywords) {
  static const char* names[] = {"generator", "key",     "stream", "p",    "start",
                                "shape",     "strides", "bits",   nullptr};
  long rule;
  std::uint64_t key[2], stream, start;
  PyObject *p, *shape, *strides, *bits;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "l(O&O&)O&OO&OOO", const_cast<char**>(names), &rule,
                                   to_uint64, &key[0], to_uint64, &key[1], to_uint64, &stream, &p, to_uint64,
                                   &start, &shape, &strides, &bits))
    return nullptr;
  if (rule < 0 || rule >= kMaskRuleCount) return raise_value_error("no such generator");
  const MaskState state{static_cast<KeepRule>(rule), {key[0], key[1]}, stream, {}, nullptr};
  return or_value_error([&] { return new_mask_state(state, start, p, shape, strides, bits); });
}

void destroy(PyObject* object) {
  Py_XDECREF(self(object).p);
  Py_XDECREF(self(object).bits);
  free_object(object);
}

PyObject* integers(const std::int64_t* from, int count) {
  PyObject* tuple = PyTuple_New(count);
  for (int i = 0; tuple != nullptr && i < count; ++i) {
    PyObject* item = PyLong_FromLongLong(from[i]);
    if (item == nullptr)
      Py_CLEAR(tuple);
    else
      PyTuple_SET_ITEM(tuple, i, item);
  }
  return tuple;
}

PyObject* get_generator(PyObject* object, void*) { return PyLong_FromLong(self(object).state.rule); }
PyObject* get_key(PyObject* object, void*) { return key_tuple(self(object).state.key); }
PyObject* get_stream(PyObject* object, void*) {
  return PyLong_FromUnsignedLongLong(self(object).state.stream);
}
PyObject* get_p(PyObject* object, void*) {
  const MaskStateObject& mask = self(object);
  return mask.p != nullptr ? Py_NewRef(mask.p) : PyFloat_FromDouble(mask.state.p.constant);
}
PyObject* get_start(PyObject* object, void*) { return PyLong_FromUnsignedLongLong(self(object).start); }
PyObject* get_shape(PyObject* object, void*) { return integers(self(object).axes, self(object).rank()); }
PyObject* get_strides(PyObject* object, void*) {
  const MaskStateObject& mask = self(object);
  return mask.c_order ? Py_NewRef(Py_None) : integers(mask.axes + mask.rank(), mask.rank());
}
PyObject* get_bits(PyObject* object, void*) {
  return Py_NewRef(self(object).bits != nullptr ? self(object).bits : Py_None);
}

PyGetSetDef fields[] = {
    {"generator", get_generator, nullptr, "Place of the generator, or of \"stored\", in _core.rules.",
     nullptr},
    {"key", get_key, nullptr, "The key's two 64-bit halves, the lower one first.", nullptr},
    {"stream", get_stream, nullptr, "Which mask of that key.", nullptr},
    {"p", get_p, nullptr, "Probability of dropping: a float, or a Broadcast where it varies.", nullptr},
    {"start", get_start, nullptr, "Index, in the whole mask, of the window's first element.", nullptr},
    {"shape", get_shape, nullptr, "Lengths of the window's axes.", nullptr},
    {"strides", get_strides, nullptr, "Strides in index space, or None for those of C order.", nullptr},
    {"bits", get_bits, nullptr, "Bits of a stored mask, in whole tiles; otherwise None.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

// The fields in the constructor's order.
PyObject* as_tuple(PyObject* object) {
  PyObject* tuple = PyTuple_New(std::size(fields) - 1);  // the last one ends the array
  for (int i = 0; tuple != nullptr && fields[i].name != nullptr; ++i) {
    PyObject* field = fields[i].get(object, nullptr);
    if (field == nullptr)
      Py_CLEAR(tuple);
    else
      PyTuple_SET_ITEM(tuple, i, field);
  }
  return tuple;
}

Py_hash_t hash(PyObject* object) {
  PyObject* tuple = as_tuple(object);
  if (tuple == nullptr) return -1;
  const Py_hash_t result = PyObject_Hash(tuple);
  Py_DECREF(tuple);
  return result;
}

PyObject* compare(PyObject* a, PyObject* b, int operation) {
  if ((operation != Py_EQ && operation != Py_NE) || !PyObject_TypeCheck(b, type)) Py_RETURN_NOTIMPLEMENTED;
  PyObject *first = as_tuple(a), *second = as_tuple(b), *result = nullptr;
  if (first != nullptr && second != nullptr) result = PyObject_RichCompare(first, second, operation);
  Py_XDECREF(first);
  Py_XDECREF(second);
  return result;
}

PyObject* repr(PyObject* object) {
  PyObject* tuple = as_tuple(object);
  if (tuple == nullptr) return nullptr;
  PyObject* text = PyUnicode_FromFormat("MaskState%R", tuple);
  Py_DECREF(tuple);
  return text;
}

PyObject* reduce(PyObject* object, PyObject*) {
  PyObject* tuple = as_tuple(object);
  return tuple == nullptr ? nullptr : Py_BuildValue("(ON)", type, tuple);
}

PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(create)},
    {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
    {Py_tp_getset, fields},
    {Py_tp_methods, methods},
    {Py_tp_hash, reinterpret_cast<void*>(hash)},
    {Py_tp_richcompare, reinterpret_cast<void*>(compare)},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_doc,
     const_cast<char*>("MaskState(generator, key, stream, p, start, shape, strides, bits)\n--\n\n"
                       "Who is kept: all that a mask's decisions depend on, and nothing of what is done.")},
    {0, nullptr}};
PyType_Spec spec = {"fastdrop._core.MaskState", offsetof(MaskStateObject, axes), 2 * sizeof(std::int64_t),
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, slots};

}  // namespace

Value ValueArgument::parse(PyObject* object, const Window& window) {
  if (!PyTuple_Check(object)) {
    const double value = PyFloat_AsDouble(object);
    if (value == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      throw std::invalid_argument("a value must be a float or a Broadcast");
    }
    return {value, nullptr};
  }
  if (PyTuple_GET_SIZE(object) != 3 || !PyBytes_Check(PyTuple_GET_ITEM(object, 0)))
    throw std::invalid_argument("a Broadcast must be values, a start and strides");
  PyObject* values = PyTuple_GET_ITEM(object, 0);
  const std::int64_t start = integer(PyTuple_GET_ITEM(object, 1), "a Broadcast's start must be an integer");
  copy_integers(PyTuple_GET_ITEM(object, 2), window.rank, strides_.data(),
                "a Broadcast must have a stride for every axis");
  varying_ = {PyBytes_AS_STRING(values),
              {static_cast<std::uint64_t>(start), window.rank, window.shape, strides_.data()}};
  if (start < 0 || items_reached(varying_.window) > bytes_in(values) / sizeof(double))
    throw std::invalid_argument("a Broadcast must have the values that its window reaches");
  return {0, &varying_};
}

bool add_mask_state(PyObject* module) { return add_type(module, spec, type); }

const MaskStateObject& mask_state(PyObject* object) {
  if (!PyObject_TypeCheck(object, type)) throw std::invalid_argument("a mask must be a MaskState");
  return self(object);
}

PyObject* new_mask_state(const MaskState& state, std::uint64_t start, PyObject* p, PyObject* shape,
                         PyObject* strides, PyObject* bits) {
  if (!PyTuple_Check(shape) || PyTuple_GET_SIZE(shape) > kMaxRank)
    throw std::invalid_argument("shape must be a tuple of at most 64 lengths");
  MaskStateObject* mask = allocate(static_cast<int>(PyTuple_GET_SIZE(shape)));
  if (mask == nullptr) return nullptr;
  mask->state = state;
  mask->start = start;
  try {
    fill(*mask, p, shape, strides, bits);
  } catch (const std::invalid_argument&) {
    Py_DECREF(mask);
    throw;
  }
  return reinterpret_cast<PyObject*>(mask);
}

PyObject* new_mask_state(const MaskState& state, int rank, const std::int64_t* shape, PyObject* strides) {
  MaskStateObject* mask = allocate(rank);
  if (mask == nullptr) return nullptr;
  mask->state = state;
  for (int axis = 0; axis < rank; ++axis) mask->axes[axis] = shape[axis];
  mask->c_order = strides == Py_None;
  try {
    if (!mask->c_order) parse_strides(strides, rank, mask->axes + rank);
  } catch (const std::invalid_argument&) {
    Py_DECREF(mask);
    throw;
  }
  return reinterpret_cast<PyObject*>(mask);
}

}  // namespace fastdrop
