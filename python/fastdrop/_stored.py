# SPDX-License-Identifier: BSD-3-Clause
"""Masks as bits: the state that holds bits of a user's own, and the bits of any state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _checks, _core
from ._states import WholeWindow, new_state, slice_state
from ._values import Broadcast, ScalarOrArray, Value
from ._windows import c_strides

if TYPE_CHECKING:
    from ._core import MaskState

NO_KEY = 0, 0  # of bits that nobody drew: a user's own. Those of DropBlock have the key that drew them.
_TILE = 128  # elements: the core reads whole tiles of up to so many
_BLOCK = 2**18  # elements: their decisions are bytes in the second-level cache, and hundreds of calls' work


def stored_rate(p: Any, keep_prob: Any) -> ScalarOrArray:
    """What sets the scale of stored bits: p or keep_prob, of which there is no default."""
    if p is None and keep_prob is None:
        wanted = "or keep_prob, for the scale of what is kept: p=0 leaves what is kept unscaled"
        raise TypeError(f"p must be given, {wanted}")
    rate = _checks.rate(_checks.DEFAULT_P if p is None else p, keep_prob)
    if np.any(rate == 1):
        wanted = "p must be less than 1" if keep_prob is None else "keep_prob must be more than 0"
        raise ValueError(f"{wanted} where elements are kept")
    return rate


def stored_state(bits: NDArray[np.uint8], window: WholeWindow) -> MaskState:
    """The state of a mask that keeps where the bits say so."""
    size = math.prod(window.shape)
    padded = np.zeros(-(-size // _TILE) * _TILE // 8, np.uint8)
    padded[: bits.size] = bits
    if size % 8:
        padded[size // 8] &= 2 ** (size % 8) - 1  # equal masks are equal to the last bit
    return new_state(_core.rules.index("stored"), NO_KEY, 0, window, padded.tobytes())


def broadcast_state(state: MaskState, shape: tuple[int, ...]) -> MaskState:
    """The state of a stored mask, repeated to that shape as NumPy broadcasts."""
    strides = c_strides(state.shape) if state.strides is None else state.strides
    new = (0,) * (len(shape) - len(strides))
    p = broadcast_along(state.p, len(shape))
    # An axis of length 1 has the stride 0 already.
    return _core.MaskState(
        state.generator, state.key, state.stream, p, state.start, shape, new + strides, state.bits
    )


def broadcast_along(value: Value, ndim: int) -> Value:
    """The value of a window that is repeated along new first axes, up to so many."""
    if isinstance(value, float):
        return value
    return Broadcast(value.values, value.start, (0,) * (ndim - len(value.strides)) + value.strides)


def packed(state: MaskState) -> NDArray[np.uint8]:
    """The decisions as ``np.packbits(..., bitorder="little")`` packs them, without an array of them all."""
    bits = np.empty(-(-math.prod(state.shape) // 8), np.uint8)
    done, rest = 0, np.empty(0, np.bool_)
    for part in _parts(state):
        keep = np.concatenate([rest, _core.run("keep_mask", part, None).reshape(-1)])
        whole = keep.size // 8
        bits[done : done + whole] = np.packbits(keep[: 8 * whole], bitorder="little")
        done, rest = done + whole, keep[8 * whole :]
    bits[done:] = np.packbits(rest, bitorder="little")
    return bits


def _parts(state: MaskState) -> Iterator[MaskState]:
    """Windows of at most a block that are the whole, in C order."""
    size = math.prod(state.shape)
    if size <= _BLOCK:
        yield state
        return
    length, row = state.shape[0], size // state.shape[0]
    if row > _BLOCK:
        for index in range(length):
            yield from _parts(slice_state(state, index)[0])
    else:
        step = _BLOCK // row
        for first in range(0, length, step):
            yield slice_state(state, slice(first, first + step))[0]
