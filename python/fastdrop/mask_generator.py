# SPDX-License-Identifier: BSD-3-Clause
"""Generators that hand out masks, one stream after another, and can be saved and spawned."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _checks, _core
from ._seeds import WORD, Seed, halves_of, key_from, text_of, words_of
from ._windows import NoiseShape
from .mask import Mask, rates_of, window_of

if TYPE_CHECKING:
    from ._core import _Source, _Window


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

    def __init__(self, seed: Seed = None, *, generator: str = "ars4x32-7") -> None:
        number = _core.generators.index(_checks.choice(generator, "generator", _core.generators))
        self._start(number, key_from(seed, "seed"))

    @classmethod
    def _of(cls, number: int, key: tuple[int, int]) -> "MaskGenerator":
        masks = object.__new__(cls)
        masks._start(number, key)
        return masks

    def _start(self, number: int, key: tuple[int, int]) -> None:
        self._source, self._children = (number, *key, _core.new_streams(0)), 0
        self._lock = threading.Lock()

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The key of every mask handed out: four 32-bit words."""
        return words_of(*self._source[1:3])

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
        return self._next(window_of(lengths, noise_shape, *rates_of(p, keep_prob, inverted)))

    def _next(self, window: "_Window") -> Mask:
        number, key_low, key_high, streams = self._source
        return Mask._of((number, key_low, key_high, _core.take_stream(streams), *window, None))

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
        seeds = (
            np.random.SeedSequence(self.key, spawn_key=(child,)) for child in range(first, first + count)
        )
        return [MaskGenerator._of(self._source[0], key_from(seed, "seed")) for seed in seeds]

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
        number, key, stream, children = _checked_state(state)
        with self._lock:
            self._source, self._children = (number, *key, _core.new_streams(stream)), children

    def __getstate__(self) -> dict[str, Any]:
        return self.state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._lock = threading.Lock()
        self.state = state

    def __repr__(self) -> str:
        key = text_of(self.key)
        stream = _core.streams_handed_out(self._source[3])
        return f"<fastdrop.MaskGenerator key={key}, stream={stream}, generator={self.generator!r}>"


def _checked_state(state: Any) -> tuple[int, tuple[int, int], int, int]:
    _checks.state(state, {"generator", "key", "stream", "children"})
    generator = _checks.choice(state["generator"], "state['generator']", _core.generators)
    number = _core.generators.index(generator)
    if not isinstance(state["key"], Sequence) or len(state["key"]) != 4:
        raise ValueError(f"state['key'] must be four integers, not {_checks._described(state['key'])}")
    words = [_checks.integer(word, "state['key']", 0, WORD) for word in state["key"]]
    stream = _checks.integer(state["stream"], "state['stream']", 0, _checks.INDEX_LIMIT + 1)
    children = _checks.integer(state["children"], "state['children']", 0, _checks.INDEX_LIMIT)
    return number, halves_of(words), stream, children
