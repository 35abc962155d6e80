# SPDX-License-Identifier: BSD-3-Clause
"""What is drawn, as the core takes it and as users see it.

A `MaskState` of the core says who is kept: generator, key, stream, window and p. An operation and its
constants say what is done with that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from . import _checks, _core
from ._keys import format_key, unpack_key
from ._no_array import NoArray
from ._values import ScalarOrArray, Value, broadcast_value, slice_value
from ._windows import (
    AxisIndex,
    Index,
    NoiseShape,
    c_strides,
    noise_strides,
    noise_window,
    none_if_c_order,
    parse_index,
    slice_window,
)

if TYPE_CHECKING:
    from ._core import MaskState

DEFAULT_GENERATOR = "ars4x32-7"


def generator_id(name: Any, argument: str = "generator") -> int:
    """What the core calls the generator of that name."""
    return _core.generators.index(_checks.choice(name, argument, _core.generators))


class WholeWindow(NamedTuple):
    """p, shape and strides of a state, checked, before a stream is taken for it."""

    p: Value
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None


def whole_window(shape: tuple[int, ...], noise_shape: NoiseShape, p: ScalarOrArray) -> WholeWindow:
    """All elements of that shape."""
    if noise_shape is None:
        return WholeWindow(broadcast_value(p, shape), shape, None)
    noise, strides = noise_window(shape, noise_shape)
    return WholeWindow(broadcast_value(p, noise), shape, strides)


def new_state(
    generator: int, key: tuple[int, int], stream: int, window: WholeWindow, bits: bytes | None = None
) -> MaskState:
    """The decisions of that stream; with `bits` those that a user has stored."""
    return _core.MaskState(generator, key, stream, window.p, 0, window.shape, window.strides, bits)


class Drawn(NoArray):
    """The public properties of a state; base of `Mask` and `GaussianNoise`."""

    __slots__ = ("_state",)
    _state: MaskState

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._state.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._state.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self._state.shape)

    @property
    def generator(self) -> str:
        """Name of the counter-based generator, or "stored" for a mask of stored bits."""
        return _core.rules[self._state.generator]

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The generator's key: four 32-bit words; of a mask of your own zeros."""
        return unpack_key(*self._state.key)

    @property
    def stream(self) -> int:
        """The number of this mask among the masks of its key."""
        return self._state.stream

    def __len__(self) -> int:
        return self._first_length("has no len()")

    def __iter__(self) -> Iterator[Self]:
        """The windows along the first axis."""
        return map(self.__getitem__, range(self._first_length("cannot be iterated over")))

    def _first_length(self, otherwise: str) -> int:
        if not self.shape:
            raise TypeError(f"a {type(self).__name__} without axes {otherwise}")
        return self.shape[0]

    def __getitem__(self, index: Index) -> Self:
        raise NotImplementedError


def slice_state(state: MaskState, index: Index) -> tuple[MaskState, list[AxisIndex]]:
    """The state of a window, and what the index selects along every axis."""
    axes = parse_index(index, state.shape)
    shape = tuple(len(axis) for axis in axes if isinstance(axis, range))
    strides = c_strides(state.shape) if state.strides is None else state.strides
    start, steps = slice_window(state.start, strides, axes)
    part = _core.MaskState(
        state.generator,
        state.key,
        state.stream,
        slice_value(state.p, axes),
        start,
        shape,
        None if 0 in shape else none_if_c_order(steps, shape),
        state.bits,
    )
    return part, axes


def format_generator(name: str) -> str:
    """The end of a repr: the generator, if it is not the default."""
    return "" if name == DEFAULT_GENERATOR else f", generator={name!r}"


def format_drawn(drawn: Drawn, *own: str) -> str:
    """The repr of what is drawn, on one line: its shape, what its class adds, and where it comes from."""
    state, shape = drawn._state, drawn.shape
    noise_shape = state_noise_shape(state)
    parts = [f"shape={_checks.abbreviate(shape)}", *own]
    if noise_shape != shape:
        parts.append(f"noise_shape={_checks.abbreviate(noise_shape)}")
    if state.start or state.strides != noise_strides(shape, noise_shape):
        parts.append("window")
    if state.bits is not None:
        parts.append(f"stored as {len(state.bits)} bytes")
    else:
        name = format_generator(drawn.generator)
        parts += [format_key(drawn.key), f"stream={drawn.stream}{name}"]
    return _checks.on_one_line(f"<{type(drawn).__name__} ", parts, ">")


def state_noise_shape(state: MaskState) -> tuple[int, ...]:
    """The shape, with 1 for every axis along which a decision is shared."""
    if state.strides is None:
        return state.shape
    axes = zip(state.shape, state.strides, strict=True)
    return tuple(length if stride else 1 for length, stride in axes)
