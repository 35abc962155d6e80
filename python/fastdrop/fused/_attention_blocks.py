# SPDX-License-Identifier: BSD-3-Clause
"""How attention is cut: blocks of heads, or of the query rows of one head, whose scores stay in the cache."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._checks import Array
from ..mask import state_and_scale
from ._saved import SavedAttention

# Of the scores of a block, and of the rows of a causal one, which compute what its last row sees
# (docs/performance-log.md has their neighbours).
BLOCK_BYTES, CAUSAL_ROWS = 1 << 20, 64
FEWEST_ROWS = 64  # of one head, in more bytes if need be: by 16, 16,384 keys took 1.3 to 1.5 times as long


class Block(NamedTuple):
    """Some heads, or some query rows of one head, and the keys that they see."""

    heads: tuple[int | slice, ...]  # an index into the leading axes
    rows: slice
    keys: slice

    @property
    def queries(self) -> tuple[Any, ...]:
        """An index into what has a row for every query."""
        return (*self.heads, self.rows)

    @property
    def seen(self) -> tuple[Any, ...]:
        """An index into what has a row for every key."""
        return (*self.heads, self.keys)


def blocks(
    shape: tuple[int, ...], is_causal: bool, item_bytes: int, causal_rows: int | None = None
) -> Iterator[Block]:
    """The blocks of scores of that shape. What no row of a block sees is left out."""
    *leading, rows, keys = shape
    room = BLOCK_BYTES // item_bytes // max(keys, 1)  # rows of all keys
    row_count = min(rows, max(room, FEWEST_ROWS), (causal_rows or CAUSAL_ROWS) if is_causal else rows)
    for heads in _groups(leading, max(room // max(row_count, 1), 1)):
        for first in range(0, rows, max(row_count, 1)):
            last = min(first + row_count, rows)
            yield Block(heads, slice(first, last), slice(0, min(keys, last) if is_causal else keys))


def _groups(leading: list[int], count: int) -> Iterator[tuple[int | slice, ...]]:
    """Indices of so many heads at the most: parts of one axis, and all of those after it."""
    axis = len(leading)
    while axis > 0 and math.prod(leading[axis - 1 :]) <= count:
        axis -= 1
    rest = tuple(slice(0, length) for length in leading[axis:])
    if axis == 0:
        yield rest
        return
    step = max(1, count // max(math.prod(leading[axis:]), 1))
    for outer in np.ndindex(*leading[: axis - 1]):
        for first in range(0, leading[axis - 1], step):
            yield (*outer, slice(first, min(first + step, leading[axis - 1])), *rest)


class _Kept(threading.local):
    """Memory of a thread that its next attention uses again. New memory is mapped page by page."""

    def __init__(self) -> None:
        self.bytes: dict[str, Array] = {}
        self.is_used = False


_kept = _Kept()


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Use this thread's memory. A call inside another one, from a signal's handler, has memory of its own."""
    outer, was_used = _kept.bytes, _kept.is_used
    try:
        _kept.is_used = True
        if was_used:
            _kept.bytes = {}
        yield
    finally:
        _kept.bytes, _kept.is_used = outer, was_used


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array of that shape, where the last one of that name was, if that was not unusually large."""
    size = math.prod(shape) * dtype.itemsize
    memory = _kept.bytes.get(name)
    if memory is None or memory.size < size:
        memory = np.empty(size, np.uint8)
        if size <= 4 * BLOCK_BYTES:
            _kept.bytes[name] = memory
    return memory[:size].view(dtype).reshape(shape)


class Products:
    """The matrix products of an attention, a block at a time, in memory that is used again."""

    def __init__(self, saved: SavedAttention) -> None:
        self._saved = saved
        self.compute = saved.lse.dtype
        leading = saved.lse.shape[:-1]
        self._arrays = {
            name: np.broadcast_to(ready(array), (*leading, *array.shape[-2:]))
            for name, array in (("query", saved.query), ("key", saved.key), ("value", saved.value))
        }

    def part(self, name: str, index: tuple[Any, ...]) -> Array:
        """A part of an operand, in the type that is computed with."""
        part: Array = self._arrays[name][index].astype(self.compute, copy=False)
        return part

    def scores(self, name: str, left: Array, right: Array) -> tuple[Array, Array]:
        """``left @ right^T`` for the keys that a block sees, and the same with room for all keys."""
        whole = scratch(name, (*left.shape[:-1], self._saved.mask.shape[-1]), self.compute)
        seen = whole[..., : right.shape[-2]]
        return np.matmul(left, right.swapaxes(-1, -2), out=seen), whole

    def run(self, operation: str, block: Block, *operands: Any) -> None:
        """An operation of the core on scores of a block."""
        saved = self._saved
        state, drop_scale = state_and_scale(saved.mask[block.queries])
        visible = block.rows.start + 1.0 if saved.is_causal else math.inf
        _core.run(operation, state, *operands, drop_scale, saved.scale, visible, True)

    def added(self, block: Block) -> Array | None:
        """What is added to the scores of a block."""
        if self._saved.attn_mask is None:
            return None
        part: Array = self._saved.attn_mask[block.queries]
        return part if part.dtype == self.compute else part.astype(self.compute, order="C")


def ready(array: Array) -> Array:
    """The array, or a copy that NumPy's product takes as it is: one of the last two axes is contiguous."""
    itemsize, strides = array.itemsize, array.strides[-2:]
    direct = array.dtype.isnative and array.flags.aligned and itemsize in strides
    return array if direct else np.array(array, array.dtype.newbyteorder("="), order="C")


def _product(left: Array, right: Array) -> Array:
    shape = (*left.shape[:-1], right.shape[-1])
    return np.matmul(left, right, out=scratch("product", shape, left.dtype))


def multiply(left: Array, right: Array, out: Array) -> None:
    """``out = left @ right``, which NumPy writes where it belongs if it can."""
    if out.dtype == left.dtype and out.flags.aligned and out.strides[-1] == out.itemsize:
        np.matmul(left, right, out=out)
    else:
        out[...] = _product(left, right)


class Gradient:
    """The gradient of an operand of an attention, to which blocks add.

    `starts_at_zero`: some of it may be written by no block, or by none first.
    """

    def __init__(
        self,
        operand: Array,
        leading: tuple[int, ...],
        out: Array | None,
        compute: np.dtype[Any],
        starts_at_zero: bool,
    ) -> None:
        self.out = np.empty(operand.shape, operand.dtype.newbyteorder("=")) if out is None else out
        base = np.asarray(self.out)  # a subclass has code of its own
        self._sum = (
            base if base.dtype == compute and ready(base) is base else np.empty(operand.shape, compute)
        )
        missing = len(leading) - (operand.ndim - 2)
        self._whole = self._sum[(None,) * missing]
        self._shared = tuple(axis for axis, length in enumerate(leading) if self._whole.shape[axis] != length)
        if self._shared or starts_at_zero:
            self._sum[...] = 0

    def add(
        self, heads: tuple[int | slice, ...], rows: slice, is_first: bool, left: Array, right: Array
    ) -> None:
        """Add ``left @ right`` to these rows, or write it if it is what they get first."""
        whole = self._whole
        if self._shared:
            heads = tuple(
                entry if axis not in self._shared else slice(0, 1) if isinstance(entry, slice) else 0
                for axis, entry in enumerate(heads)
            )
            product = _product(left, right)
            kept = [axis for axis, entry in enumerate(heads) if isinstance(entry, slice)]
            shared = tuple(place for place, axis in enumerate(kept) if axis in self._shared)
            whole[(*heads, rows)] += product.sum(axis=shared, keepdims=True)
        elif is_first:
            multiply(left, right, whole[(*heads, rows)])
        else:
            whole[(*heads, rows)] += _product(left, right)

    def result(self) -> Array:
        """The gradient, rounded to its dtype."""
        if not np.may_share_memory(self._sum, self.out):
            np.asarray(self.out)[...] = self._sum
        return self.out
