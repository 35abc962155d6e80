# SPDX-License-Identifier: BSD-3-Clause
"""Operations on arrays that the core cannot walk as they lie, or that are refused.

Callers ask `_core.run` first, with the same arguments less the names. A function in between would cost a
tenth of a call on 64 elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _checks, _core, _outputs
from ._checks import Array

if TYPE_CHECKING:
    from ._core import MaskState, OperandInfo


def run_checked(operation: str, state: MaskState, names: tuple[str, ...], *arguments: Any) -> Any:
    """What `_core.run` returned None for: check the arrays, and run the operation on any layout.

    `arguments` are the inputs, the outputs (None: a new array) and the constants, in the order of the core's
    list. `names` are those that the user knows the inputs by. Returns the output, or a tuple of the outputs.
    """
    info, count = _core.operations[operation], len(names)
    x = _checks.float_array(arguments[0], names[0])
    _checks.check_shape(x, state.shape, names[0])
    arrays = [x]
    for at in range(1, count):
        array = _checks.float_array(arguments[at], names[at])
        _checks.check_operand(array, *shape_and_dtype(info.inputs[at], x), names[at])
        arrays.append(array)
    outputs = []
    for at, operand in enumerate(info.outputs, start=count):
        out = arguments[at]
        if out is None:
            out = np.empty(*shape_and_dtype(operand, x))
        else:
            _outputs.check_out(out, x, names[0])  # users give no outputs but those that are like x
            for array, name in zip(arrays[:count], names, strict=True):
                _outputs.check_overlap(out, array, name)
        outputs.append(out)
        # As a base array: a subclass has code of its own.
        arrays.append(np.asarray(out))
    _core.run(operation, state, *arrays, *arguments[len(arrays) :], True)
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What values of a dtype are computed with: their own, or float32 where they have 16 bits."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype.newbyteorder("=")


def shape_and_dtype(operand: OperandInfo, x: Array) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """What an operand beside x has: a value for every element, column or row, of x's or the compute type."""
    dtype = compute_dtype(x.dtype) if operand.type == "compute" else x.dtype.newbyteorder("=")
    if operand.access == "full":
        return x.shape, dtype
    return x.shape[-1:] if operand.access == "per column" else x.shape[:-1], dtype
