# SPDX-License-Identifier: BSD-3-Clause
"""One operation on one tensor, with its gradient: at once, or through torch's dispatcher.

Every function of fastdrop.torch ends here. A new operation is an operator in `_operators` and a call of
`apply_drawn`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, is_grad_enabled
from torch.autograd import Function

from .. import _checks
from .._windows import noise_window
from ..mask import new_mask
from ._internals import base_of, has_proxies, is_batched, is_traced
from ._memory import is_ours, is_plain, run
from ._operators import call, draw_key, draw_state

if TYPE_CHECKING:
    from .._core import MaskState
    from .._values import Value


def apply_drawn(
    operation: str, input: Tensor, p: float, constants: tuple[float, ...], noise_shape: Any, inplace: bool
) -> Tensor | None:
    """The operation with a key of torch's generator. None, and no key is drawn, if torch has to do it."""
    if is_plain(input):
        strides = None if noise_shape is None else noise_window(input.shape, noise_shape)[1]
        state = draw_state(p, input.shape, strides)
        if inplace or input.requires_grad:
            return _apply_plain(operation, input, state, constants, inplace)
        return run(operation, state, input, constants)  # what follows, less a call
    if not is_ours(input):
        return None
    # Lengths, because the operator's schema has no None.
    lengths = None if noise_shape is None else _checks.noise_shape(noise_shape, tuple(input.shape))
    result = call(operation, input, draw_key(), p, *constants, lengths)
    return input.copy_(result) if inplace else result


def apply_state(
    operation: str, input: Tensor, state: MaskState, constants: tuple[Value, ...], inplace: bool = False
) -> Tensor:
    """The operation with decisions that are known. The first constant is the scale of the gradient too."""
    if is_plain(input):
        return _apply_plain(operation, input, state, constants, inplace)
    return _composed(operation, input, state, constants, inplace)


def _apply_plain(
    operation: str, input: Tensor, state: MaskState, constants: tuple[Value, ...], inplace: bool
) -> Tensor:
    if inplace and not _is_dense(input):  # torch refuses to write where elements share memory
        return input.copy_(_apply_plain(operation, input, state, constants, False))
    is_recorded = input.requires_grad and is_grad_enabled()
    if inplace and is_recorded:
        _refuse_leaf(input)
    if inplace or is_recorded:
        result = _record(input, (operation, state, constants, inplace))
        return result if is_recorded else input  # without a gradient autograd makes a detached alias
    return run(operation, state, input, constants)


class _Recorded(Function):
    """The operation on a plain tensor, for autograd. The backward pass needs the state and the scale only."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, call: tuple[str, MaskState, tuple[Value, ...], bool]) -> Tensor:
        # One argument that is no tensor, because torch takes 0.1 us for each.
        operation, state, constants, inplace = call
        ctx.decisions = state, constants[:1]
        if inplace:
            ctx.mark_dirty(input)
        return run(operation, state, input, constants, input if inplace else None)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # torch.autograd.grad(is_grads_batched=True) has a vmap of its own, which `is_plain` does not see.
        apply = _apply_plain if is_plain(gradient) and not is_batched(gradient) else _composed
        state, scale = ctx.decisions
        return apply("dropout", gradient, state, scale, False), None


# `_Recorded.apply` less what it does for transforms of torch.func, which `is_plain` has ruled out: 1.7 us.
_record = super(Function, _Recorded).apply


def _is_dense(tensor: Tensor) -> bool:
    return tensor.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(tensor)


def _refuse_leaf(input: Tensor) -> None:
    """As torch does itself, but before the values are written over."""
    base = base_of(input)
    if base.is_leaf and base.requires_grad:
        raise RuntimeError(
            "inplace must be False for a leaf that requires a gradient, or a view of one: its values are "
            "needed. Use torch.no_grad() to change them"
        )


def _composed(
    operation: str, input: Tensor, state: MaskState, constants: tuple[Value, ...], inplace: bool
) -> Tensor:
    """As `apply_state`, in operations of torch, for a tensor that is more than memory."""
    if torch.compiler.is_compiling() or is_traced() or has_proxies():
        raise TypeError(
            "a mask of fastdrop would become a constant of compiled or traced code: leave rng= out, so that "
            "the mask is drawn from torch's generator at every call"
        )
    if operation != "dropout":
        raise TypeError(f"{operation} with rng= takes plain tensors only: leave rng= out")
    mask = new_mask(state, constants[0])
    compute = torch.float64 if input.dtype is torch.float64 else torch.float32
    scale = torch.tensor(mask.scale, dtype=compute, device="cpu")
    kept = (input.to(compute) * scale).to(input.dtype)
    # `where` lays its result out as its first operand.
    is_kept = torch.empty_like(kept, dtype=torch.bool).copy_(torch.from_numpy(mask.to_numpy()))
    result = torch.where(is_kept, kept, 0)
    return input.copy_(result) if inplace else result
