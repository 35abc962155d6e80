# SPDX-License-Identifier: BSD-3-Clause
"""Every argument check and every error text: which argument, what came, what is wanted."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Short names of what arguments are: a signature in help() is to be read.
Array: TypeAlias = NDArray[Any]
Probability: TypeAlias = float | NDArray[Any]

INDEX_LIMIT = 2**63  # indices and streams are below it (stream document, section 2)
_LINE_LENGTH = 110  # characters; as in pyproject.toml
_FLOAT_DTYPES = "float16, bfloat16, float32 or float64"


def abbreviate(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # a broken __repr__, or an integer of more digits than Python prints
        text = object.__repr__(value)
    return text if len(text) <= 60 else text[:57] + "..."


def on_one_line(begin: str, parts: list[str], end: str) -> str:
    """A repr of those parts. The last of them give way to "..." if they do not all fit."""
    text = begin + ", ".join(parts) + end
    shown = len(parts)
    while len(text) > _LINE_LENGTH and shown:
        shown -= 1
        text = begin + ", ".join([*parts[:shown], "..."]) + end
    return text


def describe(value: object) -> str:
    return f"{abbreviate(value)} of type {type(value).__name__}"


def probability(p: Any, name: str = "p", of: str = "dropping") -> float | NDArray[np.float64]:
    """A probability as a float from 0 to 1, or as an array of them; an array without axes becomes a float."""
    if isinstance(p, np.ndarray) and p.dtype.kind in "fiu":
        if p.size and not (p.min() >= 0 and p.max() <= 1):  # if one element is NaN, min() and max() are NaN
            raise ValueError(f"{name} must be from 0 to 1, the probability of {of}, not {abbreviate(p)}")
        return np.asarray(p, np.float64, "C") + 0.0 if p.ndim else float(p) + 0.0
    # Floats first: asking an abstract base class costs as much as a small dropout.
    if type(p) is not float and (isinstance(p, (bool, np.bool_)) or not isinstance(p, numbers.Real)):
        wanted = f"a real number or an array of them, the probability of {of}"
        raise TypeError(f"{name} must be {wanted}, not {describe(p)}")
    if p < 0 or not p <= 1:  # also refuses NaN; before float(), which may overflow or round to 1
        raise ValueError(f"{name} must be from 0 to 1, the probability of {of}, not {abbreviate(p)}")
    return float(p) + 0.0  # -0.0 becomes 0.0: equal masks compare and print alike


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
    if keep_prob is None:
        return probability(p)
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
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {describe(value)}") from None


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
    try:
        several = is_sequence or (isinstance(value, np.ndarray) and value.ndim > 0)
        lengths = tuple(index(length, "shape") for length in (value if several else (value,)))
    except TypeError:
        wanted = "an integer or a sequence of integers"
        raise TypeError(f"shape must be {wanted}, not {describe(value)}") from None
    if any(length < 0 for length in lengths):
        raise ValueError(f"shape must have no negative length, not {abbreviate(lengths)}")
    if len(lengths) > 64:
        raise ValueError(f"shape must have at most 64 axes, not {len(lengths)}")
    if math.prod(lengths) > INDEX_LIMIT or any(length >= INDEX_LIMIT for length in lengths):
        wanted = "at most 2**63 elements and no axis as long as that"
        raise ValueError(f"shape must have {wanted}, not {abbreviate(lengths)}")
    return lengths


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
        entries = tuple(None if entry is None else index(entry, "noise_shape") for entry in value)
    except TypeError:
        wanted = "a sequence of an integer or None for every axis"
        raise TypeError(f"noise_shape must be {wanted}, not {describe(value)}") from None
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
    if isinstance(given, (int, np.bool_, np.integer)) and given in (0, 1):
        return bool(given)
    is_mode = name == "training" and isinstance(given, str)
    remedy = "; for a mode string write training=(mode == 'train')" if is_mode else ""
    raise TypeError(f"{name} must be True or False, not {describe(value)}{remedy}")


def choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of the allowed strings."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {describe(value)}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
    return value


def float_array(value: Any, name: str) -> NDArray[Any]:
    """`value` as a base ndarray of a float dtype, whatever its layout and byte order."""
    try:
        # NumPy imports an object that has only `__dlpack__` by from_dlpack alone.
        exported = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
        array = np.from_dlpack(value) if exported else np.asarray(value)
    except (TypeError, ValueError, BufferError, RuntimeError) as error:
        raise TypeError(f"{name} must be an array of {_FLOAT_DTYPES}: {error}") from None
    if not is_float_dtype(array.dtype):
        fix = f"; convert it with numpy.asarray({name}, dtype=numpy.float32)"
        given = f"{array.dtype}{fix if array.dtype.kind in 'iub' else ''}"
        raise TypeError(f"{name} must be an array of {_FLOAT_DTYPES}, not of {given}")
    return array


def bool_array(value: Any, name: str) -> NDArray[np.bool_]:
    array = np.asarray(value)
    if array.dtype != np.bool_:
        fix = f"; write {name} != 0" if array.dtype.kind in "iuf" else ""
        raise TypeError(f"{name} must be an array of bool, True where kept, not of {array.dtype}{fix}")
    return array


def packed_bits(value: Any, name: str, count: int) -> NDArray[np.uint8]:
    """Bytes that hold so many bits, as an array."""
    try:
        array = value if isinstance(value, np.ndarray) else np.frombuffer(value, np.uint8)
        if array.dtype != np.uint8 or array.ndim != 1:
            raise TypeError
    except (TypeError, ValueError, BufferError):
        wanted = "an array of uint8 with one axis, or bytes"
        raise TypeError(f"{name} must be {wanted}, not {describe(value)}") from None
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
    array = float_array(value, name)
    return value if isinstance(value, np.ndarray) else array


def check_shape(array: NDArray[Any], wanted: tuple[int, ...], name: str) -> None:
    if array.shape != wanted:
        raise ValueError(f"{name} must have the shape {wanted}, not {array.shape}")


def check_out(out: Any, x: NDArray[Any], name: str) -> None:
    """That `out` can take the result for `x`."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {describe(out)}")
    if out.dtype.newbyteorder("=") != x.dtype.newbyteorder("="):
        raise TypeError(f"out must have the dtype of {name}, {x.dtype}, not {out.dtype}")
    if out.shape != x.shape:
        raise ValueError(f"out must have the shape of {name}, {x.shape}, not {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, not a read-only array")
    if _overlaps_itself(out):
        raise ValueError(f"out must have its own memory for every element, not the strides {out.strides}")


def check_overlap(out: NDArray[Any], x: NDArray[Any], name: str) -> None:
    """That `out` is `x`, element by element, or shares no memory with it."""
    # Whether two arrays overlap is NP-hard to say; slices of one array take a single step. What is not
    # settled in this many steps, some milliseconds, counts as overlapping. NumPy is asked first: for two
    # arrays that lie apart its answer takes a tenth of the time of the other question.
    if np.may_share_memory(out, x, max_work=10_000) and not _same_memory(out, x):  # type: ignore[arg-type]
        raise ValueError(f"out must be {name} itself or not overlap it, not share a part of its memory")


def check_operand(array: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """That an operand beside x has that shape and dtype, in whatever byte order."""
    check_shape(array, shape, name)
    if array.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} must have the dtype {dtype}, not {array.dtype}")


def _overlaps_itself(array: NDArray[Any]) -> bool:
    """Whether elements may share memory, which no slice or transpose of a contiguous array's do.

    In the order of rising strides, each axis must step over all that the axes before it reach.
    """
    axes = [axis for axis in zip(array.strides, array.shape, strict=True) if axis[1] > 1]
    reach = array.itemsize
    for stride, length in sorted((abs(stride), length) for stride, length in axes):
        if stride < reach:
            return array.size > 0
        reach += stride * (length - 1)
    return False


def _same_memory(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether every element of `a` is the same one of `b`."""
    if a.shape != b.shape:
        return False
    axes = zip(a.shape, a.strides, b.strides, strict=True)
    return (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.dtype == b.dtype
        and all(first == second for length, first, second in axes if length > 1)
    )


def check_state(value: Any, keys: set[str]) -> None:
    """That `value` is a dict with exactly these keys."""
    wanted = f"state must be a dict with the keys {sorted(keys)}"
    if not isinstance(value, dict):
        raise TypeError(f"{wanted}, not {describe(value)}")
    if set(value) != keys:
        raise ValueError(f"{wanted}, not {abbreviate(list(value))}")


def axis(value: Any, name: str, ndim: int) -> int:
    """`value` as the index of an axis, counted from the first."""
    result = index(value, name)
    if not -ndim <= result < ndim:
        raise ValueError(f"{name} must be an axis of an array of {ndim} axes, not {abbreviate(result)}")
    return result % ndim


def positive(value: Any, name: str) -> float:
    """`value` as a finite float above 0."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, not {describe(value)}")
    result = float(value)
    if not 0 < result < math.inf:
        raise ValueError(f"{name} must be above 0 and finite, not {abbreviate(value)}")
    return result
