# SPDX-License-Identifier: BSD-3-Clause
"""Generators that hand out masks, one stream after another, and can be saved and spawned."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _checks, _core
from ._keys import WORD_LIMIT, Seed, format_key, key_from, pack_key, unpack_key
from ._rates import p_and_scale
from ._windows import NoiseShape
from .mask import DEFAULT_GENERATOR, Mask, generator_id, new_mask, whole_window

if TYPE_CHECKING:
    from ._core import _Source, _Window

_DEFAULT_ID = generator_id(DEFAULT_GENERATOR)


class MaskGenerator:
    """Hands out masks: one key, and the streams 0, 1, 2, ... one after another.

    Parameters
    ----------
    seed : optional
        As for `Mask`: None, a non-negative int or a sequence of them, or a `numpy.random` SeedSequence,
        BitGenerator or Generator.
    generator : {"ars4x32-7", "philox4x32-10"}
        The counter-based generator of the masks.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Notes
    -----
    A generator can be shared between threads: each mask is handed out once.

    Examples
    --------
    >>> import fastdrop
    >>> masks = fastdrop.MaskGenerator(0)
    >>> masks.mask((2, 3), 0.1).stream, masks.mask((2, 3), 0.1).stream
    (0, 1)
    """

    __slots__ = ("_children", "_lock", "_source")
    # Replaced as a whole: no mask is half of the old state and half of the new. The lock guards the children.
    _source: "_Source"

    def __init__(self, seed: Seed = None, *, generator: str = DEFAULT_GENERATOR) -> None:
        self._start(generator_id(generator), key_from(seed, "seed"))

    def _start(self, generator: int, key: tuple[int, int]) -> None:
        self._source, self._children = (generator, *key, _core.new_streams(0)), 0
        self._lock = threading.Lock()

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The key of every mask handed out: four 32-bit words."""
        return unpack_key(*self._source[1:3])

    @property
    def generator(self) -> str:
        """Name of the counter-based generator."""
        return _core.generators[self._source[0]]

    def mask(
        self,
        shape: int | Sequence[int],
        p: float | NDArray[Any] = _checks.DEFAULT_P,
        *,
        noise_shape: NoiseShape = None,
        inverted: bool = True,
        keep_prob: float | NDArray[Any] | None = None,
    ) -> Mask:
        """The next mask.

        Parameters
        ----------
        shape : int or sequence of int
            Shape of the mask, at most 2**63 elements.
        p : float or array of float, default 0.5
            Probability of dropping an element, from 0 to 1; as for `Mask`.
        noise_shape, inverted, keep_prob : optional
            As for `Mask`.

        Returns
        -------
        Mask
            The mask of the next stream.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind or out of range; no stream is used up then.
        """
        lengths = _checks.shape(shape)
        return draw_mask(self, whole_window(lengths, noise_shape, *p_and_scale(p, keep_prob, inverted)))

    def spawn(self, n_children: int) -> "list[MaskGenerator]":
        """New generators with keys of their own, for workers or layers.

        The key of child number `c` is that of
        ``numpy.random.SeedSequence(key, spawn_key=(c,))``; children are numbered over all calls.

        Parameters
        ----------
        n_children : int
            How many.

        Returns
        -------
        list of MaskGenerator
            They use the same counter-based generator.

        Raises
        ------
        TypeError, ValueError
            If `n_children` is not an integer of at least 0.
        """
        count = _checks.integer(n_children, "n_children", 0, _checks.INDEX_LIMIT)
        with self._lock:
            first = self._children
            self._children += count
        return [child_generator(self, child) for child in range(first, first + count)]

    @property
    def state(self) -> dict[str, Any]:
        """What the next masks depend on, as plain numbers and strings that JSON can hold; may be set."""
        with self._lock:
            return {
                "generator": self.generator,
                "key": list(self.key),
                "stream": _core.streams_handed_out(self._source[3]),
                "children": self._children,
            }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        generator, key, stream, children = _checked_state(state)
        with self._lock:
            self._source, self._children = (generator, *key, _core.new_streams(stream)), children

    def __getstate__(self) -> dict[str, Any]:
        return self.state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._lock = threading.Lock()
        self.state = state

    def __repr__(self) -> str:
        key = format_key(self.key)
        stream = _core.streams_handed_out(self._source[3])
        return f"<fastdrop.MaskGenerator key={key}, stream={stream}, generator={self.generator!r}>"


def _checked_state(state: Any) -> tuple[int, tuple[int, int], int, int]:
    _checks.check_state(state, {"generator", "key", "stream", "children"})
    generator = generator_id(state["generator"], "state['generator']")
    if not isinstance(state["key"], Sequence) or len(state["key"]) != 4:
        raise ValueError(f"state['key'] must be four integers, not {_checks.describe(state['key'])}")
    words = [_checks.integer(word, "state['key']", 0, WORD_LIMIT) for word in state["key"]]
    stream = _checks.integer(state["stream"], "state['stream']", 0, _checks.INDEX_LIMIT + 1)
    children = _checks.integer(state["children"], "state['children']", 0, _checks.INDEX_LIMIT)
    return generator, pack_key(words), stream, children


# --- For the other modules: they neither know nor touch what a generator consists of ---------------

Rng: TypeAlias = Seed | MaskGenerator


def new_generator(generator: int, key: tuple[int, int]) -> MaskGenerator:
    """A generator at the start of that key."""
    masks = object.__new__(MaskGenerator)
    masks._start(generator, key)
    return masks


def child_generator(parent: MaskGenerator, child: int) -> MaskGenerator:
    """The child of that number, whether `spawn` has made it or not."""
    seed = np.random.SeedSequence(parent.key, spawn_key=(child,))
    return new_generator(parent._source[0], key_from(seed, "seed"))


def as_generator(rng: Rng) -> MaskGenerator:
    """A `MaskGenerator` as it is; of anything else that is a source of keys a new one."""
    return rng if isinstance(rng, MaskGenerator) else new_generator(_DEFAULT_ID, key_from(rng, "rng"))


def draw_mask(rng: Rng, window: "_Window") -> Mask:
    """The next mask of a `MaskGenerator`; of anything else that is a source of keys the mask of stream 0."""
    if isinstance(rng, MaskGenerator):
        generator, key_low, key_high, streams = rng._source
        return new_mask(generator, (key_low, key_high), _core.take_stream(streams), window)
    return new_mask(_DEFAULT_ID, key_from(rng, "rng"), 0, window)
