# SPDX-License-Identifier: BSD-3-Clause
"""Turns a seed into the key of a generator (docs/stream.md, section 2)."""

from __future__ import annotations

import itertools
import operator
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.random import BitGenerator, Generator, SeedSequence

from . import _checks, _core, _remedies

Key: TypeAlias = Sequence[int] | None  # four words of 32 bits
Seed: TypeAlias = int | Sequence[int] | SeedSequence | BitGenerator | Generator | None

WORD_LIMIT = 2**32
_HALF = 2**64 - 1
_LONGEST_RANGE = 2**20  # integers; a SeedSequence makes an array of them
_LONGEST_SEED = 24  # characters, so that a repr stays on a line; 2**64 has 20


def key_from(seed: Any, name: str) -> tuple[int, int]:
    """The two 64-bit halves of a key (stream document, section 2)."""
    if seed is None:  # as fresh as NumPy's, whose own way takes 8 us
        entropy = int.from_bytes(os.urandom(16), "little")
        return entropy & _HALF, entropy >> 64
    if type(seed) is int and 0 <= seed < 2**128:
        return _core.seed_key(seed & _HALF, seed >> 64)
    bits = seed.bit_generator if isinstance(seed, Generator) else seed
    if isinstance(bits, BitGenerator):
        words = bits.random_raw(4).tolist()
    else:
        if not isinstance(seed, SeedSequence):
            try:
                _check_integers(seed)
                # An integer of a subclass as it is, whatever its methods say.
                seed = SeedSequence(int.__index__(seed) if isinstance(seed, int) else seed)
            except (TypeError, ValueError, RecursionError) as error:
                raise _refusal(
                    seed, name, ValueError if isinstance(error, ValueError) else TypeError
                ) from None
        words = seed.generate_state(4, np.uint32).tolist()
    return pack_key(words)


def given_key(key: Any, seed: Any) -> tuple[int, int]:
    """The halves of a key that somebody already has, which stands instead of a seed."""
    if seed is not None:
        raise ValueError("seed and key exclude each other: a seed makes a key. Give one of them")
    is_array = isinstance(key, np.ndarray) and key.ndim == 1
    if not is_array and (
        not isinstance(key, Sequence) or isinstance(key, (str, bytes, bytearray, memoryview))
    ):
        remedy = _remedies.for_key(key)
        raise TypeError(f"key must be four 32-bit words, not {_checks.describe(key)}{remedy}")
    words = list(itertools.islice(key, 6))  # a range may have more of them than there is memory
    if len(words) != 4:
        given = len(words) if len(words) < 6 else "more"
        raise ValueError(f"key must be four 32-bit words, not {given} of them")
    return pack_key([_checks.integer(word, "a word of key", 0, WORD_LIMIT) for word in words])


def _check_integers(seed: Any) -> None:
    """Refuse what a SeedSequence takes for integers, or fails with: bools, texts, floats, nested sequences.

    Before NumPy 2.5 a SeedSequence flattens nested sequences, and later ones refuse them.
    """
    if isinstance(seed, range):
        if seed[_LONGEST_RANGE:]:
            raise ValueError  # there may be more of them than memory
    elif isinstance(seed, (list, tuple, np.ndarray)) and not isinstance(seed, np.ma.MaskedArray):
        if not isinstance(seed, np.ndarray) or seed.dtype.kind not in "iu" or seed.ndim != 1:
            for entry in seed:
                _check_integer(entry)
    else:
        _check_integer(seed)


def _check_integer(seed: Any) -> None:
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise TypeError


def _refusal(seed: Any, name: str, kind: type[Exception]) -> Exception:
    masks = "a fastdrop.MaskGenerator, " if name == "rng" else ""  # what is called a seed may not be one
    return kind(
        f"{name} must be {masks}None, a non-negative integer or a sequence of them, or a numpy.random "
        f"SeedSequence, BitGenerator or Generator, not {_checks.describe(seed)}"
        f"{_remedies.for_seed(seed, name)}"
    )


def pack_key(words: Sequence[int]) -> tuple[int, int]:
    """A key as the core takes it, in two 64-bit halves, from the low 32 bits of four words."""
    low = WORD_LIMIT - 1
    a, b, c, d = words
    return a & low | (b & low) << 32, c & low | (d & low) << 32


def unpack_key(key_low: int, key_high: int) -> tuple[int, int, int, int]:
    """A key as users see it, from its two 64-bit halves."""
    return key_low % WORD_LIMIT, key_low >> 32, key_high % WORD_LIMIT, key_high >> 32


def plain_seed(seed: Any) -> int | tuple[int, ...] | None:
    """The seed for a repr to show, if it is an integer or a short sequence of them; otherwise None."""
    try:
        if isinstance(seed, Sequence):
            plain: int | tuple[int, ...] = tuple(map(operator.index, seed))
        else:
            plain = operator.index(seed)
    except TypeError:
        return None
    return plain if len(repr(plain)) <= _LONGEST_SEED else None


def format_key(key: Sequence[int], seed: int | tuple[int, ...] | None = None) -> str:
    """What every repr shows of a key: the seed that it was made from, if that is known, or its first word."""
    return f"key=0x{key[0]:08x}..." if seed is None else f"seed={seed}"
