# SPDX-License-Identifier: BSD-3-Clause
"""Masks that hold no array unless they are stored, and their windows."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks, _core
from ._checks import Array, Probability
from ._keys import Key, Seed, given_key, key_from
from ._operations import run_checked
from ._states import (
    DEFAULT_GENERATOR,
    Drawn,
    WholeWindow,
    format_drawn,
    generator_id,
    new_state,
    slice_state,
    state_noise_shape,
    whole_window,
)
from ._stored import NO_KEY, broadcast_along, broadcast_state, packed, stored_rate, stored_state
from ._values import (
    ScalarOrArray,
    Value,
    drop_probability,
    evaluation_rate,
    keep_probability,
    scale_for,
    slice_value,
    view_value,
)
from ._windows import Index, NoiseShape

if TYPE_CHECKING:
    from ._core import MaskState


class Mask(Drawn):
    """A dropout mask, or a window of one. It holds no array unless it is stored (`from_array`).

    Whether an element is kept depends on the mask's generator, key, stream and p, and on the element's index
    in the whole mask, in C order (``docs/stream.md``). So a mask costs the same whatever its shape, a window
    has the bits of the whole, and forward, backward, machines, threads and shards agree without storing
    anything.

    Masks are immutable, hashable and picklable. Two masks are equal if all that they depend on is equal.

    A mask is not an array. `apply` and `dropout_backward` apply it, scale included; `to_numpy` makes an array
    of bool. ``dy * mask``, ``np.asarray(mask)`` and every other use as an array raises TypeError.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the whole mask, at most 2**63 elements.
    p : float or array of float, default 0.5
        Probability of dropping an element, from 0 to 1; exact to 2**-64. An array is broadcast to the noise
        shape: a rate for every row or channel. It is copied.
    noise_shape : sequence of int or None, optional
        For every axis its length, or 1: one decision is shared along the whole axis; None means the length.
        The mask is drawn at this shape, in C order ([1]_ calls it that).
    inverted : bool, default True
        Scale what is kept by ``1 / (1 - p)``. False: leave it as it is, as in the original paper [2]_, which
        multiplies by ``1 - p`` in evaluation instead.
    keep_prob : float or array of float, optional
        The probability of keeping, instead of `p`; exact to 2**-64, also where ``1 - keep_prob`` is not a
        float. The scale is ``1 / keep_prob``.
    seed : optional
        None (fresh entropy), a non-negative int or a sequence of them, or a `numpy.random` SeedSequence,
        BitGenerator or Generator. The last two are advanced by four raw draws.
    stream : int, default 0
        One of 2**63 independent masks for the same seed, 0 <= stream < 2**63.
    generator : {"ars4x32-7", "philox4x32-10"}
        The counter-based generator.
    key : sequence of int, optional
        Four 32-bit words instead of a seed: the `key` of another mask, or of another library.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; the message names it.

    References
    ----------
    .. [1] TensorFlow, ``tf.nn.dropout(x, rate, noise_shape)``.
    .. [2] Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: A Simple Way to Prevent
       Neural Networks from Overfitting", JMLR 15 (2014), sections 4 and 10.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> mask = fastdrop.Mask((10**12, 1024), p=0.1, seed=42)  # costs nothing
    >>> shard = mask[10**11 : 10**11 + 2, :8]
    >>> shard.apply(np.ones((2, 8), np.float32)).shape
    (2, 8)
    >>> shard.to_numpy().dtype
    dtype('bool')
    >>> channels = fastdrop.Mask((8, 64, 28, 28), p=0.1, noise_shape=(None, None, 1, 1), seed=42)
    >>> channels.noise_shape
    (8, 64, 1, 1)
    >>> fastdrop.Mask(mask.shape, mask.p, key=mask.key, stream=mask.stream) == mask
    True
    """

    __slots__ = ("_scale",)
    _names = ("mask", "dropout")
    _state: MaskState  # who is kept
    _scale: Value  # what kept elements are multiplied by

    def __init__(
        self,
        shape: int | Sequence[int],
        p: Probability = _checks.DEFAULT_P,
        *,
        noise_shape: NoiseShape = None,
        inverted: bool = True,
        keep_prob: Probability | None = None,
        seed: Seed = None,
        stream: int = 0,
        generator: str = DEFAULT_GENERATOR,
        key: Key = None,
    ) -> None:
        lengths = _checks.shape(shape)
        window = whole_window(lengths, noise_shape, _checks.rate(p, keep_prob))
        stream = _checks.integer(stream, "stream", 0, _checks.INDEX_LIMIT)
        self._scale = scale_for(window.p, _checks.boolean(inverted, "inverted"))
        halves = key_from(seed, "seed") if key is None else given_key(key, seed)
        self._state = new_state(generator_id(generator), halves, stream, window)

    @staticmethod
    def from_array(
        keep: ArrayLike, p: Probability | None = None, *, keep_prob: Probability | None = None
    ) -> Mask:
        """A mask of your own, from an array: stored, as one bit an element.

        Parameters
        ----------
        keep : array_like of bool
            True where an element is kept, of any shape.
        p : float or array of float
            What the mask counts as the probability of dropping, less than 1: the scale is ``1 / (1 - p)``. 0
            leaves what is kept unscaled.
        keep_prob : float or array of float
            Instead of `p`: the scale is ``1 / keep_prob``.

        Returns
        -------
        Mask
            Its `generator` is ``"stored"``. Windows of it share its bits, and pickle all of them. `apply`
            broadcasts it to the array: a mask of shape ``(N, 1)`` keeps whole rows of ``(N, M)``.

        Raises
        ------
        TypeError, ValueError
            If `keep` is not an array of bool, or neither or both of `p` and `keep_prob` are given, or one is
            out of range.

        Examples
        --------
        >>> import numpy as np, fastdrop
        >>> mask = fastdrop.Mask.from_array(np.array([True, False, True]), p=0.5)
        >>> mask.apply(np.array([1.0, 2.0, 3.0]))
        array([2., 0., 6.])
        >>> fastdrop.Mask.from_bits(mask.to_bits(), 3, p=0.5) == mask
        True
        """
        array = _checks.bool_array(keep, "keep")
        return _stored_mask(np.packbits(array, bitorder="little"), array.shape, p, keep_prob)

    @staticmethod
    def from_bits(
        bits: NDArray[np.uint8] | bytes | bytearray | memoryview,
        shape: int | Sequence[int],
        p: Probability | None = None,
        *,
        keep_prob: Probability | None = None,
    ) -> Mask:
        """A mask of your own, from bits as ``np.packbits(keep, bitorder="little")`` returns them.

        Parameters
        ----------
        bits : array of uint8 or bytes-like
            Element `i`, counted in C order, is kept if bit ``i % 8`` of byte ``i // 8`` is 1, where bit 0 is
            the least significant one. They are copied.
        shape : int or sequence of int
            Shape of the mask; it needs ``(size + 7) // 8`` bytes.
        p, keep_prob : float or array of float
            As in `from_array`: one of the two.

        Returns
        -------
        Mask
            As from `from_array`.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind, or the bits are not those of the shape.
        """
        lengths = _checks.shape(shape)
        return _stored_mask(_checks.packed_bits(bits, "bits", math.prod(lengths)), lengths, p, keep_prob)

    @property
    def p(self) -> ScalarOrArray:
        """Probability of dropping: a float, or where it varies a read-only array of the mask's shape.

        It is rounded if the mask was made with a keep_prob below 0.5; the decisions are not.
        """
        return view_value(drop_probability(self._state.p), self.shape)

    @property
    def scale(self) -> ScalarOrArray:
        """What kept elements are multiplied by: 1 / (1 - p), or 1 if not inverted; 0 where p = 1 keeps none.

        Of a mask that was made with keep_prob it is ``1 / keep_prob``. It is a float, or an array as for `p`.
        """
        return view_value(self._scale, self.shape)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The shape, with 1 for every axis along which a decision is shared."""
        return state_noise_shape(self._state)

    def apply(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        """Scale what is kept, and put zero where an element is dropped.

        ``y = round(x * s)`` where kept and ``+0.0`` where dropped, with the mask's `scale` s rounded once to
        the dtype. The zero is selected, not multiplied: a dropped NaN becomes 0. This is the forward pass
        and, on the gradient, the backward pass.

        Parameters
        ----------
        x : array_like of float16, bfloat16, float32 or float64
            Values, of the mask's shape, in any layout and byte order; a mask of your own is broadcast to
            them. Arrays, buffers and DLPack objects are used in place; lists are converted. A subclass is
            treated as `numpy.ndarray`.
        out : ndarray, optional
            Where to write: of x's shape and dtype, in any layout whose elements have memory of their own,
            and either `x` itself or not overlapping it. A new array of 32 MiB or more takes at least twice as
            long as a reused one, because the system maps its pages at every call. In place is fastest.

        Returns
        -------
        ndarray
            `out`, or a new base array of x's shape and dtype, in C order and native byte order.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit; `out` is then untouched.
        """
        return apply_mask(self, x, out, "x")

    def to_numpy(self) -> NDArray[np.bool_]:
        """The mask as an array of bool: True where an element is kept."""
        keep: NDArray[np.bool_] = _core.run("keep_mask", self._state, None)
        return keep

    def to_bits(self) -> NDArray[np.uint8]:
        """The mask as ``np.packbits(mask.to_numpy(), bitorder="little")``, which `from_bits` takes."""
        return packed(self._state)

    def __getitem__(self, index: Index) -> Mask:
        """A window: basic indexing with integers, slices (steps too) and ``...``, as on an array."""
        state, axes = slice_state(self._state, index)
        return new_mask(state, slice_value(self._scale, axes))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return super().__eq__(other)
        equal: bool = _core.with_subnormals(operator.eq, state_and_scale(self), state_and_scale(other))
        return equal

    def __hash__(self) -> int:
        return _core.with_subnormals(hash, state_and_scale(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return new_mask, (self._state, self._scale)

    def __repr__(self) -> str:
        return _core.with_subnormals(self._text)

    def _text(self) -> str:
        rate, scale = self._state.p, self.scale
        if not isinstance(rate, float):
            own = ["p=array"]
        else:  # a p that is rounded would say too little
            own = [f"p={rate}" if rate >= 0 else f"keep_prob={-rate}"]
        if not isinstance(scale, np.ndarray) and self._scale != scale_for(self._state.p, True):
            own.append(f"scale={scale!r}")
        return format_drawn(self, *own)


def new_mask(state: MaskState, scale: Value) -> Mask:
    """The mask that keeps whom the state says, and scales them by that. Pickles have this function's name."""
    _core.check_mask(state, scale)
    mask = object.__new__(Mask)
    mask._state, mask._scale = state, scale
    return mask


def state_and_scale(mask: Mask) -> tuple[MaskState, Value]:
    """What `new_mask` makes a mask of."""
    return mask._state, mask._scale


def evaluation_mask(window: WholeWindow, inverted: bool) -> Mask:
    """The mask of evaluation. It draws nothing, so that it needs no key.

    It keeps everything. If training leaves the scale to evaluation, it multiplies by the probability of
    keeping, and drops where that is 0: infinity times 0 would be NaN.
    """
    scale = 1.0 if inverted else keep_probability(window.p)
    decided = WholeWindow(evaluation_rate(scale), window.shape, window.strides)
    return new_mask(new_state(0, (0, 0), 0, decided), scale)


def apply_mask(mask: Mask, x: ArrayLike, out: Array | None, name: str) -> Array:
    """`Mask.apply` for an array that its user knows by that name."""
    result: Array | None = _core.run("dropout", mask._state, x, out, mask._scale)
    if result is not None:
        return result
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, name)
    if array.shape != mask._state.shape:
        mask = broadcast_mask(mask, array.shape, name)
    done: Array = run_checked("dropout", mask._state, (name,), array, out, mask._scale)
    return done


def broadcast_mask(mask: Mask, shape: tuple[int, ...], name: str) -> Mask:
    """A mask of a user's own, repeated to the shape of an array. Any mask as it is if that does not fit."""
    own = (1,) * (len(shape) - mask.ndim) + mask.shape
    if len(own) != len(shape) or any(n not in (1, m) for n, m in zip(own, shape, strict=True)):
        return mask
    if mask._state.bits is None or mask._state.key != NO_KEY:
        raise ValueError(
            f"{name} must have the shape {mask.shape}, not {shape}: only a mask of your own is broadcast "
            f"(from_array); to share decisions, make a mask of the shape {shape} with noise_shape={own}"
        )
    return new_mask(broadcast_state(mask._state, shape), broadcast_along(mask._scale, len(shape)))


def drawn_mask(bits: bytes, drawn: MaskState, shape: tuple[int, ...], p: float) -> Mask:
    """The stored mask of bits that the core has made of what was drawn: whole tiles, 0 beyond the last one.

    It has the key and stream of that, and is not broadcast.
    """
    window = whole_window(shape, None, p)
    state = new_state(_core.rules.index("stored"), drawn.key, drawn.stream, window, bits)
    return new_mask(state, scale_for(window.p, True))


def _stored_mask(bits: NDArray[np.uint8], shape: tuple[int, ...], p: Any, keep_prob: Any) -> Mask:
    window = whole_window(shape, None, stored_rate(p, keep_prob))
    return new_mask(stored_state(bits, window), scale_for(window.p, True))
