# SPDX-License-Identifier: BSD-3-Clause
"""What fastdrop asks of torch that torch has no public name for. No other file uses such names."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import torch
from torch._C import _are_functorch_transforms_active as has_function_transforms
from torch._C import (
    _current_graph_task_id,
    _get_dispatch_mode,
    _get_tracing_state,
    _len_torch_dispatch_stack,
    _TorchDispatchModeKey,
)
from torch._C._functorch import is_legacy_batchedtensor as is_batched
from torch.autograd import forward_ad

__all__ = [
    "base_of",
    "has_forward_derivatives",
    "has_function_transforms",
    "has_proxies",
    "is_batched",
    "is_in_backward_pass",
    "is_traced",
    "is_watched",
    "safe_softmax",
    "with_names",
]

# Softmax that makes zeros of a row of -inf, where `torch.softmax` makes NaN.
safe_softmax = torch.ops.aten._safe_softmax


def base_of(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor that this is a view of, or the tensor itself."""
    return tensor if tensor._base is None else tensor._base


def has_forward_derivatives() -> bool:
    """Whether tensors may carry derivatives forward (`torch.autograd.forward_ad`)."""
    return forward_ad._current_level >= 0


def has_proxies() -> bool:
    """Whether `torch.fx.experimental.proxy_tensor.make_fx` records what is called."""
    return _get_dispatch_mode(_TorchDispatchModeKey.PROXY) is not None


def is_traced() -> bool:
    """Whether `torch.jit.trace` records what is called."""
    return _get_tracing_state() is not None


def is_watched() -> bool:
    """Whether a mode, a function transform, a forward derivative or a trace sees every operator."""
    return (  # written out: to call the functions above would cost 0.1 us in every call
        _len_torch_dispatch_stack() > 0
        or has_function_transforms()
        or forward_ad._current_level >= 0
        or _get_tracing_state() is not None
    )


def is_in_backward_pass() -> bool:
    """Whether autograd's engine runs in this thread."""
    return _current_graph_task_id() != -1


def with_names(function: FunctionType, **names: Any) -> FunctionType:
    """The function, in whose body these names mean something else, and its own name means the copy.

    torch.compile looks names up in the module that `__name__` says, so that the copy has no `__name__`.
    """
    scope = {name: value for name, value in function.__globals__.items() if name != "__name__"} | names
    copy = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    scope[function.__name__] = copy
    return copy
