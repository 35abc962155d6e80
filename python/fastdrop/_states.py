# SPDX-License-Identifier: BSD-3-Clause
"""The joint to the core: what is drawn, its windows, and operations on arrays.

A `MaskState` of the core says who is kept: generator, key, stream, window and p. An operation and its
constants say what is done with that.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _checks, _core
from ._checks import Array
from ._keys import format_key, unpack_key
from ._rates import Rate, ScalarOrArray, broadcast_rate, slice_rate
from ._windows import (
    AxisIndex,
    Index,
    NoiseShape,
    c_strides,
    noise_strides,
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
    """What of a state is known, and checked, before a stream is taken for it."""

    p: Rate
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None


def whole_window(shape: tuple[int, ...], noise_shape: NoiseShape, p: ScalarOrArray) -> WholeWindow:
    """All elements of that shape."""
    if noise_shape is None:
        return WholeWindow(broadcast_rate(p, shape), shape, None)
    noise = _checks.noise_shape(noise_shape, shape)
    return WholeWindow(broadcast_rate(p, noise), shape, noise_strides(shape, noise))


def new_state(
    generator: int, key: tuple[int, int], stream: int, window: WholeWindow, bits: bytes | None = None
) -> MaskState:
    """The decisions of that stream; with `bits` those that a user has stored."""
    return _core.MaskState(generator, key, stream, window.p, 0, window.shape, window.strides, bits)


class Drawn:
    """What a state says, as users see it: the base of `Mask` and `GaussianNoise`."""

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
        """The generator's key: four 32-bit words; of a stored mask zeros."""
        return unpack_key(*self._state.key)

    @property
    def stream(self) -> int:
        """Which one it is among those of its key."""
        return self._state.stream

    def _slice(self, index: Index) -> tuple[MaskState, list[AxisIndex]]:
        """The state of a window, and what the index selects along every axis."""
        state = self._state
        axes = parse_index(index, state.shape)
        shape = tuple(len(axis) for axis in axes if isinstance(axis, range))
        strides = c_strides(state.shape) if state.strides is None else state.strides
        start, steps = slice_window(state.start, strides, axes)
        part = _core.MaskState(
            state.generator,
            state.key,
            state.stream,
            slice_rate(state.p, axes),
            start,
            shape,
            None if 0 in shape else none_if_c_order(steps, shape),
            state.bits,
        )
        return part, axes


def format_generator(name: str) -> str:
    """How a repr ends that has another generator than the usual one."""
    return "" if name == DEFAULT_GENERATOR else f", generator={name!r}"


def format_origin(drawn: Drawn) -> str:
    """Where the decisions come from, for a repr: the key, the stream, and the window."""
    start, strides, bits = drawn._state.start, drawn._state.strides, drawn._state.bits
    window = f", start={start}" if start else ""
    window += f", strides={strides}" if strides else ""
    if bits is not None:
        return f"stored as {len(bits)} bytes{window}"
    return f"{format_key(drawn.key)}, stream={drawn.stream}{format_generator(drawn.generator)}{window}"


def run_operation(operation: str, drawn: Drawn, names: tuple[str, ...], *arguments: Any) -> Array:
    """Do an operation of the core.

    `arguments` are its inputs, its output (None: a new array) and its constants, in the order of its row.
    `names` are those that the user knows the inputs by.
    """
    # The core takes arrays that it can walk as they lie; nothing is left to check about them.
    result = _core.run(operation, drawn._state, *arguments)
    return run_checked(operation, drawn, names, *arguments) if result is None else result


def run_checked(operation: str, drawn: Drawn, names: tuple[str, ...], *arguments: Any) -> Array:
    """`run_operation` for arrays of any layout, or that are refused here."""
    inputs, constants = arguments[: len(names)], arguments[len(names) + 1 :]
    out: Array | None = arguments[len(names)]
    shape = drawn.shape
    access_shapes = {"full": shape, "per column": shape[-1:], "per row": shape[:-1]}
    arrays = [_checks.float_array(given, name) for name, given in zip(names, inputs, strict=True)]
    x = arrays[0]
    _checks.check_shape(x, shape, names[0])
    for name, array, row in zip(names[1:], arrays[1:], _core.operations[operation].inputs[1:], strict=True):
        _checks.check_parameter(array, access_shapes[row.access], x, row.type, name)
    if out is None:
        out = np.empty(shape, x.dtype.newbyteorder("="))
    else:
        _checks.check_out(out, x, names[0])
        for name, array in zip(names, arrays, strict=True):
            _checks.check_overlap(out, array, name)
    # As a base array, since a subclass may show less of itself, as a MaskedArray with a hard mask does.
    _core.run(operation, drawn._state, *arrays, np.asarray(out), *constants, checked=True)
    return out
