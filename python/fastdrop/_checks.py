# SPDX-License-Identifier: BSD-3-Clause
"""Every argument check and every error text: which argument, what came, what is wanted."""

import math
import numbers
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

INDEX_LIMIT = 2**63  # indices and streams are below it (stream document, section 2)
_WANTED_DTYPES = "float32 or float64"


def _described(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"


def probability(p: Any) -> float:
    """`p` as a float from 0 to 1."""
    if isinstance(p, (bool, np.bool_)) or not isinstance(p, numbers.Real):
        raise TypeError(f"p must be a real number, the probability of dropping, not {_described(p)}")
    value = float(p)
    if not 0.0 <= value <= 1.0:  # also refuses NaN
        raise ValueError(f"p must be from 0 to 1, the probability of dropping, not {value!r}")
    return value + 0.0  # -0.0 becomes 0.0: equal masks compare and print alike


def integer(value: Any, name: str, lowest: int, limit: int) -> int:
    """`value` as an int, lowest <= value < limit."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {_described(value)}") from None
    if not lowest <= result < limit:
        raise ValueError(f"{name} must be at least {lowest} and less than {limit}, not {result}")
    return result


def shape(value: Any) -> tuple[int, ...]:
    """`value`, an integer or a sequence of them, as a tuple of lengths."""
    try:
        lengths = (operator.index(value),)
    except TypeError:
        try:
            lengths = tuple(operator.index(length) for length in value)
        except TypeError:
            wanted = "an integer or a sequence of integers"
            raise TypeError(f"shape must be {wanted}, not {_described(value)}") from None
    if any(length < 0 for length in lengths):
        raise ValueError(f"shape must have no negative length, not {lengths}")
    if len(lengths) > 64:
        raise ValueError(f"shape must have at most 64 axes, not {len(lengths)}")
    if math.prod(lengths) > INDEX_LIMIT or any(length >= INDEX_LIMIT for length in lengths):
        raise ValueError(f"shape must have at most 2**63 elements, not {lengths}")
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
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        fix = f"; convert it with numpy.asarray({name}, dtype=numpy.float32)" if array.dtype.kind in "iub" else ""
        raise TypeError(f"{name} must be an array of {_WANTED_DTYPES}, not of {array.dtype}{fix}")
    return array


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
    if any(stride == 0 and length > 1 for stride, length in zip(out.strides, out.shape, strict=True)):
        raise ValueError("out must have its own memory for every element, not a stride of 0")
    if _same_memory(out, x):
        return
    if np.shares_memory(out, x):
        raise ValueError(f"out must be {name} itself or not overlap it, not share a part of its memory")


def _same_memory(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.strides == b.strides
        and a.dtype == b.dtype
    )
