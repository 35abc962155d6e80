# SPDX-License-Identifier: BSD-3-Clause
"""Every argument check and every error text: which argument, what came, what is wanted."""

from __future__ import annotations

import itertools
import math
import operator
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _core, _remedies
from ._texts import abbreviate as abbreviate
from ._texts import complaint, is_real, plain_number
from ._texts import describe as describe
from ._texts import on_one_line as on_one_line

# Short names of what arguments are: a signature in help() is to be read.
Array: TypeAlias = NDArray[Any]
Probability: TypeAlias = float | NDArray[Any]

INDEX_LIMIT = 2**63  # indices and streams are below it (stream document, section 2)
_FLOATS = "an array of float16, bfloat16, float32 or float64"
_BOOLS = "an array of bool, True where kept"


def probability(p: Any, name: str = "p", of: str = "dropping") -> float | NDArray[np.float64]:
    """A probability as a float from 0 to 1, or as an array of them; an array without axes becomes a float."""
    # First what comes most often: it needs nothing else.
    if type(p) is float and SMALLEST_NORMAL <= p <= 1.0:
        return p
    if type(p) is float and not -SMALLEST_NORMAL < p <= 1.0:  # NaN, too
        raise _outside(p, name, of)
    if isinstance(p, np.ndarray) or is_real(p):
        return _core.with_subnormals(_any_probability, p, name, of)
    return _any_probability(p, name, of)


_PIECE = 1 << 20  # elements, as the core's kPieceElements
SMALLEST_NORMAL = sys.float_info.min  # what is smaller, but for 0, is subnormal: a caller may flush it to 0


def _any_probability(p: Any, name: str, of: str) -> float | NDArray[np.float64]:
    if isinstance(p, np.ndarray) and p.dtype.kind in "fiu":
        refuse_masked(p, name)
        values = np.asarray(p, np.float64, "C")
        if not _core.are_probabilities(values):
            raise _outside(p, name, of)
        return _without_minus_zeros(values) if p.ndim else float(p) + 0.0
    if not is_real(p):
        wanted = f"a real number or an array of them, the probability of {of}"
        raise TypeError(f"{name} must be {wanted}, not {describe(p)}{_remedies.for_probability(p, name)}")
    number = plain_number(p)
    try:
        # Before float(), which may overflow, or round to 1. NaN is refused, too.
        is_inside = not number < 0 and number <= 1
        value = float(number) if is_inside else math.nan
    except Exception as error:  # a number of others
        raise complaint(p, name, "a real number", error) from error
    if not 0 <= value <= 1:
        raise _outside(number, name, of)
    return value + 0.0  # -0.0 becomes 0.0: equal masks compare and print alike


def _without_minus_zeros(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A copy, made in pieces: between them Ctrl-C is answered."""
    if values.size <= _PIECE:
        return values + 0.0
    copy = np.empty_like(values)
    flat, flat_copy = values.reshape(-1), copy.reshape(-1)
    for first in range(0, flat.size, _PIECE):
        np.add(flat[first : first + _PIECE], 0.0, out=flat_copy[first : first + _PIECE])
    return copy


def _outside(p: Any, name: str, of: str) -> ValueError:
    remedy = _remedies.for_probability(p, name)
    return ValueError(f"{name} must be from 0 to 1, the probability of {of}, not {abbreviate(p)}{remedy}")


# The default of every p: an object of its own, so that a p given beside keep_prob is seen even if it is 0.5.
DEFAULT_P = float("0.5")


def drop_probability(p: Any, keep_prob: Any) -> float | NDArray[np.float64]:
    """The probability of dropping as a double, from p or rounded from keep_prob; only one may be given."""
    return probability(p) if keep_prob is None else 1.0 - _keep_probability(p, keep_prob)


def rate(p: Any, keep_prob: Any) -> float | NDArray[np.float64]:
    """The rate, which `_values.py` explains, from p or from keep_prob; only one may be given.

    From 0.5 on 1 - keep_prob is a double (Sterbenz's lemma). Below it may not be, and then its difference
    from 1, which is a double, is not keep_prob.
    """
    return probability(p) if keep_prob is None else _core.with_subnormals(_rate, p, keep_prob)


def _rate(p: Any, keep_prob: Any) -> float | NDArray[np.float64]:
    keep = _keep_probability(p, keep_prob)
    dropping = 1.0 - keep
    if isinstance(dropping, float):
        return dropping if 1.0 - dropping == keep else -keep
    return np.where(1.0 - dropping == keep, dropping, -keep)


def _keep_probability(p: Any, keep_prob: Any) -> float | NDArray[np.float64]:
    if p is not DEFAULT_P:
        raise ValueError(
            f"keep_prob must not be given together with p, which is {abbreviate(p)}: it is 1 - p"
        )
    return probability(keep_prob, "keep_prob", "keeping")


def scalar_probability(p: Any, name: str = "p") -> float:
    """A probability as a float from 0 to 1; no array of them."""
    result = probability(p, name)
    if not isinstance(result, float):
        raise TypeError(f"{name} must be one real number, not an array of the shape {result.shape}")
    return result


def index(value: Any, name: str) -> int:
    """`value` as an int; a bool is not one."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{name} must be an integer, not {describe(value)}")
    try:
        return operator.index(value)
    except Exception as error:  # from the `__index__` of others
        raise complaint(value, name, "an integer", error) from error


def optional_index(value: Any, name: str) -> int | None:
    """None, or `value` as an int."""
    return None if value is None else index(value, name)


def integer(value: Any, name: str, lowest: int, limit: int) -> int:
    """`value` as an int, lowest <= value < limit."""
    result = index(value, name)
    if not lowest <= result < limit:
        raise ValueError(f"{name} must be at least {lowest} and less than {limit}, not {abbreviate(result)}")
    return result


def shape(value: Any) -> tuple[int, ...]:
    """`value`, an integer or a sequence of them, as a tuple of lengths."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    several = is_sequence or (isinstance(value, np.ndarray) and value.ndim > 0)
    entries = _for_axes(value, "shape") if several else (value,)
    try:
        lengths = tuple(index(length, "shape") for length in entries)
    except TypeError as error:
        wanted = "an integer or a sequence of integers"
        raise TypeError(f"shape must be {wanted}, not {describe(value)}") from error.__cause__
    if any(length < 0 for length in lengths):
        raise ValueError(f"shape must have no negative length, not {abbreviate(lengths)}")
    if math.prod(lengths) > INDEX_LIMIT or any(length >= INDEX_LIMIT for length in lengths):
        wanted = "at most 2**63 elements and no axis as long as that"
        raise ValueError(f"shape must have {wanted}, not {abbreviate(lengths)}")
    return lengths


def _for_axes(value: Any, name: str) -> tuple[Any, ...]:
    """An entry for every axis. A range may have more of them than there is memory."""
    entries = tuple(itertools.islice(value, 65))
    if len(entries) > 64:
        raise ValueError(f"{name} must have at most 64 axes, not {abbreviate(value)}")
    return entries


def check_broadcast(array: NDArray[Any], shape: tuple[int, ...], name: str) -> None:
    """That an array can be broadcast to that shape."""
    short = shape[len(shape) - array.ndim :]
    if array.ndim > len(shape) or any(n not in (1, m) for n, m in zip(array.shape, short, strict=True)):
        wanted = f"a shape that can be broadcast to the noise shape {shape}"
        raise ValueError(f"{name} must have {wanted}, not {array.shape}")


def noise_entries(value: Any) -> tuple[int | None, ...] | None:
    """A noise shape whose array is not known yet, as a tuple."""
    if value is None:
        return None
    try:
        if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
            raise TypeError
        given = _for_axes(value, "noise_shape")
        entries = tuple(None if entry is None else index(entry, "noise_shape") for entry in given)
    except TypeError as error:
        wanted = "a sequence of an integer or None for every axis"
        raise TypeError(f"noise_shape must be {wanted}, not {describe(value)}") from error.__cause__
    if any(entry is not None and entry < 0 for entry in entries):
        raise ValueError(f"noise_shape must have no negative length, not {abbreviate(entries)}")
    return entries


def noise_shape(value: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A noise shape as a tuple of lengths: where an axis is shared 1, and elsewhere its length."""
    entries = noise_entries(value)
    if entries is None:
        return shape
    fits = len(entries) == len(shape) and all(
        entry in (None, 1, length) for entry, length in zip(entries, shape, strict=True)
    )
    if not fits:
        wanted = f"for every axis of {shape} its length, 1 or None"
        raise ValueError(f"noise_shape must have {wanted}, not be {abbreviate(entries)}")
    return tuple(length if entry is None else entry for entry, length in zip(entries, shape, strict=True))


def boolean(value: Any, name: str) -> bool:
    """`value` as a bool: one of Python or NumPy, or the integer 0 or 1, also as an array without axes.

    Whatever else is true or false by Python's rules may be a mistake: the string "test" is true.
    """
    if value is True or value is False:  # first: the others cost as much as a small dropout
        return bool(value)
    given = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(given, (int, np.bool_, np.integer)) and plain_number(given) in (0, 1):
        return bool(plain_number(given))
    is_mode = name == "training" and isinstance(given, str)
    remedy = "; for a mode string write training=(mode == 'train')" if is_mode else ""
    raise TypeError(f"{name} must be True or False, not {describe(value)}{remedy}")


def choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of the allowed strings."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {describe(value)}")
    text = str.__str__(value)  # whatever the methods of a subclass say
    if text not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {abbreviate(text)}")
    return text


def float_array(value: Any, name: str) -> NDArray[Any]:
    """`value` as a base ndarray of a float dtype, whatever its layout and byte order."""
    array = as_array(value, name, _FLOATS)
    if not is_float_dtype(array.dtype):
        raise _wrong_array(value, array, name, _FLOATS, _remedies.for_dtype(array.dtype, name))
    return array


def bool_array(value: Any, name: str) -> NDArray[np.bool_]:
    array = as_array(value, name, _BOOLS)
    if array.dtype != np.bool_:
        remedy = f"; write {name} != 0" if array.dtype.kind in "iuf" else ""
        raise _wrong_array(value, array, name, _BOOLS, remedy)
    return array


def as_array(value: Any, name: str, wanted: str) -> NDArray[Any]:
    """`value` as a base ndarray of whatever dtype."""
    if type(value) is np.ndarray:
        return value
    refuse_masked(value, name, wanted)
    try:
        # NumPy imports an object that has only `__dlpack__` by from_dlpack alone.
        exported = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
        array = np.from_dlpack(value) if exported else np.asanyarray(value)
    except MemoryError:
        raise
    except Exception as error:  # of any kind: `__array__` and `__dlpack__` are code of others
        refusal = complaint(value, name, wanted, error)
        raise TypeError(f"{refusal}{_remedies.for_array(value, name, str(error))}") from error
    refuse_masked(array, name, wanted)  # some objects, such as netCDF variables, convert to one
    return np.asarray(array)


def _wrong_array(value: Any, array: NDArray[Any], name: str, wanted: str, remedy: str) -> TypeError:
    """For an array of the wrong dtype. NumPy makes one of texts or objects from what is no array."""
    given = f"of {array.dtype}"
    if array.dtype.kind in "OUS" and not isinstance(value, np.ndarray):
        given, remedy = describe(value), _remedies.for_array(value, name)
    return TypeError(f"{name} must be {wanted}, not {given}{remedy}")


def refuse_masked(value: Any, name: str, wanted: str = "a numpy.ndarray") -> None:
    """Refuse a masked array, and a sequence that holds one: what it masks would be taken for data."""
    lost = "whose mask would be lost"
    if _is_masked(value):
        remedy = f"write {name}.filled(0)"
        if isinstance(value, np.ma.MaskedArray):
            remedy += f" or {name}.data"
        raise TypeError(f"{name} must be {wanted}, not a {type(value).__name__}, {lost}: {remedy}")
    if _holds_masked(value):
        remedy = "fill it first, as in part.filled(0)"
        raise TypeError(f"{name} must be {wanted}, not a sequence with a masked array, {lost}: {remedy}")


def _is_masked(value: Any) -> bool:
    """Whether that is NumPy's masked array or one of another package, such as Astropy's."""
    kind = type(value)
    return issubclass(kind, np.ndarray) and hasattr(kind, "mask") and hasattr(kind, "filled")


def _holds_masked(value: Any, depth: int = 0) -> bool:
    """Whether there is a masked array in a sequence, as deep as NumPy looks."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))
    if not is_sequence or depth > 64:
        return _is_masked(value)
    try:
        if set(map(type, value)) <= {float, int}:  # a thousand numbers take some microseconds
            return False
        return any(_holds_masked(entry, depth + 1) for entry in value)
    except Exception:  # the sequence is code of others: NumPy will say the same
        return False


def packed_bits(value: Any, name: str, count: int) -> NDArray[np.uint8]:
    """Bytes that hold so many bits, as an array."""
    refuse_masked(value, name)
    try:
        array = value if isinstance(value, np.ndarray) else np.frombuffer(value, np.uint8)
        if array.dtype != np.uint8 or array.ndim != 1:
            raise TypeError
    except Exception as error:  # of any kind: a buffer may be code of others
        wanted = "an array of uint8 with one axis, or bytes"
        raise TypeError(f"{name} must be {wanted}, not {describe(value)}") from error
    if array.size != (count + 7) // 8:
        wanted = f"{(count + 7) // 8} bytes for {count} elements"
        raise ValueError(f"{name} must have {wanted}, not {array.size}")
    return array


def is_float_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether that is one of the wanted dtypes. bfloat16 is ml_dtypes', which need not be installed."""
    if dtype.kind == "f" and dtype.itemsize in (2, 4, 8):
        return True
    return dtype.type.__name__ == "bfloat16"


def as_given(value: Any, name: str) -> NDArray[Any]:
    """As `float_array`, but an array, also of a subclass, as it is: what evaluation returns."""
    if type(value) is np.ndarray and value.dtype.kind == "f" and value.dtype.itemsize <= 8:
        return value  # what comes most often
    array = float_array(value, name)
    return value if isinstance(value, np.ndarray) else array


def check_shape(array: NDArray[Any], wanted: tuple[int, ...], name: str) -> None:
    if array.shape != wanted:
        raise ValueError(f"{name} must have the shape {wanted}, not {array.shape}")


def check_operand(array: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """That an operand beside x has that shape and dtype, in whatever byte order."""
    check_shape(array, shape, name)
    if array.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} must have the dtype {dtype}, not {array.dtype}")


def not_drawn(value: Any, name: str, wanted: str, swapped: bool = False) -> TypeError:
    """What to raise for what is no mask, or no noise; swapped: if it was given as the array instead."""
    return TypeError(
        f"{name} must be {wanted}, not {describe(value)}{_remedies.for_mask(value, name, swapped)}"
    )


def axis(value: Any, name: str, ndim: int) -> int:
    """`value` as the index of an axis, counted from the first."""
    result = index(value, name)
    if not -ndim <= result < ndim:
        raise ValueError(f"{name} must be an axis of an array of {ndim} axes, not {abbreviate(result)}")
    return result % ndim


def finite(value: Any, name: str, wanted: str = "finite") -> float:
    """`value` as a finite float."""
    if not is_real(value):
        raise TypeError(f"{name} must be a real number, not {describe(value)}")
    number = plain_number(value)
    try:
        result = float(number)
    except OverflowError:  # of an integer
        result = math.inf
    except Exception as error:  # of a number of others
        raise complaint(value, name, "a real number", error) from error
    if not math.isfinite(result):
        raise ValueError(f"{name} must be {wanted}, not {abbreviate(number)}")
    return result


def positive(value: Any, name: str) -> float:
    """`value` as a finite float above 0."""
    return _core.with_subnormals(_positive, value, name)


def _positive(value: Any, name: str) -> float:
    wanted = "above 0 and finite"
    result = finite(value, name, wanted)
    if not result > 0:
        raise ValueError(f"{name} must be {wanted}, not {abbreviate(plain_number(value))}")
    return result
