# SPDX-License-Identifier: BSD-3-Clause
"""Masks and plain dropout: who is kept, and the scale.

The numbers are those of the sections of ``docs/stream.md``:

1. a generator turns a 128-bit counter and a key into 128 bits;
2. a mask has a generator, key, stream, noise shape and p, and no array; its elements are numbered in C order;
3. every index has one 64-bit number ``U``, and the element is dropped when ``U < p * 2**64``;
4. what is kept is scaled by ``1 / (1 - p)``, what is dropped becomes ``+0.0``;
6. a stored mask has bits instead.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import operations
from .operations import computed_with

__all__ = [
    "GENERATORS",
    "Mask",
    "ars4x32",
    "counter_from",
    "dropout",
    "dropout_backward",
    "keep",
    "key_from",
    "philox4x32",
    "scale",
    "threshold",
]

Bytes: TypeAlias = NDArray[np.uint8]
Words: TypeAlias = NDArray[np.uint32]

# --- 1. Generators: (counter, key) -> 128 bits, as four little-endian 32-bit words ------------------
# Both are from Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC'11).


def _xtime(byte: int) -> int:
    """Multiply by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, section 4.2)."""
    return ((byte << 1) ^ ((byte >> 7) * 0x1B)) & 0xFF


def _make_sbox() -> NDArray[np.uint8]:
    """The AES S-box from its definition: the inverse in GF(2^8), then an affine map (FIPS 197, 5.1.1)."""
    exponential = [1]  # powers of 3, which generates the multiplicative group of order 255
    for _ in range(254):
        exponential.append(exponential[-1] ^ _xtime(exponential[-1]))
    logarithm = {byte: power for power, byte in enumerate(exponential)}
    sbox = np.empty(256, np.uint8)
    for byte in range(256):
        inverse = exponential[-logarithm[byte] % 255] if byte else 0
        bits = inverse * 0x0101  # so that a right shift of the 16 bits rotates the byte
        sbox[byte] = 0x63 ^ inverse ^ ((bits >> 4) ^ (bits >> 5) ^ (bits >> 6) ^ (bits >> 7)) & 0xFF
    return sbox


_SBOX = _make_sbox()
# ShiftRows: byte 4 * column + row comes from the column `row` places further on (FIPS 197, 5.1.2).
_SHIFT_ROWS = np.array([4 * ((column + row) % 4) + row for column in range(4) for row in range(4)])


def _aes_round(state: Bytes, key: Bytes, *, last: bool = False) -> Bytes:
    """One AES encryption round on bytes of shape (..., 16): what ``aesenc`` (or ``aesenclast``) does."""
    state = _SBOX[state][..., _SHIFT_ROWS]
    if not last:  # MixColumns: each byte becomes 2*itself + 3*next + the other two of its column
        column: Bytes = state.reshape((*state.shape[:-1], 4, 4))
        following = np.roll(column, -1, axis=-1)
        double: Bytes = (column << np.uint8(1)) ^ ((column >> np.uint8(7)) * np.uint8(0x1B))
        double_following = np.roll(double, -1, axis=-1)
        rest = np.roll(column, -2, axis=-1) ^ np.roll(column, -3, axis=-1)
        state = (double ^ double_following ^ following ^ rest).reshape(state.shape)
    return state ^ key


def ars4x32(counter: ArrayLike, key: Sequence[int], rounds: int = 7) -> Words:
    """ARS: AES rounds with a Weyl key schedule; `counter` is (..., 4) uint32, `key` four words."""
    state = _words_to_bytes(counter) ^ _words_to_bytes(key)
    low = int(key[0]) | int(key[1]) << 32
    high = int(key[2]) | int(key[3]) << 32
    for each in range(1, rounds + 1):
        low = (low + 0x9E3779B97F4A7C15) % 2**64  # 2^64 times the golden ratio's fraction
        high = (high + 0xBB67AE8584CAA73B) % 2**64  # 2^64 * (sqrt(3) - 1)
        round_key = np.frombuffer(low.to_bytes(8, "little") + high.to_bytes(8, "little"), np.uint8)
        state = _aes_round(state, round_key, last=each == rounds)
    return np.ascontiguousarray(state).view("<u4").astype(np.uint32)


def philox4x32(counter: ArrayLike, key: Sequence[int], rounds: int = 10) -> Words:
    """Philox: multiply and exchange halves; `counter` is (..., 4) uint32, two words of `key` are used."""
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, np.uint64), -1, 0)
    k0, k1 = int(key[0]), int(key[1])
    low_half, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(rounds):
        product0 = np.uint64(0xD2511F53) * c0
        product1 = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (product1 >> shift) ^ c1 ^ np.uint64(k0),
            product1 & low_half,
            (product0 >> shift) ^ c3 ^ np.uint64(k1),
            product0 & low_half,
        )
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def _words_to_bytes(words: ArrayLike) -> Bytes:
    return np.ascontiguousarray(words, "<u4").view(np.uint8)


GENERATORS: dict[str, Callable[[ArrayLike, Sequence[int]], Words]] = {
    "ars4x32-7": ars4x32,
    "philox4x32-10": philox4x32,
}


# --- 2. Key, stream, index ------------------------------------------------------------------------


def key_from(rng: Any) -> tuple[int, ...]:
    """Four 32-bit words from anything that SPEC 7 accepts as ``rng``."""
    if isinstance(rng, np.random.Generator):
        rng = rng.bit_generator
    if isinstance(rng, np.random.BitGenerator):
        return tuple(int(word) & 0xFFFFFFFF for word in rng.random_raw(4))
    if not isinstance(rng, np.random.SeedSequence):
        rng = np.random.SeedSequence(rng)
    return tuple(int(word) for word in rng.generate_state(4, np.uint32))


def counter_from(index: ArrayLike, stream: int, use: int) -> Words:
    """The counter of a block (`use` 0) or of a tied element (`use` 1): bit 127 keeps the two apart."""
    index = np.asarray(index, np.uint64)
    counter = np.empty((*index.shape, 4), np.uint32)
    counter[..., 0] = index & np.uint64(0xFFFFFFFF)
    counter[..., 1] = index >> np.uint64(32)
    counter[..., 2] = stream % 2**32
    counter[..., 3] = stream >> 32 | use << 31
    return counter


# --- 3. The 64-bit number of an element, and the decision -----------------------------------------


def threshold(p: float = 0.5, *, keep_prob: float | None = None) -> int:
    """``D``, an integer from 0 to 2^64: p * 2^64 rounded half to even.

    With keep_prob it is 2^64, less keep_prob * 2^64 rounded half to even.
    """
    if keep_prob is not None:
        return 2**64 - threshold(keep_prob)
    return round(math.ldexp(p, 64))  # the product is exact; round() of a float rounds half to even


def keep(
    index: ArrayLike,
    p: float = 0.5,
    *,
    keep_prob: float | None = None,
    key: Sequence[int],
    stream: int = 0,
    generator: str = "ars4x32-7",
) -> NDArray[np.bool_]:
    """True where the element with that index is kept; `index` is an integer array of any shape."""
    index = np.asarray(index, np.uint64)
    bound = threshold(p, keep_prob=keep_prob)
    if bound in (0, 2**64):
        return np.full(index.shape, bound == 0)
    generate = GENERATORS[generator]
    high, low = divmod(bound, 2**48)

    # The upper 16 bits of U: eight consecutive elements share the 16 bytes of one block.
    flat = index.reshape(-1)
    block, inverse = np.unique(flat >> np.uint64(3), return_inverse=True)
    sixteenths = _words_to_bytes(generate(counter_from(block, stream, 0), key)).view("<u2")
    upper = sixteenths[inverse, (flat & np.uint64(7)).astype(np.intp)]

    kept = upper > high
    tied = upper == high  # one in 65,536: only here the lower 48 bits decide
    words = generate(counter_from(flat[tied], stream, 1), key).astype(np.uint64)
    lower = words[..., 0] | (words[..., 1] & np.uint64(0xFFFF)) << np.uint64(32)
    kept[tied] = lower >= np.uint64(low)
    return kept.reshape(index.shape)


# --- 4. Masks and output --------------------------------------------------------------------------


def scale(p: float, dtype: DTypeLike) -> Any:
    """``1 / (1 - p)``, computed in double and rounded once to what `dtype` is computed with."""
    return np.array(1.0 / (1.0 - p)).astype(computed_with(dtype))[()]


class Mask:
    """The slow twin of :class:`fastdrop.Mask`: it stores the index of every element."""

    def __init__(
        self,
        shape: int | Sequence[int],
        p: float | NDArray[np.float64] = 0.5,
        *,
        noise_shape: Sequence[int | None] | None = None,
        inverted: bool = True,
        keep_prob: float | NDArray[np.float64] | None = None,
        seed: Any = None,
        stream: int = 0,
        generator: str = "ars4x32-7",
        key: Sequence[int] | None = None,
    ) -> None:
        lengths = np.broadcast_shapes(shape)  # an int counts as one length
        noise = lengths
        if noise_shape is not None:
            noise = tuple(n if e is None else e for e, n in zip(noise_shape, lengths, strict=True))
        index = np.arange(math.prod(noise), dtype=np.uint64).reshape(noise)
        self.index = np.broadcast_to(index, lengths)
        given = np.asarray(p if keep_prob is None else keep_prob, np.float64)
        # An array is broadcast to the noise shape first, and that to the shape.
        given = np.broadcast_to(np.broadcast_to(given, noise), lengths)
        # The one that was given decides. The other one is rounded, maybe to 0 or 1.
        self.p, self.keep_prob = (given, 1.0 - given) if keep_prob is None else (1.0 - given, given)
        self.given = "p" if keep_prob is None else "keep_prob"
        with np.errstate(divide="ignore", over="ignore"):  # where nothing is kept
            self.scale = 1.0 / self.keep_prob if flag(inverted, "inverted") else np.ones(lengths)
        self.key = key_from(seed) if key is None else tuple(key)
        self.stream, self.generator = stream, generator
        self.bits: NDArray[np.uint8] | None = None

    @staticmethod
    def from_bits(
        bits: NDArray[np.uint8],
        shape: int | Sequence[int],
        p: float | None = None,
        *,
        keep_prob: float | None = None,
    ) -> "Mask":
        """A stored mask: bit ``i % 8`` of byte ``i // 8`` says whether element ``i`` is kept.

        `apply` broadcasts it, as NumPy does.
        """
        if p is None and keep_prob is None:
            raise TypeError("p or keep_prob must be given, for the scale: p=0 leaves what is kept unscaled")
        mask = Mask(shape, 0.0 if p is None else p, keep_prob=keep_prob, seed=0)
        mask.bits = bits
        return mask

    @staticmethod
    def from_array(
        keep: NDArray[np.bool_], p: float | None = None, *, keep_prob: float | None = None
    ) -> "Mask":
        return Mask.from_bits(np.packbits(keep, bitorder="little"), keep.shape, p, keep_prob=keep_prob)

    def __getitem__(self, window: Any) -> "Mask":
        """A window of a mask is a mask whose elements have kept the indices they had in the whole."""
        part = object.__new__(Mask)
        part.__dict__ = self.__dict__ | {
            name: getattr(self, name)[window] for name in ("index", "p", "keep_prob", "scale")
        }
        return part

    def to_numpy(self) -> NDArray[np.bool_]:
        if self.bits is not None:
            eight = self.bits[self.index >> np.uint64(3)]
            return np.asarray(eight >> (self.index & np.uint64(7)) & np.uint64(1), np.bool_)
        kept = np.empty(self.index.shape, np.bool_)
        given = getattr(self, self.given)
        for value in np.unique(given).tolist():
            here = given == value
            kept[here] = keep(
                self.index[here],
                value,
                keep_prob=value if self.given == "keep_prob" else None,
                key=self.key,
                stream=self.stream,
                generator=self.generator,
            )
        return kept

    def apply(self, x: ArrayLike) -> NDArray[Any]:
        """``y = round(x * s)`` where kept, ``+0.0`` where dropped: by select, so NaN does not survive.

        ``s`` is the scale rounded once to the dtype. ``p = 0`` and ``s = 1`` copy bits.
        """
        x = np.asarray(x)
        y = operations.dropout(self.to_numpy(), x, scale=self.scale)
        copied = (self.p == 0) & (self.scale == 1) & (self.bits is None)
        return np.where(copied, x, y)


def flag(value: Any, name: str) -> bool:
    """A flag is a bool, or the integer 0 or 1. By Python's rules the string "test" would be true."""
    if np.asarray(value).dtype.kind not in "biu" or np.ndim(value) or value not in (0, 1):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def dropout(
    x: ArrayLike,
    p: float | NDArray[np.float64] = 0.5,
    *,
    rng: Any = None,
    noise_shape: Sequence[int | None] | None = None,
    inverted: bool = True,
    keep_prob: float | NDArray[np.float64] | None = None,
    training: bool = True,
) -> tuple[NDArray[Any], Mask]:
    """Forward: drop and scale. Returns the result and the mask, as :func:`fastdrop.dropout` does."""
    x = np.asarray(x)
    mask = Mask(x.shape, p, noise_shape=noise_shape, inverted=inverted, keep_prob=keep_prob, seed=rng)
    if not flag(training, "training"):
        mask.scale = np.ones(x.shape) if inverted else mask.keep_prob
        # Everything is kept, but a factor of 0 drops: infinity times 0 would be NaN.
        mask.p = (mask.scale == 0).astype(np.float64)
        mask.given = "p"
    return mask.apply(x), mask


def dropout_backward(dy: ArrayLike, mask: Mask) -> NDArray[Any]:
    """Backward: y is linear in x, elementwise, so the gradient is the same operation on ``dy``."""
    return mask.apply(dy)
