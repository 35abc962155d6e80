# SPDX-License-Identifier: BSD-3-Clause
"""Operations of the core on what users give: arrays of any layout, or what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _checks, _core
from ._checks import Array

if TYPE_CHECKING:
    from ._core import MaskState, OperandInfo


def run_operation(operation: str, state: MaskState, names: tuple[str, ...], *arguments: Any) -> Any:
    """Do an operation of the core; return its output, or a tuple of its outputs.

    `arguments` are its inputs, its outputs (None: a new array) and its constants, in the order of the core's
    list. `names` are those that the user knows the inputs by.
    """
    # The core takes arrays that it can walk as they lie; nothing is left to check about them.
    result = _core.run(operation, state, *arguments)
    return run_checked(operation, state, names, *arguments) if result is None else result


def run_checked(operation: str, state: MaskState, names: tuple[str, ...], *arguments: Any) -> Any:
    """Check the arrays, then run the operation; any layout is allowed."""
    info, shape = _core.operations[operation], state.shape
    inputs, rest = arguments[: len(names)], arguments[len(names) :]
    outputs, constants = list(rest[: len(info.outputs)]), rest[len(info.outputs) :]
    arrays = [_checks.float_array(given, name) for name, given in zip(names, inputs, strict=True)]
    x = arrays[0]
    _checks.check_shape(x, shape, names[0])
    for name, array, operand in zip(names[1:], arrays[1:], info.inputs[1:], strict=True):
        _checks.check_operand(array, *_shape_and_dtype(operand, shape, x), name)
    for at, (out, operand) in enumerate(zip(outputs, info.outputs, strict=True)):
        if out is None:
            outputs[at] = np.empty(*_shape_and_dtype(operand, shape, x))
            continue
        _checks.check_out(out, x, names[0])  # users give no outputs but those that are like x
        for name, array in zip(names, arrays, strict=True):
            _checks.check_overlap(out, array, name)
    # As base arrays, since a subclass may show less of itself, as a MaskedArray with a hard mask does.
    _core.run(operation, state, *arrays, *map(np.asarray, outputs), *constants, checked=True)
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _shape_and_dtype(
    operand: OperandInfo, shape: tuple[int, ...], x: Array
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """What an operand beside x must have."""
    shapes = {"full": shape, "per column": shape[-1:], "per row": shape[:-1]}
    dtype = x.dtype.newbyteorder("=")
    computed_with = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    return shapes[operand.access], computed_with if operand.type == "compute" else dtype
