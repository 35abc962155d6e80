// SPDX-License-Identifier: BSD-3-Clause
#include "mask_state.h"

#include <cstddef>
#include <cstring>
#include <iterator>
#include <stdexcept>

#include "../runtime/floating_point.h"
#include "../shared/tile.h"
#include "python_types.h"

namespace fastdrop {
namespace {

PyTypeObject* type = nullptr;

MaskStateObject& self(PyObject* object) { return *reinterpret_cast<MaskStateObject*>(object); }

constexpr std::uint64_t kIndices = std::uint64_t{1} << 63;  // stream document, section 2

// The items of a sequence that a window reaches: from `first` to before `end`.
struct Reach {
  std::uint64_t first, end;
};

// Nothing for a window without elements. An end that no sequence has for a window that begins before the
// sequence, or reaches an item beyond 2^63, or has more than 2^63 elements.
Reach items_reached(const Window& window) {
  constexpr Reach outside = {0, ~std::uint64_t{0}};
  for (int axis = 0; axis < window.rank; ++axis)
    if (window.shape[axis] == 0) return {0, 0};
  std::uint64_t elements = 1;
  auto lowest = static_cast<__int128>(window.start), highest = lowest;
  for (int axis = window.rank - 1; axis >= 0; --axis) {
    const auto length = static_cast<std::uint64_t>(window.shape[axis]);
    const __int128 stride =
        window.strides == nullptr ? static_cast<__int128>(elements) : window.strides[axis];
    if (length > kIndices / elements) return outside;
    elements *= length;
    // At most 2^126 along all axes together: the lengths' product, and so the sum of what is left of each
    // without 1, is at most 2^63.
    (stride < 0 ? lowest : highest) += static_cast<__int128>(length - 1) * stride;
  }
  if (lowest < 0 || highest >= kIndices) return outside;
  return {static_cast<std::uint64_t>(lowest), static_cast<std::uint64_t>(highest) + 1};
}

std::uint64_t bytes_in(PyObject* bytes) { return static_cast<std::uint64_t>(PyBytes_GET_SIZE(bytes)); }

// Neither takes a NaN.
bool is_rate(double value) { return value > -1 && value <= 1; }
bool is_scale(double value) { return value >= 0; }

// Whether a value is of that kind, wherever its window reaches.
template <class Predicate>
bool all_of(const Value& value, const Predicate& is_right) {
  if (value.varying == nullptr) return is_right(value.constant);
  const Reach reach = items_reached(value.varying->window);
  for (std::uint64_t at = reach.first; at < reach.end; ++at) {
    double each;  // where bytes begin anywhere
    std::memcpy(&each, value.varying->values + at * sizeof each, sizeof each);
    if (!is_right(each)) return false;
  }
  return true;
}

// Neither a user's strides nor those of a state that was saved lead out of the indices that there are.
void check_window(const Window& window) {
  if (items_reached(window).end > kIndices)
    throw std::invalid_argument("start, shape and strides must stay among the indices from 0 to 2**63 - 1");
}

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
  if (value.varying != nullptr) mask.p = Py_NewRef(p);
  if (!all_of(value, is_rate))
    throw std::invalid_argument("p must be from 0 to 1, or minus a probability of keeping");
  check_window(mask.window());
  if (mask.state.rule != kStored) {
    if (bits != Py_None) throw std::invalid_argument("bits must be None, since a generator draws this mask");
    return;
  }
  // All that the window reaches must be there, up to the end of the last tile.
  const std::uint64_t tiles = (items_reached(mask.window()).end + kMaxTileElements - 1) / kMaxTileElements;
  if (!PyBytes_Check(bits) || tiles > bytes_in(bits) / (kMaxTileElements / 8))
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
  if (stream >= kIndices) return raise_value_error("stream must be less than 2**63");
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

// Two of a state's numbers may be subnormal. Where the caller flushes those to zero, they would be equal.
Py_hash_t hash(PyObject* object) {
  const DefaultFloatingPoint environment;
  PyObject* tuple = as_tuple(object);
  if (tuple == nullptr) return -1;
  const Py_hash_t result = PyObject_Hash(tuple);
  Py_DECREF(tuple);
  return result;
}

PyObject* compare(PyObject* a, PyObject* b, int operation) {
  if ((operation != Py_EQ && operation != Py_NE) || !PyObject_TypeCheck(b, type)) Py_RETURN_NOTIMPLEMENTED;
  const DefaultFloatingPoint environment;
  PyObject *first = as_tuple(a), *second = as_tuple(b), *result = nullptr;
  if (first != nullptr && second != nullptr) result = PyObject_RichCompare(first, second, operation);
  Py_XDECREF(first);
  Py_XDECREF(second);
  return result;
}

PyObject* repr(PyObject* object) {
  const DefaultFloatingPoint environment;
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

// check_mask(mask, scale): refuses what is no mask, or no scale for what it keeps.
PyObject* check_mask(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 2) {
    PyErr_SetString(PyExc_TypeError, "check_mask takes a mask and its scale");
    return nullptr;
  }
  return or_value_error([arguments] {
    PyObject* scale = arguments[1];
    const MaskStateObject& mask = mask_state(arguments[0]);
    if (!PyFloat_CheckExact(scale) && !PyTuple_Check(scale))
      throw std::invalid_argument("a scale must be a float or a Broadcast");
    ValueArgument checked;
    if (!all_of(checked.parse(scale, mask.window()), is_scale))
      throw std::invalid_argument("a scale must be at least 0");
    return Py_NewRef(Py_None);
  });
}

PyMethodDef functions[] = {{"check_mask", as_function(check_mask), METH_FASTCALL,
                            "check_mask($module, mask, scale, /)\n--\n\n"
                            "Refuse what is no MaskState, or no scale for what it keeps."},
                           {nullptr, nullptr, 0, nullptr}};
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
  strides_.resize(static_cast<std::size_t>(window.rank));
  copy_integers(PyTuple_GET_ITEM(object, 2), window.rank, strides_.data(),
                "a Broadcast must have a stride for every axis");
  varying_ = {PyBytes_AS_STRING(values),
              {static_cast<std::uint64_t>(start), window.rank, window.shape, strides_.data()}};
  if (start < 0 || items_reached(varying_.window).end > bytes_in(values) / sizeof(double))
    throw std::invalid_argument("a Broadcast must have the values that its window reaches");
  return {0, &varying_};
}

bool add_mask_state(PyObject* module) {
  return add_type(module, spec, type) && PyModule_AddFunctions(module, functions) == 0;
}

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
  } catch (...) {  // std::bad_alloc, too
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
    if (!mask->c_order) {
      parse_strides(strides, rank, mask->axes + rank);
      check_window(mask->window());
    }
  } catch (...) {  // std::bad_alloc, too
    Py_DECREF(mask);
    throw;
  }
  return reinterpret_cast<PyObject*>(mask);
}

}  // namespace fastdrop
