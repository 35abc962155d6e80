# SPDX-License-Identifier: BSD-3-Clause
"""Masks that are numbers instead of arrays, and their windows."""

import math
from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _checks, _core
from ._seeds import Seed, key_from, text_of, words_of

if TYPE_CHECKING:
    from ._core import _Numbers

Index: TypeAlias = int | slice | EllipsisType | tuple[int | slice | EllipsisType, ...]


class Mask:
    """A dropout mask, or a window of one: five numbers, and no array.

    Whether an element is kept is a function of the mask's numbers and of the element's index in the whole
    mask, in C order (``docs/stream.md``). So a mask costs the same whatever its shape, a window has the
    bits of the whole, and forward, backward, machines, threads and shards agree without storing anything.

    Masks are immutable, hashable and picklable, and equal if their numbers are.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the whole mask, at most 2**63 elements.
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1; exact to 2**-64.
    seed : optional
        None (fresh entropy), a non-negative int or a sequence of them, or a `numpy.random` SeedSequence,
        BitGenerator or Generator. The last two are advanced by four raw draws.
    stream : int, default 0
        One of 2**63 independent masks for the same seed, 0 <= stream < 2**63.
    generator : {"ars4x32-7", "philox4x32-10"}
        The counter-based generator.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; the message names it.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> mask = fastdrop.Mask((10**12, 1024), p=0.1, seed=42)  # costs nothing
    >>> shard = mask[10**11 : 10**11 + 2, :8]
    >>> shard.apply(np.ones((2, 8), np.float32)).shape
    (2, 8)
    >>> shard.to_numpy().dtype
    dtype('bool')
    """

    __slots__ = ("_numbers",)
    _numbers: "_Numbers"

    def __init__(
        self,
        shape: int | Sequence[int],
        p: float = 0.5,
        *,
        seed: Seed = None,
        stream: int = 0,
        generator: str = "ars4x32-7",
    ) -> None:
        lengths = _checks.shape(shape)
        p = _checks.probability(p)
        stream = _checks.integer(stream, "stream", 0, _checks.INDEX_LIMIT)
        number = _core.generators.index(_checks.choice(generator, "generator", _core.generators))
        self._numbers = (number, *key_from(seed, "seed"), stream, p, 0, lengths, None)

    @staticmethod
    def _of(numbers: "_Numbers") -> "Mask":
        mask = object.__new__(Mask)
        mask._numbers = numbers
        return mask

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._numbers[6]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def p(self) -> float:
        """Probability of dropping."""
        return self._numbers[4]

    @property
    def generator(self) -> str:
        """Name of the counter-based generator."""
        return _core.generators[self._numbers[0]]

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The generator's key: four 32-bit words."""
        return words_of(*self._numbers[1:3])

    @property
    def stream(self) -> int:
        """Number of the mask among those of its key."""
        return self._numbers[3]

    def apply(self, x: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Scale what is kept, and put zero where an element is dropped.

        ``y = round(x * s)`` where kept and ``+0.0`` where dropped, with ``s = 1 / (1 - p)`` rounded once to
        the dtype. The zero is selected, not multiplied: a dropped NaN becomes 0. This is the forward pass
        and, on the gradient, the backward pass.

        Parameters
        ----------
        x : array_like of float32 or float64
            Values, of the mask's shape, in any layout and byte order; nothing is copied but sequences. What
            has the buffer protocol or ``__dlpack__`` counts as an array, and subclasses as base arrays.
        out : ndarray, optional
            Where to write: of x's shape and dtype, in any layout whose elements have memory of their own,
            and either `x` itself or not overlapping it. From 32 MiB on a new array takes about twice as
            long as a used one, because its pages come from the system at every call; in place takes least.

        Returns
        -------
        ndarray
            `out`, or a new base array of x's shape and dtype, in C order and native byte order.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit; `out` is then untouched.
        """
        return self._apply(x, out, "x")

    def _apply(self, x: ArrayLike, out: NDArray[Any] | None, name: str) -> NDArray[Any]:
        # The core takes arrays that it can walk as they lie; nothing is left to check about them.
        result: NDArray[Any] | None = _core.scale_kept(x, out, self._numbers)
        if result is not None:
            return result
        array = _checks.float_array(x, name)
        _checks.same_shape(array, self.shape, name)
        if out is None:
            out = np.empty(array.shape, array.dtype.newbyteorder("="))
        else:
            _checks.output(out, array, name)
        # As a base array, since a subclass may show less of itself, as a MaskedArray with a hard mask does.
        _core.scale_kept_strided(array, np.asarray(out), self._numbers)
        return out

    def to_numpy(self) -> NDArray[np.bool_]:
        """The mask as an array of bool: True where an element is kept."""
        return _core.keep_mask(self._numbers)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a Mask has no array to share; a copy is needed")
        array = self.to_numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a mask without axes has no len()")
        return self.shape[0]

    def __getitem__(self, index: Index) -> "Mask":
        """A window: basic indexing with integers, slices (steps too) and ``...``, as on an array."""
        generator, key_low, key_high, stream, p, start, shape, strides = self._numbers
        if strides is None:
            strides = _c_strides(shape)
        window_shape: list[int] = []
        window_strides: list[int] = []
        for length, stride, entry in zip(shape, strides, _entries(index, len(shape)), strict=True):
            if isinstance(entry, slice):
                picked = range(length)[entry]
                window_shape.append(len(picked))
                window_strides.append(stride * picked.step)
                start += stride * picked.start
            elif -length <= entry < length:
                start += stride * (entry % length)
            else:
                given = _checks._shown(entry)
                raise IndexError(f"a mask's index must be within the axis of length {length}, not {given}")
        lengths = tuple(window_shape)
        if 0 in lengths:
            return Mask._of((generator, key_low, key_high, stream, p, 0, lengths, None))
        plain = _c_strides(lengths)
        steps = tuple(
            0 if length == 1 else stride for length, stride in zip(lengths, window_strides, strict=True)
        )
        return Mask._of(
            (generator, key_low, key_high, stream, p, start, lengths, None if steps == plain else steps)
        )

    def __eq__(self, other: object) -> bool:
        return self._numbers == other._numbers if isinstance(other, Mask) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.generator, *self._numbers[1:])

    def __repr__(self) -> str:
        window = f", start={self._numbers[5]}" if self._numbers[5] or self._numbers[7] else ""
        window += f", strides={self._numbers[7]}" if self._numbers[7] else ""
        return (
            f"<fastdrop.Mask shape={self.shape}, p={self.p!r}, key={text_of(self.key)}, "
            f"stream={self.stream}, generator={self.generator!r}{window}>"
        )


def _unpickled(generator: str, *rest: Any) -> Mask:
    return Mask._of((_core.generators.index(generator), *rest))


def _c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in C order; 0 for an axis of length 1, whose stride is never used, so that equals are equal."""
    strides, stride = [], 1
    for length in reversed(shape):
        strides.append(0 if length == 1 else stride)
        stride *= length
    return tuple(reversed(strides))


def _entries(index: Any, ndim: int) -> list[Any]:
    """One integer or slice for every axis."""
    entries = list(index) if isinstance(index, tuple) else [index]
    for position, entry in enumerate(entries):
        if entry is not Ellipsis and not isinstance(entry, slice):
            entries[position] = _checks.index(entry, "a mask's index")
    if entries.count(Ellipsis) > 1:
        raise IndexError("a mask's index can have one '...' only")
    missing = ndim - (len(entries) - entries.count(Ellipsis))
    if missing < 0:
        raise IndexError(f"a mask of {ndim} axes has been indexed with {ndim - missing}")
    position = entries.index(Ellipsis) if Ellipsis in entries else len(entries)
    entries[position : position + 1] = [slice(None)] * missing
    return entries
