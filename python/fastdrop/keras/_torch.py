# SPDX-License-Identifier: BSD-3-Clause
"""Dropout of Keras's tensors on its backend torch."""

from __future__ import annotations

from typing import Any

import torch

from .._windows import NoiseShape
from ..torch._internals import is_in_backward_pass
from ..torch.masks import apply_mask
from ._masks import state_mask


def dropout(inputs: Any, rate: float, noise_shape: NoiseShape, state: Any) -> Any:
    if inputs.device.type == "meta":  # Keras asks for a shape
        return torch.empty_like(inputs)
    if inputs.device.type != "cpu":
        raise TypeError(
            f"inputs must be in CPU memory, not on {inputs.device}: use keras.layers.Dropout there, or "
            "with keras.device('cpu')"
        )
    if is_in_backward_pass():
        raise RuntimeError(
            "dropout was called in a backward pass, with another mask than in the forward pass: keep "
            "keras.RematScope from layers that call a dropout layer, as with mode='list_of_layers'"
        )
    return apply_mask(inputs, state_mask(tuple(inputs.shape), rate, noise_shape, state.tolist()))
