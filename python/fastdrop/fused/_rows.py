# SPDX-License-Identifier: BSD-3-Clause
"""Operations on whole rows for arrays that the core cannot walk as they lie, or that are refused.

Callers ask `_core.run` first, as those of `_operations.run_checked` do.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, _core
from .._checks import Array
from .._operations import shape_and_dtype
from .._outputs import check_out, check_overlap, same_memory, shares_memory

if TYPE_CHECKING:
    from .._core import MaskState, OperandInfo

Inputs = list[Any]  # arrays, or None where an operand is absent


def run_rows(operation: str, state: MaskState, names: tuple[str, ...], *arguments: Any) -> tuple[Any, Inputs]:
    """What `_core.run` returned None for: check the arrays, and run the operation on any layout.

    `arguments` are the inputs, the outputs and the constants, as for `_core.run`; `names` are those that the
    user knows the inputs by. Returns what `_core.run` returns, and the inputs as arrays of theirs.
    """
    info, count = _core.operations[operation], len(names)
    x = _checks.float_array(arguments[0], names[0])
    _checks.check_shape(x, state.shape, names[0])
    inputs: Inputs = [x]
    for operand, value, name in zip(info.inputs[1:], arguments[1:count], names[1:], strict=True):
        inputs.append(None if value is None else _checked(value, operand, x, name, names[0]))
    given = arguments[count : count + len(info.outputs)]
    _check_outputs(info.outputs, given, info.inputs, inputs, names)

    ready = [
        None if array is None else _walkable(array, operand, x)
        for array, operand in zip(inputs, info.inputs, strict=True)
    ]
    outputs = [
        out if out is False else _direct(out, operand, x)
        for out, operand in zip(given, info.outputs, strict=True)
    ]
    done = _core.run(operation, state, *ready, *outputs, *arguments[count + len(given) :], True)
    results = [done] if len(outputs) == 1 else list(done)
    for at, out in enumerate(given):
        if isinstance(out, np.ndarray):
            if not np.may_share_memory(out, results[at]):
                np.copyto(np.asarray(out), results[at])  # as a base array: a subclass has code of its own
            results[at] = out
    return (results[0] if len(outputs) == 1 else tuple(results)), inputs


def checked_gradient(dy: Any, like: Array | None, name: str = "x") -> Array:
    """`dy` as an array of the dtype of what was saved, of x's or y's."""
    array = _checks.float_array(dy, "dy")
    if like is not None and array.dtype.newbyteorder("=") != (wanted := like.dtype.newbyteorder("=")):
        remedy = f"write numpy.asarray(dy, {name}.dtype)"
        raise TypeError(f"dy must have the dtype of {name}, {wanted}, not {array.dtype}; {remedy}")
    return array


def _checked(value: Any, operand: OperandInfo, x: Array, name: str, x_name: str) -> Array:
    """An input beside x as an array that fits."""
    wanted = f"an array {_of_what(operand, x, x_name)}"
    if isinstance(value, numbers.Real):
        remedy = "" if isinstance(value, (bool, np.bool_)) else "; a number goes by its name, such as p="
        raise TypeError(f"{name} must be {wanted}, not {_checks.describe(value)}{remedy}")
    if isinstance(value, (tuple, list)) and len(value) == 1 and type(value[0]) is int:  # normalized_shape
        remedy = "the last axis is normalised, whose length need not be given"
        raise TypeError(f"{name} must be {wanted}, not {_checks.describe(value)}; {remedy}")
    array = _checks.float_array(value, name)
    shape, own = shape_and_dtype(operand, x)
    if array.shape != shape:
        remedy = _shape_remedy(array.shape, x.shape, operand, name, x_name)
        raise ValueError(f"{name} must be {wanted}, {shape}, not {array.shape}{remedy}")
    if array.dtype.newbyteorder("=") not in (own, x.dtype.newbyteorder("=")):
        remedy = f"write numpy.asarray({name}, {x_name}.dtype), or {x_name}.astype({array.dtype})"
        given = f"{x.dtype}{'' if own == x.dtype else f' or {own}'}, not {array.dtype}"
        raise TypeError(f"{name} must have the dtype of {x_name}, {given}; {remedy}")
    return array


def _of_what(operand: OperandInfo, x: Array, x_name: str) -> str:
    if operand.access == "full":
        return f"of the shape of {x_name}"
    return f"of one value for each {'row' if operand.access == 'per row' else 'feature'} of {x_name}"


def _shape_remedy(
    given: tuple[int, ...], x_shape: tuple[int, ...], operand: OperandInfo, name: str, x_name: str
) -> str:
    if operand.access == "per column":
        wanted = x_shape[-1:]
        is_row = given[-1:] == wanted and set(given[:-1]) == {1}
        is_column = given[:1] == x_shape[:1] and set(given[1:]) <= {1}
        last = f"; the features are the last axis of {x_name}: transpose it if they are the first"
        return f"; write {name}.reshape(-1)" if is_row else last if is_column else ""
    try:
        fits = np.broadcast_shapes(given, x_shape) == x_shape
    except ValueError:
        return ""
    return f"; write numpy.broadcast_to({name}, {x_name}.shape)" if fits else ""


def _check_outputs(
    operands: tuple[OperandInfo, ...],
    given: tuple[Any, ...],
    input_operands: tuple[OperandInfo, ...],
    inputs: Inputs,
    names: tuple[str, ...],
) -> None:
    """That the outputs which a user gave fit, and lie on a full input or apart from everything."""
    before: list[tuple[Array, str]] = []
    for operand, out in zip(operands, given, strict=True):
        if out is None or (out is False and operand.optional):
            continue
        own = f"{operand.name}_out" if operand.name in ("h", "weights", "dresidual") else "out"
        x = inputs[0]
        check_out(out, x, names[0], own)
        for array, name, access in zip(inputs, names, (o.access for o in input_operands), strict=True):
            if array is not None and access == "full":
                check_overlap(out, array, name, own)
            elif array is not None and shares_memory(out, array):
                raise ValueError(f"{own} must not overlap {name}, which is read again for every row")
        for other, name in before:
            if shares_memory(out, other):
                raise ValueError(f"{own} must not overlap {name}: both are results")
        before.append((out, own))


def _walkable(array: Array, operand: OperandInfo, x: Array) -> Array:
    """The array as the core reads it, or a copy: native, aligned, and contiguous along the last axis."""
    if operand.access != "full":  # a copy of a row or a column is small
        return np.require(array, shape_and_dtype(operand, x)[1], ["C", "A"])
    return array if _is_direct(array) else np.array(array, array.dtype.newbyteorder("="), order="C")


def _direct(out: Any, operand: OperandInfo, x: Array) -> Array:
    """The array as the core writes to it, or a new one."""
    base = None if out is None else np.asarray(out)
    return base if base is not None and _is_direct(base) else np.empty(*shape_and_dtype(operand, x))


def _is_direct(array: Array) -> bool:
    contiguous = array.shape[-1] <= 1 or array.strides[-1] == array.itemsize
    return array.dtype.isnative and array.flags.aligned and contiguous


def overwrites(out: Any, array: Array) -> bool:
    """Whether an output is that array itself."""
    return isinstance(out, np.ndarray) and same_memory(out, array)
