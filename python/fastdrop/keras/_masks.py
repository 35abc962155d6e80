# SPDX-License-Identifier: BSD-3-Clause
"""The mask of a state of Keras's SeedGenerator."""

from __future__ import annotations

from typing import Any

from .._keys import WORD_LIMIT
from .._windows import NoiseShape
from ..mask import Mask


def state_mask(shape: tuple[int, ...], rate: float, noise_shape: NoiseShape, state: Any) -> Mask:
    """The state is ``[seed, counter]``: numbers of 32 bits, which torch holds as signed ones."""
    seed, counter = (int(number) % WORD_LIMIT for number in state)
    return Mask(shape, rate, noise_shape=noise_shape, key=(seed, 0, 0, 0), stream=counter)
