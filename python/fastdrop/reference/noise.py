# SPDX-License-Identifier: BSD-3-Clause
"""Alpha dropout and Gaussian dropout: the constants of the one, the normal numbers of the other.

These are sections 7 and 8 of ``docs/stream.md``. Normal numbers are float32. Each step towards a normal
number is rounded by itself, so that any machine with IEEE arithmetic gives the same bits.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import operations
from .dropout import GENERATORS, Mask, Words, counter_from, flag, key_from

__all__ = [
    "ALPHA_PRIME",
    "COSINE",
    "LOGARITHM",
    "SINE",
    "TWICE_LN_2",
    "Noise",
    "affine",
    "alpha_applied",
    "alpha_dropout",
    "alpha_dropout_backward",
    "cosine",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "gaussian_dropout_backward",
    "normals",
    "quarter_turns",
    "radius",
    "sine",
]

Floats: TypeAlias = NDArray[np.float32]

# --- 7. Alpha dropout -----------------------------------------------------------------------------
# Klambauer, Unterthiner, Mayr and Hochreiter, "Self-Normalizing Neural Networks", NIPS 2017: the limit of
# SELU for large negative inputs, and the affine map that gives mean 0 and variance 1 back.

ALPHA_PRIME = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


def affine(p: float) -> tuple[float, float, float]:
    """``a``, ``b`` and what a dropped element becomes, in double; 0 <= p < 1."""
    a = 1 / math.sqrt((1 - p) * (1 + p * (ALPHA_PRIME * ALPHA_PRIME)))
    b = -a * p * ALPHA_PRIME
    return a, b, a * ALPHA_PRIME + b


def _rate(mask: Mask) -> float:
    """The p of a mask that has one for all elements."""
    return float(mask.p.max(initial=0))


def alpha_dropout(
    x: ArrayLike, p: float = 0.5, *, rng: Any = None, training: bool = True
) -> tuple[NDArray[Any], Mask]:
    """``y = round(round(a x) + b)`` where kept, ``round(a alpha' + b)`` where dropped."""
    x = np.asarray(x)
    mask = Mask(x.shape, p if flag(training, "training") else 0.0, seed=rng)
    return alpha_applied(x, mask), mask


def feature_alpha_dropout(
    x: ArrayLike, p: float = 0.5, *, channel_axis: int = 1, rng: Any = None
) -> tuple[NDArray[Any], Mask]:
    """The same with one decision for each sample, counted by axis 0, and channel."""
    x = np.asarray(x)
    own = {0, channel_axis % x.ndim}
    noise_shape = [length if axis in own else 1 for axis, length in enumerate(x.shape)]
    mask = Mask(x.shape, p, noise_shape=noise_shape, seed=rng)
    return alpha_applied(x, mask), mask


def alpha_applied(x: NDArray[Any], mask: Mask) -> NDArray[Any]:
    """What `alpha_dropout` does, with that mask."""
    p = _rate(mask)
    if p == 0 and mask.bits is None:
        return x.copy()
    if p == 1:
        return np.zeros_like(x)
    return operations.alpha_dropout(mask.to_numpy(), x, *affine(p))


def alpha_dropout_backward(dy: ArrayLike, mask: Mask) -> NDArray[Any]:
    """``dx = round(a dy)`` where kept, ``+0.0`` where dropped."""
    dy = np.asarray(dy)
    p = _rate(mask)
    if p == 0 and mask.bits is None:
        return dy.copy()
    if p == 1:
        return np.zeros_like(dy)
    return operations.dropout(mask.to_numpy(), dy, scale=affine(p)[0])


# --- 8. Gaussian noise ----------------------------------------------------------------------------


def _words(index: NDArray[np.uint64], key: Sequence[int], stream: int, generator: str) -> Words:
    """The 32-bit word of every element: four of them share a block, whose counter has bit 63 set."""
    block, inverse = np.unique(index >> np.uint64(2), return_inverse=True)
    counter = counter_from(block | np.uint64(2**63), stream, 0)
    blocks = GENERATORS[generator](counter, key)
    words: Words = blocks[inverse.reshape(-1), (index & np.uint64(3)).astype(np.intp)]
    return words


def _floats(text: str) -> list[np.float32]:
    return [np.float32(float.fromhex(word)) for word in text.split()]


# Interpolation at the Chebyshev nodes, rounded to float32: tests/test_normals.py makes them again. They stand
# for -2 ln(1 + t) / t with 1 + t from sqrt(1/2) to sqrt(2), sin(pi y / 2) / y and cos(pi y / 2) with s = y^2.
(TWICE_LN_2,) = _floats("0x1.62e430p+0")
LOGARITHM = _floats(
    "-0x1.fffffep+0 0x1.00007ep+0 -0x1.5558acp-1 0x1.ff5cfcp-2 -0x1.97d34cp-2 0x1.61db90p-2 -0x1.4a43fcp-2 "
    "0x1.955046p-3"
)
SINE = _floats("0x1.921fb6p+0 -0x1.4abbc4p-1 0x1.4668f0p-4 -0x1.32531ep-8 0x1.3e1420p-13")
COSINE = _floats("0x1.fffffep-1 -0x1.3bd3a6p+0 0x1.03bd00p-2 -0x1.54f5a0p-6 0x1.c1e8dcp-11")


def _polynomial(coefficients: Sequence[np.float32], x: Floats) -> Floats:
    """c0 + x (c1 + x (...)), from the inside: Horner's rule."""
    *others, last = coefficients
    result: Floats = np.full_like(x, last)
    for coefficient in reversed(others):
        result = coefficient + x * result
    return result


def radius(word: Words) -> Floats:
    """``sqrt(-2 ln u)`` for the uniform number u of that word."""
    f = ((word >> np.uint32(1)) | np.uint32(1)).astype(np.float32)  # 2^31 u
    bits = f.view(np.uint32)
    e = (bits - np.uint32(0x3F3504F3)) >> np.uint32(23)  # f = 2^e m, and m is from sqrt(1/2) to sqrt(2)
    t = (bits - (e << np.uint32(23))).view(np.float32) - np.float32(1)
    halvings = np.float32(31) - e.astype(np.float32)
    return np.sqrt(halvings * TWICE_LN_2 + t * _polynomial(LOGARITHM, t))


def quarter_turns(word: Words) -> Floats:
    """The angle of that word, from -1 to 1 quarter of a turn; the word's top bit adds half a turn."""
    signed = ((word << np.uint32(1)) | np.uint32(1)).view(np.int32)
    return signed.astype(np.float32) * np.float32(2.0**-31)


def sine(y: Floats) -> Floats:
    """``sin(pi y / 2)``."""
    return y * _polynomial(SINE, y * y)


def cosine(y: Floats) -> Floats:
    """``cos(pi y / 2)``."""
    return _polynomial(COSINE, y * y)


def normals(index: ArrayLike, *, key: Sequence[int], stream: int = 0, generator: str = "ars4x32-7") -> Floats:
    """The standard normal number of every element: Box and Muller's method on the words of two partners."""
    index = np.asarray(index, np.uint64)
    flat, partner = index.reshape(-1), np.uint64(16)
    r = radius(_words(flat & ~partner, key, stream, generator))
    word = _words(flat | partner, key, stream, generator)
    y = quarter_turns(word)
    half_turn = np.where(word >> np.uint32(31), np.float32(-1), np.float32(1))
    z: Floats = r * np.where(flat & partner, sine(y), half_turn * cosine(y))
    return z.reshape(index.shape)


class Noise:
    """The slow twin of :class:`fastdrop.GaussianNoise`: it stores the index of every element."""

    def __init__(
        self,
        shape: int | Sequence[int],
        p: float = 0.5,
        *,
        seed: Any = None,
        stream: int = 0,
        generator: str = "ars4x32-7",
    ) -> None:
        self.index = np.arange(math.prod(np.atleast_1d(shape)), dtype=np.uint64).reshape(shape)
        self.p, self.key, self.stream, self.generator = p, key_from(seed), stream, generator

    def __getitem__(self, window: Any) -> "Noise":
        part = object.__new__(Noise)
        part.__dict__ = {**self.__dict__, "index": self.index[window]}
        return part

    def apply(self, x: ArrayLike) -> NDArray[Any]:
        """``round(x round(1 + round(s z)))``, with ``s = sqrt(p / (1 - p))``, in the type computed with."""
        x = np.asarray(x)
        if self.p == 0:
            return x.copy()
        z = normals(self.index, key=self.key, stream=self.stream, generator=self.generator)
        return operations.gaussian_dropout(z, x, deviation=math.sqrt(self.p / (1 - self.p)))


def gaussian_dropout(
    x: ArrayLike, p: float = 0.5, *, rng: Any = None, training: bool = True
) -> tuple[NDArray[Any], Noise]:
    """Multiply by N(1, p / (1 - p)). Returns the result and the noise."""
    x = np.asarray(x)
    noise = Noise(x.shape, p if flag(training, "training") else 0.0, seed=rng)
    return noise.apply(x), noise


def gaussian_dropout_backward(dy: ArrayLike, noise: Noise) -> NDArray[Any]:
    """Backward: y is linear in x, so the gradient is the same operation on ``dy``."""
    return noise.apply(dy)
