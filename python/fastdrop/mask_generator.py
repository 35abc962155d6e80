# SPDX-License-Identifier: BSD-3-Clause
"""Generators that hand out masks, one stream after another, and can be saved and spawned."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from . import _checks, _core
from ._checks import Probability
from ._keys import WORD_LIMIT, Key, Seed, format_key, given_key, key_from, pack_key, plain_seed, unpack_key
from ._saving import check_state, plain_state
from ._states import (
    DEFAULT_GENERATOR,
    WholeWindow,
    format_generator,
    generator_id,
    new_state,
    whole_window,
)
from ._values import scale_for
from ._windows import NoiseShape
from .mask import Mask, new_mask

if TYPE_CHECKING:
    from ._core import MaskState

_DEFAULT_ID = generator_id(DEFAULT_GENERATOR)
_CHILDREN_LIMIT = _checks.INDEX_LIMIT  # a state holds fewer children than that
_AT_ONCE = 2**20  # children: a list of so many takes ten seconds, and some hundred MB


class MaskGenerator:
    """Hands out masks: one key, and the streams 0, 1, 2, ... one after another.

    Parameters
    ----------
    seed : optional
        As for `Mask`: None, a non-negative int or a sequence of them, or a `numpy.random` SeedSequence,
        BitGenerator or Generator.
    generator : {"ars4x32-7", "philox4x32-10"}
        The counter-based generator of the masks.
    key : sequence of int, optional
        Four 32-bit words instead of a seed, as for `Mask`.

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

    __slots__ = ("_children", "_lock", "_seed", "_source")
    # Replaced as a whole, so that no mask mixes the old state with the new. The lock guards the children.
    _source: _core.MaskSource
    _seed: int | tuple[int, ...] | None  # what the repr shows instead of the key

    def __init__(self, seed: Seed = None, *, generator: str = DEFAULT_GENERATOR, key: Key = None) -> None:
        halves = key_from(seed, "seed") if key is None else given_key(key, seed)
        self._start(generator_id(generator), halves, plain_seed(seed))

    def _start(self, generator: int, key: tuple[int, int], seed: int | tuple[int, ...] | None = None) -> None:
        self._source, self._children, self._seed = _core.MaskSource(generator, key, 0), 0, seed
        self._lock = threading.Lock()

    @property
    def key(self) -> tuple[int, int, int, int]:
        """The key of every mask handed out: four 32-bit words."""
        return unpack_key(*self._source.key)

    @property
    def generator(self) -> str:
        """Name of the counter-based generator."""
        return _core.generators[self._source.generator]

    def mask(
        self,
        shape: int | Sequence[int],
        p: Probability = _checks.DEFAULT_P,
        *,
        noise_shape: NoiseShape = None,
        inverted: bool = True,
        keep_prob: Probability | None = None,
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
        window = whole_window(lengths, noise_shape, _checks.rate(p, keep_prob))
        # Before the stream is taken: `inverted` may be refused.
        scale = scale_for(window.p, _checks.boolean(inverted, "inverted"))
        return new_mask(draw_state(self, window), scale)

    def spawn(self, n_children: int) -> list[MaskGenerator]:
        """New generators with keys of their own, for workers or layers.

        The key of child `c`, counted from 0, is that of
        ``numpy.random.SeedSequence(key, spawn_key=(c,))``; children are numbered over all calls.

        Parameters
        ----------
        n_children : int
            How many, at most 2**20 in one call.

        Returns
        -------
        list of MaskGenerator
            They use the same counter-based generator.

        Raises
        ------
        TypeError, ValueError
            If `n_children` is not an integer from 0 to ``2**20``, or more than the keys that are left of
            ``2**63 - 1``.
        """
        count = _checks.integer(n_children, "n_children", 0, _AT_ONCE + 1)
        with self._lock:
            source, first = self._source, self._children
            left = _CHILDREN_LIMIT - 1 - first
            if count > left:
                raise ValueError(f"n_children must be at most {left}, the keys that are left, not {count}")
            self._children += count
        return [_child(source, index) for index in range(first, first + count)]

    @property
    def state(self) -> dict[str, Any]:
        """What the next masks depend on: numbers and strings. It may be set.

        JSON, NumPy's archives, pickle and HDF5 can hold it, and what they give back can be set.
        """
        with self._lock:
            return {
                "generator": self.generator,
                "key": list(self.key),
                "stream": self._source.handed_out,
                "children": self._children,
            }

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        generator, key, stream, children = _checked_state(state)
        with self._lock:
            if key != self._source.key:
                self._seed = None
            self._source, self._children = _core.MaskSource(generator, key, stream), children

    def __getstate__(self) -> tuple[dict[str, Any], int | tuple[int, ...] | None]:
        return self.state, self._seed

    def __setstate__(self, saved: tuple[dict[str, Any], int | tuple[int, ...] | None]) -> None:
        if not isinstance(saved, tuple) or len(saved) != 2:
            raise TypeError(f"state must be a tuple of a dict and a seed, not {_checks.describe(saved)}")
        state, seed = saved
        generator, key, stream, children = _checked_state(state)
        self._start(generator, key, plain_seed(seed))
        self._source, self._children = _core.MaskSource(generator, key, stream), children

    def __repr__(self) -> str:
        return f"<MaskGenerator {format_source(self)}>"


def _checked_state(state: Any) -> tuple[int, tuple[int, int], int, int]:
    state = plain_state(state)
    check_state(state, {"generator", "key", "stream", "children"})
    generator = generator_id(state["generator"], "state['generator']")
    if not isinstance(state["key"], list) or len(state["key"]) != 4:
        raise ValueError(f"state['key'] must be four integers, not {_checks.describe(state['key'])}")
    words = [_checks.integer(word, "state['key']", 0, WORD_LIMIT) for word in state["key"]]
    stream = _checks.integer(state["stream"], "state['stream']", 0, _checks.INDEX_LIMIT + 1)
    children = _checks.integer(state["children"], "state['children']", 0, _CHILDREN_LIMIT)
    return generator, pack_key(words), stream, children


# --- For the other modules: they neither know nor touch what a generator consists of ---------------

Rng: TypeAlias = Seed | MaskGenerator


def new_generator(generator: int, key: tuple[int, int], seed: Any = None) -> MaskGenerator:
    """A new generator at stream 0 of that key. `seed` is what the repr shows."""
    masks = object.__new__(MaskGenerator)
    masks._start(generator, key, plain_seed(seed))
    return masks


def format_source(masks: MaskGenerator) -> str:
    """What the next mask is made from, for a repr: the seed or the key, the stream, and the generator."""
    with masks._lock:  # the lock keeps key, seed and stream of one state together
        source, seed = masks._source, masks._seed
    key = format_key(unpack_key(*source.key), seed)
    return f"{key}, stream={source.handed_out}{format_generator(_core.generators[source.generator])}"


def child_generator(parent: MaskGenerator, child: int) -> MaskGenerator:
    """The child of that index, whether `spawn` has made it or not."""
    return _child(parent._source, child)


def _child(source: _core.MaskSource, child: int) -> MaskGenerator:
    seed = np.random.SeedSequence(unpack_key(*source.key), spawn_key=(child,))
    return new_generator(source.generator, key_from(seed, "seed"))


def as_generator(rng: Rng) -> MaskGenerator:
    """A `MaskGenerator` is returned unchanged; any other seed makes a new one."""
    if isinstance(rng, MaskGenerator):
        return rng
    return new_generator(_DEFAULT_ID, key_from(rng, "rng"), rng)


def draw_mask(masks: MaskGenerator, p: float, shape: tuple[int, ...]) -> Mask:
    """The next mask, for a p above 0 and below 1. `MaskGenerator.mask` checks first, which takes longer."""
    return _core.draw_mask(masks, p, shape, Mask)


def draw_state(rng: Rng, window: WholeWindow) -> MaskState:
    """The next stream of a `MaskGenerator`; of anything else that is a source of keys stream 0."""
    if isinstance(rng, MaskGenerator):
        return rng._source.draw(*window)
    return new_state(_DEFAULT_ID, key_from(rng, "rng"), 0, window)
