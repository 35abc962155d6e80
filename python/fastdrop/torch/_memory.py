# SPDX-License-Identifier: BSD-3-Clause
"""The core on the memory of tensors, and which tensors have memory that it can use."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, empty_like, strided
from torch.compiler import is_dynamo_compiling
from torch.overrides import has_torch_function_unary

from .. import _checks, _core
from ._internals import is_watched

if TYPE_CHECKING:
    from .._core import MaskState
    from .._values import Value

# The core's number of every dtype that it has.
ELEMENTS = {getattr(torch, name): number for number, name in enumerate(_core.elements)}
_PLAIN = {Tensor, torch.nn.Parameter}


def is_ours(tensor: Any) -> bool:
    """Whether fastdrop computes with such a tensor. torch does with every other."""
    return (
        isinstance(tensor, Tensor)
        and tensor.device.type == "cpu"
        and tensor.dtype in ELEMENTS
        and tensor.layout is strided
        and not tensor.is_nested
    )


def check_tensor(input: Any, name: str = "input") -> None:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, not {_checks.describe(input)}")


def not_ours(what: str, input: Tensor) -> TypeError:
    """What to raise for a tensor that fastdrop cannot compute with; `what` is who wants another one."""
    wanted = "a tensor of float16, bfloat16, float32 or float64 in CPU memory"
    layout = str(input.layout).removeprefix("torch.")
    return TypeError(f"{what} {wanted}, not {input.dtype} ({layout}) on {input.device}")


def is_plain(tensor: Tensor) -> bool:
    """Whether the tensor is memory and nothing else, and nobody watches what is done with it.

    Then the core may use the memory at once. Otherwise the call takes torch's dispatcher, which knows what
    subclasses, modes, compilers, function transforms and views with a lazy sign ask for.
    """
    return (
        not is_dynamo_compiling()
        and is_memory(tensor)
        and not has_torch_function_unary(tensor)  # which asks for modes too
        and not is_watched()
    )


def is_seen_by_modes(tensor: Tensor) -> bool:
    """Whether modes see the functions of a tensor that is no subclass, which would see them too."""
    return not is_dynamo_compiling() and type(tensor) in _PLAIN and has_torch_function_unary(tensor)


def are_plain(tensors: Sequence[Tensor | None]) -> bool:
    """Whether all of them are, the first of which is there."""
    first, *others = tensors
    return (
        first is not None
        and is_plain(first)
        and all(tensor is None or is_memory(tensor) for tensor in others)
    )


def is_memory(tensor: Tensor, dtypes: Container[torch.dtype] = ELEMENTS) -> bool:
    """Whether the tensor is memory of such a dtype and nothing else, whoever watches."""
    return (
        type(tensor) in _PLAIN
        and tensor.is_cpu
        and tensor.dtype in dtypes
        and tensor.layout is strided
        and not tensor.is_nested
        and not tensor.is_neg()
    )


def run(
    operation: str,
    state: MaskState,
    input: Tensor,
    constants: tuple[Value, ...],
    output: Tensor | None = None,
) -> Tensor:
    """The operation on a plain tensor: into one laid out alike, which is made, or into the input itself."""
    if output is None:
        output = empty_like(input)
    from_strides = to_strides = None
    if not input.is_contiguous():
        from_strides, to_strides = input.stride(), output.stride()
    element, source, target = ELEMENTS[input.dtype], input.data_ptr(), output.data_ptr()
    _core.run_memory(operation, state, element, source, from_strides, target, to_strides, *constants)
    return output
