# SPDX-License-Identifier: BSD-3-Clause
"""From what users seed with to the key of a generator (docs/stream.md, section 2)."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from . import _checks

Seed: TypeAlias = (
    int | Sequence[int] | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | None
)

WORD = 2**32


def key_from(seed: Any, name: str) -> tuple[int, int]:
    """The two 64-bit halves of a key (stream document, section 2)."""
    bits = seed.bit_generator if isinstance(seed, np.random.Generator) else seed
    if isinstance(bits, np.random.BitGenerator):
        words = [int(word) % WORD for word in bits.random_raw(4)]
    else:
        if not isinstance(seed, np.random.SeedSequence):
            try:
                if isinstance(seed, (bool, np.bool_, float, str)):
                    raise TypeError
                seed = np.random.SeedSequence(seed)
            except (TypeError, ValueError) as error:
                raise type(error)(
                    f"{name} must be None, a non-negative integer or a sequence of them, or a numpy.random "
                    f"SeedSequence, BitGenerator or Generator, not {_checks._described(seed)}"
                ) from None
        words = seed.generate_state(4, np.uint32).tolist()
    return halves_of(words)


def halves_of(words: Sequence[int]) -> tuple[int, int]:
    """A key as the core takes it, from four 32-bit words."""
    return words[0] | words[1] << 32, words[2] | words[3] << 32


def words_of(key_low: int, key_high: int) -> tuple[int, int, int, int]:
    """A key as users see it, from its two 64-bit halves."""
    return key_low % WORD, key_low >> 32, key_high % WORD, key_high >> 32


def text_of(key: Sequence[int]) -> str:
    """Four words in hexadecimal."""
    return f"({', '.join(f'0x{word:08x}' for word in key)})"
