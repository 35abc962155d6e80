# SPDX-License-Identifier: BSD-3-Clause
"""The fused operations for autograd and in torch's dispatcher, with their gradients.

Their operators are pure functions of operands and a key, as those of `_operators` are. One table of the core,
that of its operations on rows, says the operands of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function

from .._states import new_state, whole_window
from ._internals import is_batched
from ._memory import is_ours
from ._operators import GENERATOR
from ._rows import INPUTS, OPERATIONS, OUTPUTS, new_outputs, run_rows

if TYPE_CHECKING:
    from .._core import MaskState
    from .._values import Value

Operands = tuple[Tensor | None, ...]
# Runs an operation on inputs, with constants, for the outputs that are wanted.
Run = Callable[[str, Operands, Sequence[Any], list[bool]], Sequence[Tensor | None]]
_RELU = 1.0  # the core's number


def record(
    operation: str, operands: Operands, state: MaskState, constants: tuple[Value, ...], wanted: list[bool]
) -> tuple[Tensor, ...]:
    """The operation on plain tensors, for autograd: y, and h if it is wanted."""
    results: tuple[Tensor, ...] = _record((operation, state, constants, wanted), *operands)
    return results


class _Recorded(Function):
    """The operation on plain tensors. The backward pass draws the mask again."""

    @staticmethod
    def forward(ctx: Any, call: tuple[str, MaskState, Any, list[bool]], *operands: Tensor | None) -> Any:
        operation, state, constants, wanted = call
        outputs = run_rows(operation, state, operands, constants, wanted)
        ctx.state = state
        _remember(ctx, operation, operands, outputs, constants)
        return tuple(tensor for tensor in outputs[:2] if tensor is not None)

    @staticmethod
    def backward(ctx: Any, *changes: Tensor | None) -> Operands:
        memory = [None if change is None else _as_memory(change) for change in changes]

        def run(name: str, inputs: Operands, constants: Sequence[Any], wanted: list[bool]) -> Any:
            return run_rows(name, ctx.state, inputs, constants, wanted)

        return None, *_gradients(ctx, run, ctx.needs_input_grad[1:], *memory)


_record = super(Function, _Recorded).apply  # as in `_apply`


def _as_memory(gradient: Tensor) -> Tensor:
    if not is_ours(gradient) or is_batched(gradient):
        raise RuntimeError(
            "a fused operation of fastdrop takes one gradient at a time, a plain tensor: leave "
            "is_grads_batched= and vectorize= out, or use torch.func"
        )
    return gradient.resolve_neg()


def _remember(
    ctx: Any,
    operation: str,
    operands: Operands,
    outputs: Sequence[Tensor | None],
    constants: Sequence[Any],
    key: Tensor | None = None,
) -> None:
    """Save what the backward pass reads, and nothing else."""
    values: dict[str, Tensor | None] = dict(zip(INPUTS[operation], operands, strict=True))
    values |= zip(OUTPUTS[operation], outputs, strict=True)
    names: list[str] = []
    if operation != "bias_dropout_add":
        names = [name for name in ("h", "mean", "rstd", "weight") if name in values]
        if values["h"] is None:
            values["h"] = values["x"]  # nothing was dropped or added
    elif constants[1]:  # an activation
        names = ["y"] if constants[1] == _RELU and values["residual"] is None else ["x", "bias"]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(key, *(values[name] for name in names))
    ctx.saved_names, ctx.operation, ctx.constants = names, operation, constants


def _gradients(
    ctx: Any, run: Run, needs: Sequence[bool], dy: Tensor | None, dh: Tensor | None = None, *_: None
) -> Operands:
    """The gradients of the operands; autograd rounds those of parameters to the parameter's dtype."""
    if torch.is_grad_enabled():  # create_graph=True
        with torch.no_grad():
            gradients = _gradients(ctx, run, needs, dy, dh)
        once: Operands = _Once.apply(torch.empty(0, device="cpu", requires_grad=True), *gradients)
        return once
    if dy is None:
        if dh is None:
            return (None,) * len(needs)
        dy = torch.zeros_like(dh)
    name = f"{ctx.operation}_backward"
    values = dict(zip(ctx.saved_names, ctx.saved_tensors[1:], strict=True)) | {"dy": dy, "dh": dh}
    needed = dict(zip(INPUTS[ctx.operation], needs, strict=True)) | {"x": True}
    results = run(
        name,
        tuple(values.get(operand) for operand in INPUTS[name]),
        ctx.constants[: len(OPERATIONS[name].constants)],
        [needed[output.removeprefix("d")] for output in OUTPUTS[name]],
    )
    found = dict(zip(OUTPUTS[name], results, strict=True))
    # Without a norm, the gradient of the residual is dy.
    return tuple(
        found.get(f"d{operand}", dy) if is_needed else None
        for operand, is_needed in zip(INPUTS[ctx.operation], needs, strict=True)
    )


class _Once(Function):
    """Gradients that are not differentiable, which says so if they are differentiated.

    torch's own `once_differentiable` takes them for constants where dy is one, although they depend on x.
    """

    @staticmethod
    def forward(ctx: Any, _: Tensor, *gradients: Tensor | None) -> Operands:
        return tuple(None if gradient is None else gradient.view_as(gradient) for gradient in gradients)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError(
            "a gradient of a fused operation of fastdrop cannot be differentiated again: use torch.func, or "
            "write the operation as fastdrop.torch.dropout and torch's own functions"
        )


# --- Operators ------------------------------------------------------------------------------------


def call(
    operation: str,
    operands: Operands,
    key: Tensor | None,
    p: float,
    noise_shape: Any,
    constants: Sequence[Any],
    wanted: list[bool],
) -> tuple[Tensor, ...]:
    """The operator: an output that is not wanted is empty. Without a key everything is kept, and p is 0."""
    flags = [int(is_wanted) for is_wanted in wanted]  # torch.jit.trace takes no list of bool
    result = getattr(torch.ops.fastdrop, operation)(*operands, key, p, noise_shape, *constants, flags)
    return (result,) if isinstance(result, Tensor) else tuple(result)


def _define(operation: str) -> None:
    info, count = OPERATIONS[operation], len(OPERATIONS[operation].inputs)
    qualified = f"fastdrop::{operation}"
    operands = [f"Tensor{'?' * operand.optional} {operand.name}" for operand in info.inputs]
    options = ["Tensor? key", "float p", "SymInt[]? noise_shape"]
    options += [f"float {constant}" for constant in info.constants]
    results = ", ".join(["Tensor"] * len(info.outputs))
    schema = f"({', '.join([*operands, *options, 'int[] wanted'])}) -> ({results})"

    def implementation(*arguments: Any) -> Any:
        inputs, (key, p, noise_shape, *constants, wanted) = arguments[:count], arguments[count:]
        low, high = (0, 0) if key is None else key.tolist()
        state = new_state(GENERATOR, (low, high), 0, whole_window(tuple(inputs[0].shape), noise_shape, p))
        return as_results(run_rows(operation, state, inputs, constants, wanted))

    def without_values(*arguments: Any) -> Any:
        return as_results(new_outputs(operation, arguments[0], arguments[-1]))

    def as_results(outputs: list[Tensor | None]) -> Any:
        made = [torch.empty(0, device="cpu") if output is None else output for output in outputs]
        return made[0] if len(made) == 1 else tuple(made)

    torch.library.define(qualified, schema, tags=(torch.Tag.pt2_compliant_tag,))
    torch.library.impl(qualified, "CPU", implementation)
    torch.library.register_fake(qualified, without_values)
    if f"{operation}_backward" in OPERATIONS:
        _define_gradient(operation, count)


def _define_gradient(operation: str, count: int) -> None:
    def remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        outputs = (output,) if isinstance(output, Tensor) else output
        key, p, noise_shape, *constants, wanted = inputs[count:]
        ctx.mark_non_differentiable(*outputs[2:])  # mean and rstd
        made = [tensor if is_wanted else None for tensor, is_wanted in zip(outputs, wanted, strict=True)]
        _remember(ctx, operation, inputs[:count], made, constants, key)
        ctx.decisions, ctx.count = (p, noise_shape), len(inputs)

    def backward(ctx: Any, *changes: Any) -> Operands:
        def run(name: str, inputs: Operands, constants: Sequence[Any], wanted: list[bool]) -> Any:
            p, noise_shape = ctx.decisions
            return call(name, inputs, ctx.saved_tensors[0], p, noise_shape, constants, wanted)

        found = _gradients(ctx, run, ctx.needs_input_grad[:count], *changes)
        return *found, *(None,) * (ctx.count - count)

    torch.library.register_autograd(f"fastdrop::{operation}", backward, setup_context=remember)


for _operation in ("bias_dropout_add", "dropout_add_layer_norm", "dropout_add_rms_norm"):
    _define(_operation)
    _define(f"{_operation}_backward")
