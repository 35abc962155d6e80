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
# The inputs that have one value for each feature.
PARAMETERS = {
    name: {operand.name for operand in info.inputs if operand.access == "per column"}
    for name, info in OPERATIONS.items()
}


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """What values of a dtype are computed with."""
    return torch.float32 if dtype.itemsize == 2 else dtype


def new_outputs(operation: str, x: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Memory for the outputs that are wanted, in C order."""
    shapes = {"full": x.shape, "per column": x.shape[-1:], "per row": x.shape[:-1]}
    dtypes = {"element": x.dtype, "compute": compute_dtype(x.dtype)}
    return [
        torch.empty(shapes[operand.access], dtype=dtypes[operand.type], device="cpu") if is_wanted else None
        for operand, is_wanted in zip(OPERATIONS[operation].outputs, wanted, strict=True)
    ]


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
    outputs = new_outputs(operation, x, wanted)
    parameters = PARAMETERS[operation]
    held = [
        None if tensor is None else _parameter(tensor, x) if name in parameters else _walkable(tensor)
        for name, tensor in zip(INPUTS[operation], inputs, strict=True)
    ]
    memory: list[object] = []
    for tensor in (*held, *outputs):
        if tensor is None:
            memory += 0, None
        else:
            memory += tensor.data_ptr(), None if tensor.is_contiguous() else tensor.stride()
    _core.run_memory(operation, state, ELEMENTS[x.dtype], *memory, *constants)
    return outputs


def _parameter(tensor: Tensor, x: Tensor) -> Tensor:
    return tensor.to(compute_dtype(x.dtype)).contiguous()


def _walkable(tensor: Tensor) -> Tensor:
    return tensor if tensor.size(-1) <= 1 or tensor.stride(-1) == 1 else tensor.contiguous()
