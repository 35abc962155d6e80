# SPDX-License-Identifier: BSD-3-Clause
"""Every argument check and every error text: which argument, what came, what is wanted."""

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

INDEX_LIMIT = 2**63  # indices and streams are below it (stream document, section 2)
_WANTED_DTYPES = "float16, bfloat16, float32 or float64"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # a broken __repr__, or an integer of more digits than Python prints
        text = object.__repr__(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _described(value: object) -> str:
    return f"{_shown(value)} of type {type(value).__name__}"


def probability(p: Any) -> float:
    """`p` as a float from 0 to 1."""
    # Floats first: asking an abstract base class costs as much as a small dropout.
    if type(p) is not float and (isinstance(p, (bool, np.bool_)) or not isinstance(p, numbers.Real)):
        raise TypeError(f"p must be a real number, the probability of dropping, not {_described(p)}")
    if p < 0 or not p <= 1:  # also refuses NaN; before float(), which may overflow or round to 1
        raise ValueError(f"p must be from 0 to 1, the probability of dropping, not {_shown(p)}")
    return float(p) + 0.0  # -0.0 becomes 0.0: equal masks compare and print alike


def index(value: Any, name: str) -> int:
    """`value` as an int; a bool is not one."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {_described(value)}") from None


def integer(value: Any, name: str, lowest: int, limit: int) -> int:
    """`value` as an int, lowest <= value < limit."""
    result = index(value, name)
    if not lowest <= result < limit:
        raise ValueError(f"{name} must be at least {lowest} and less than {limit}, not {_shown(result)}")
    return result


def shape(value: Any) -> tuple[int, ...]:
    """`value`, an integer or a sequence of them, as a tuple of lengths."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    try:
        several = is_sequence or (isinstance(value, np.ndarray) and value.ndim > 0)
        lengths = tuple(index(length, "shape") for length in (value if several else (value,)))
    except TypeError:
        wanted = "an integer or a sequence of integers"
        raise TypeError(f"shape must be {wanted}, not {_described(value)}") from None
    if any(length < 0 for length in lengths):
        raise ValueError(f"shape must have no negative length, not {_shown(lengths)}")
    if len(lengths) > 64:
        raise ValueError(f"shape must have at most 64 axes, not {len(lengths)}")
    if math.prod(lengths) > INDEX_LIMIT or any(length >= INDEX_LIMIT for length in lengths):
        wanted = "at most 2**63 elements and no axis as long as that"
        raise ValueError(f"shape must have {wanted}, not {_shown(lengths)}")
    return lengths


def choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of the allowed strings."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {_described(value)}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
    return value


def float_array(value: Any, name: str) -> NDArray[Any]:
    """`value` as a base ndarray of a float dtype, whatever its layout and byte order."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of {_WANTED_DTYPES}: {error}") from None
    if not _is_computed_with(array.dtype):
        fix = f"; convert it with numpy.asarray({name}, dtype=numpy.float32)"
        given = f"{array.dtype}{fix if array.dtype.kind in 'iub' else ''}"
        raise TypeError(f"{name} must be an array of {_WANTED_DTYPES}, not of {given}")
    return array


def _is_computed_with(dtype: np.dtype[Any]) -> bool:
    """Whether that is one of the wanted dtypes. bfloat16 is ml_dtypes', which need not be installed."""
    if dtype.kind == "f" and dtype.itemsize in (2, 4, 8):
        return True
    return dtype.type.__name__ == "bfloat16"


def same_shape(array: NDArray[Any], wanted: tuple[int, ...], name: str) -> None:
    if array.shape != wanted:
        raise ValueError(f"{name} must have the mask's shape {wanted}, not {array.shape}")


def output(out: Any, x: NDArray[Any], name: str) -> None:
    """That `out` can take the result for `x`."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {_described(out)}")
    if out.dtype.newbyteorder("=") != x.dtype.newbyteorder("="):
        raise TypeError(f"out must have the dtype of {name}, {x.dtype}, not {out.dtype}")
    if out.shape != x.shape:
        raise ValueError(f"out must have the shape of {name}, {x.shape}, not {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, not a read-only array")
    if _overlaps_itself(out):
        raise ValueError(f"out must have its own memory for every element, not the strides {out.strides}")
    # Whether two arrays overlap is NP-hard to say; slices of one array take a single step. What is not
    # settled in this many steps, some milliseconds, counts as overlapping.
    if not _same_memory(out, x) and np.may_share_memory(out, x, max_work=10_000):  # type: ignore[arg-type]
        raise ValueError(f"out must be {name} itself or not overlap it, not share a part of its memory")


def _overlaps_itself(array: NDArray[Any]) -> bool:
    """Whether elements may share memory: never so in what slicing and transposing make of a plain array.

    Taken by rising stride, each axis must step over all that the axes before it reach.
    """
    axes = [axis for axis in zip(array.strides, array.shape, strict=True) if axis[1] > 1]
    reach = array.itemsize
    for stride, length in sorted((abs(stride), length) for stride, length in axes):
        if stride < reach:
            return array.size > 0
        reach += stride * (length - 1)
    return False


def _same_memory(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether every element of `a` is the same one of `b`, which has the same shape."""
    axes = zip(a.shape, a.strides, b.strides, strict=True)
    return (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.dtype == b.dtype
        and all(first == second for length, first, second in axes if length > 1)
    )


def state(value: Any, keys: set[str]) -> None:
    """That `value` is a dict with exactly these keys."""
    wanted = f"state must be a dict with the keys {sorted(keys)}"
    if not isinstance(value, dict):
        raise TypeError(f"{wanted}, not {_described(value)}")
    if set(value) != keys:
        raise ValueError(f"{wanted}, not {_shown(list(value))}")
