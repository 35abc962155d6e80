# SPDX-License-Identifier: BSD-3-Clause
"""Dropout of Keras's arrays on its backend numpy, which computes no gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._checks import Array
from .._windows import NoiseShape
from ..mask import apply_mask
from ._masks import state_mask


def dropout(inputs: Any, rate: float, noise_shape: NoiseShape, state: Any) -> Array:
    return apply_mask(state_mask(np.shape(inputs), rate, noise_shape, state), inputs, None, "inputs")
