# SPDX-License-Identifier: BSD-3-Clause
"""fastdrop's operators in torch's dispatcher, as pure functions of an input and a key.

Compilers, function transforms, modes and tensor subclasses see these operators. A key is an operand, drawn
outside: an operator with the same operands has the same result, so that it may be computed again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function

from .. import _core
from .._states import DEFAULT_GENERATOR, generator_id, new_state, whole_window
from ._internals import has_forward_derivatives, has_function_transforms
from ._memory import run

if TYPE_CHECKING:
    from .._core import MaskState

GENERATOR = generator_id(DEFAULT_GENERATOR)


class _Buffer(threading.local):
    """Where a thread draws its keys: an array of two int64, which the core reads at its address."""

    def __init__(self) -> None:
        with torch.inference_mode(False):
            self.tensor = torch.empty(2, dtype=torch.int64, device="cpu")
        self.draw = self.tensor.random_
        self.address = self.tensor.data_ptr()


_buffer = _Buffer()


def draw_state(p: float, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> MaskState:
    """The decisions of a key that is drawn as by `draw_key`, without a new tensor: 1 us less."""
    _buffer.draw()
    return _core.key_state(GENERATOR, _buffer.address, p, shape, strides)


def draw_key() -> Tensor:
    """A key of torch's generator for the CPU: int64 of shape (2,), the halves of four 32-bit words."""
    if has_function_transforms():
        # Both have rules for vmap, which random_ has not. They give the numbers of random_.
        return torch.randint(-(2**63), 2**63 - 1, (2,), device="cpu") & (2**63 - 1)
    # random_, as compilers take it. Compiled code calls it too, where it would replace randint.
    return torch.ops.aten.random(torch.empty(2, dtype=torch.int64, device="cpu"))


def _run(operation: str, input: Tensor, key: Tensor, p: float, noise_shape: Any, *constants: float) -> Tensor:
    low, high = key.tolist()
    state = new_state(GENERATOR, (low, high), 0, whole_window(input.shape, noise_shape, p))
    return run(operation, state, input, constants)


def _dropout(input: Tensor, key: Tensor, p: float, scale: float, noise_shape: list[int] | None) -> Tensor:
    return _run("dropout", input, key, p, noise_shape, scale)


def _alpha_dropout(
    input: Tensor,
    key: Tensor,
    p: float,
    scale: float,
    shift: float,
    dropped: float,
    noise_shape: list[int] | None,
) -> Tensor:
    return _run("alpha_dropout", input, key, p, noise_shape, scale, shift, dropped)


def call(name: str, input: Tensor, key: Tensor, *options: Any) -> Tensor:
    """The operator, with its gradient and its rules for function transforms and forward derivatives."""
    if has_function_transforms() or has_forward_derivatives():
        return _Transformed.apply(name, input, key, *options)
    return getattr(torch.ops.fastdrop, name)(input, key, *options)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, key, p, scale, *_, noise_shape = inputs
    ctx.save_for_backward(key)
    ctx.save_for_forward(key)
    ctx.options = p, scale, noise_shape
    ctx.count = len(inputs)


def _derivative(ctx: Any, change: Tensor) -> Tensor:
    """y is linear in x where the mask keeps, and does not depend on x elsewhere."""
    return call("dropout", change, ctx.saved_tensors[0], *ctx.options)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    return _derivative(ctx, gradient), *(None,) * (ctx.count - 1)


class _Transformed(Function):
    """What `torch.library.register_autograd` does not do: transforms of torch.func, forward derivatives."""

    @staticmethod
    def forward(name: str, *inputs: Any) -> Any:
        return getattr(torch.ops.fastdrop, name)(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _remember(ctx, inputs[1:], output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return None, *_backward(ctx, gradient)

    @staticmethod
    def jvp(ctx: Any, _: Any, change: Tensor, *others: Any) -> Tensor:
        return _derivative(ctx, change)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], name: str, input: Tensor, key: Tensor, *options: Any
    ) -> tuple[Tensor, int]:
        """The examples of a batch share the mask of a key, or have a key each."""
        *constants, noise_shape = options
        _, of_input, of_key, *_ = in_dims
        if of_input is None:
            batch = input.expand(info.batch_size, *input.shape)
        else:
            batch = input.movedim(of_input, 0)
        if of_key is None:
            own = batch.shape[1:] if noise_shape is None else noise_shape
            return call(name, batch, key, *constants, [1, *own]), 0
        examples = zip(batch, key.movedim(of_key, 0), strict=True)
        return torch.stack([call(name, x, k, *constants, noise_shape) for x, k in examples]), 0


def _define(name: str, arguments: str, implementation: Callable[..., Tensor]) -> None:
    """An operator whose gradient is the operator dropout."""
    qualified = f"fastdrop::{name}"
    schema = f"(Tensor input, Tensor key, float p, float scale, {arguments}SymInt[]? noise_shape) -> Tensor"
    torch.library.define(qualified, schema, tags=(torch.Tag.pt2_compliant_tag,))
    torch.library.impl(qualified, "CPU", implementation)
    torch.library.register_fake(qualified, lambda input, *_: torch.empty_like(input))
    torch.library.register_autograd(qualified, _backward, setup_context=_remember)


_define("dropout", "", _dropout)
_define("alpha_dropout", "float shift, float dropped, ", _alpha_dropout)
