# SPDX-License-Identifier: BSD-3-Clause
"""Dropout of Keras's tensors on its backend torch."""

from __future__ import annotations

from typing import Any

import ml_dtypes  # Keras needs it
import torch

from .._windows import NoiseShape
from ..mask import Mask, apply_mask
from ._masks import state_mask


def dropout(inputs: Any, rate: float, noise_shape: NoiseShape, state: Any) -> Any:
    if inputs.device.type == "meta":  # Keras asks for a shape
        return torch.empty_like(inputs)
    if inputs.device.type != "cpu":
        raise TypeError(
            f"inputs must be in CPU memory, not on {inputs.device}: use keras.layers.Dropout there, or "
            "with keras.device('cpu')"
        )
    if torch._C._current_graph_task_id() != -1:  # asked by torch.utils.checkpoint too
        raise RuntimeError(
            "dropout was called in a backward pass, with another mask than in the forward pass: keep "
            "keras.RematScope from layers that call a dropout layer, as with mode='list_of_layers'"
        )
    mask = state_mask(tuple(inputs.shape), rate, noise_shape, state.tolist())
    return _Dropout.apply(inputs, mask)


class _Dropout(torch.autograd.Function):
    """Linear in its inputs: the gradient is the same operation with the same mask, and so on."""

    @staticmethod
    def forward(context: Any, inputs: Any, mask: Mask) -> Any:
        context.mask = mask
        values = inputs.detach()
        if values.dtype != torch.bfloat16:
            return torch.from_numpy(apply_mask(mask, values.numpy(), None, "inputs"))
        bits = values.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)  # NumPy itself has no bfloat16
        result = apply_mask(mask, bits, None, "inputs").view("u2")
        return torch.from_numpy(result).view(torch.bfloat16)

    @staticmethod
    def backward(context: Any, gradient: Any) -> tuple[Any, None]:
        return _Dropout.apply(gradient, context.mask), None
