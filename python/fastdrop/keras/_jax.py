# SPDX-License-Identifier: BSD-3-Clause
"""Dropout of Keras's arrays on its backend jax. The state may be traced: it is an operand."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from .._windows import NoiseShape
from ..jax import dropout as jax_dropout


def dropout(inputs: Any, rate: float, noise_shape: NoiseShape, state: Any) -> Any:
    key = jnp.zeros(4, jnp.uint32).at[0].set(state[0])
    return jax_dropout(inputs, rate, key, stream=state[1], noise_shape=noise_shape)
