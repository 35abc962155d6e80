# SPDX-License-Identifier: BSD-3-Clause
"""The core's operations on whole rows, on the memory of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import _core
from ._memory import ELEMENTS

if TYPE_CHECKING:
    from .._core import MaskState
    from .._values import Value

OPERATIONS = {name: info for name, info in _core.operations.items() if info.whole_rows}
INPUTS = {name: tuple(operand.name for operand in info.inputs) for name, info in OPERATIONS.items()}
OUTPUTS = {name: tuple(operand.name for operand in info.outputs) for name, info in OPERATIONS.items()}
# The inputs that have one value for each feature; in backward passes also those of one for each row.
PARAMETERS = {
    name: {operand.name for operand in info.inputs if operand.access != "full"}
    for name, info in OPERATIONS.items()
}


# What values of a dtype are computed with.
COMPUTE = {dtype: torch.float32 if dtype.itemsize == 2 else dtype for dtype in ELEMENTS}
_ACCESS = {name: [operand.access for operand in info.outputs] for name, info in OPERATIONS.items()}


def new_outputs(operation: str, x: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Memory for the outputs that are wanted, in C order."""
    outputs: list[Tensor | None] = []
    shape, dtype, is_contiguous = x.shape, x.dtype, x.is_contiguous()
    for access, is_wanted in zip(_ACCESS[operation], wanted, strict=True):
        if not is_wanted:
            outputs.append(None)
        elif access == "full":  # empty_like is the fastest of the three
            outputs.append(torch.empty_like(x) if is_contiguous else x.new_empty(shape))
        else:
            own = shape[:-1] if access == "per row" else shape[-1:]
            is_wide = COMPUTE[dtype] is dtype
            outputs.append(x.new_empty(own) if is_wide else x.new_empty(own, dtype=COMPUTE[dtype]))
    return outputs


def run_rows(
    operation: str,
    state: MaskState,
    inputs: Sequence[Tensor | None],
    constants: Sequence[Value],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """The operation on tensors that are memory: new outputs, None for those that are not wanted."""
    x = inputs[0]
    assert x is not None
    outputs, parameters = new_outputs(operation, x, wanted), PARAMETERS[operation]
    held, memory = [], list[object]()  # held: copies must live until the core has read them
    for name, tensor in zip(INPUTS[operation], inputs, strict=True):
        if tensor is None:
            memory += 0, None
            continue
        ready = _parameter(tensor, COMPUTE[x.dtype]) if name in parameters else walkable(tensor)
        held.append(ready)
        memory += ready.data_ptr(), None if ready.is_contiguous() else ready.stride()
    for output in outputs:
        memory += 0 if output is None else output.data_ptr(), None
    _core.run_memory(operation, state, ELEMENTS[x.dtype], *memory, *constants)
    return outputs


def _parameter(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return (tensor if tensor.dtype is dtype else tensor.to(dtype)).contiguous()


def walkable(tensor: Tensor) -> Tensor:
    """The tensor, or a copy if its last axis is not contiguous."""
    return tensor if tensor.is_contiguous() or tensor.stride(-1) == 1 else tensor.contiguous()
