# SPDX-License-Identifier: BSD-3-Clause
"""A fused operation on tensors: at once, through torch's dispatcher, or composed of torch's functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, is_grad_enabled

from .. import _checks
from .._values import scale_for
from .._windows import NoiseShape, noise_window
from ..fused._masks import keeps_all, mask_for
from ..mask import Mask, state_and_scale
from ..mask_generator import MaskGenerator
from ._fused_operators import Operands, call, record
from ._internals import has_forward_derivatives, has_function_transforms
from ._memory import are_plain, check_tensor, is_ours, not_ours
from ._operators import draw_key, draw_state
from ._rows import INPUTS, OUTPUTS, PARAMETERS, run_rows
from .functional import dropout
from .masks import apply_mask, next_state

if TYPE_CHECKING:
    from .._core import MaskState
    from .._values import Value


class Dropping(NamedTuple):
    """What a call says about dropping."""

    p: float
    training: bool
    noise_shape: NoiseShape
    rng: MaskGenerator | None
    mask: Mask | None

    @property
    def drops(self) -> bool:
        return self.training and (self.p != 0 or self.mask is not None)

    def mask_for(self, x: Tensor) -> Mask:
        """The mask that was given."""
        return mask_for(tuple(x.shape), self.p, self.rng, self.noise_shape, self.mask, self.training)

    def drop(self, x: Tensor) -> Tensor:
        """Dropout alone, as a part of a composition."""
        if self.mask is not None:
            return apply_mask(x, self.mask_for(x))
        return dropout(x, self.p, self.training, noise_shape=self.noise_shape, rng=self.rng)


def apply_fused(
    operation: str,
    operands: Operands,
    option: float,
    dropping: tuple[Any, ...],
    compose: Callable[..., tuple[Tensor, ...]],
) -> tuple[Tensor, Tensor]:
    """y and h, which is x where there is no other; `option` is the activation's number, or eps.

    `compose` does the same with torch's functions, for what the core does not do: it gets dropout alone, the
    operands and the option.
    """
    what = _checked(*dropping)
    named: dict[str, Any] = dict(zip(INPUTS[operation], operands, strict=True))
    _check_operands(named, PARAMETERS[operation])
    x, residual = named["x"], named["residual"]
    if residual is not None and residual.dtype is not x.dtype:  # as torch adds them, under autocast for one
        dtype = torch.promote_types(x.dtype, residual.dtype)
        x, residual = named["x"], named["residual"] = x.to(dtype), residual.to(dtype)
    is_changed = what.drops or residual is not None or named.get("x_bias") is not None
    wanted = [name != "h" or is_changed for name in OUTPUTS[operation]]
    inputs = tuple(named.values())
    if are_plain(inputs):
        state, scale = _decisions(x, what)
        if is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in inputs):
            results: Any = record(operation, inputs, state, (scale, option), wanted)
        else:
            results = run_rows(operation, state, inputs, (scale, option), wanted)
    elif not _has_operator(x, what):
        results = compose(what.drop, *inputs, option)
    elif what.drops:
        # Lengths, because the operator's schema has no None.
        shape = what.noise_shape
        lengths = None if shape is None else _checks.noise_shape(shape, tuple(x.shape))
        scale = scale_for(what.p, True)
        results = call(operation, inputs, draw_key(), what.p, lengths, (scale, option), wanted)
    else:
        results = call(operation, inputs, None, 0.0, None, (1.0, option), wanted)
    return results[0], results[1] if is_changed and "h" in OUTPUTS[operation] else x


def _has_operator(x: Tensor, what: Dropping) -> bool:
    """Whether the dispatcher's operators do it: they have no rules for transforms of torch.func."""
    is_drawn = what.rng is None and what.mask is None
    return is_ours(x) and is_drawn and not (has_function_transforms() or has_forward_derivatives())


def _decisions(x: Tensor, what: Dropping) -> tuple[MaskState, Value]:
    """Who is kept, and the scale."""
    if what.mask is not None:
        return state_and_scale(what.mask_for(x))
    if not what.drops:
        return state_and_scale(keeps_all(tuple(x.shape)))
    if what.rng is not None:
        return next_state(what.rng, x, what.p, what.noise_shape), scale_for(what.p, True)
    strides = None if what.noise_shape is None else noise_window(x.shape, what.noise_shape)[1]
    return draw_state(what.p, x.shape, strides), scale_for(what.p, True)


def _checked(p: Any, training: Any, noise_shape: Any, rng: Any, mask: Any) -> Dropping:
    if type(p) is not float or not 0.0 <= p <= 1.0:
        p = _checks.scalar_probability(p)
    if training is not True and training is not False:
        training = _checks.boolean(training, "training")
    return Dropping(p, training, noise_shape, rng, mask)


def _check_operands(named: dict[str, Any], parameters: set[str]) -> None:
    x = named["x"]
    check_tensor(x, "x")
    if x.dim() == 0:
        raise ValueError("x must have at least one axis, that of the features, not the shape ()")
    x_shape, x_is_ours = x.shape, is_ours(x)
    for name, tensor in named.items():
        if tensor is None or name == "x":
            continue
        check_tensor(tensor, name)
        is_parameter = name in parameters
        if tensor.shape != (x_shape[-1:] if is_parameter else x_shape):
            raise _of_other_shape(name, tensor, x, is_parameter)
        if x_is_ours and not is_ours(tensor):
            raise not_ours(f"{name} must be", tensor)
        if is_parameter and tensor.dtype is torch.float64 is not x.dtype:
            raise TypeError(f"{name} must have the dtype of x, {x.dtype}, or float32, not {tensor.dtype}")


def _of_other_shape(name: str, tensor: Tensor, x: Tensor, is_parameter: bool) -> ValueError:
    of_what = "one value for each feature of x" if is_parameter else "the shape of x"
    wanted = tuple(x.shape[-1:] if is_parameter else x.shape)
    return ValueError(f"{name} must be a tensor of {of_what}, {wanted}, not {tuple(tensor.shape)}")
