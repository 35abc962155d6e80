# SPDX-License-Identifier: BSD-3-Clause
"""The words of both generators, by others: randomgen's Philox, and AES rounds that make the AES of OpenSSL.

Nothing here is taken from fastdrop. A counter is an integer of 128 bits, and a key has four 32-bit words.
OpenSSL does not show a single round. So rounds are written out here, and OpenSSL judges ten of them together:
with the key schedule of FIPS 197 they must encrypt as AES-128 does.
"""

import numpy as np
import randomgen
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

HALF = 2**64
WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B  # docs/stream.md, section 1
PHILOX_SETTING = {"number": 4, "width": 32}


# --- AES ------------------------------------------------------------------------------------------


def product(a, b):
    """In GF(2^8), modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, section 4.2)."""
    result = 0
    while b:
        result ^= a * (b & 1)
        a, b = a << 1 ^ (0x11B if a & 0x80 else 0), b >> 1
    return result


def substitute(byte):
    """SubBytes (section 5.1.1): the inverse, which is the power of 254, and an affine map."""
    inverse = 1
    for bit in f"{254:b}":
        inverse = product(inverse, inverse)
        inverse = product(inverse, byte) if bit == "1" else inverse
    rotated = [inverse << turn | inverse >> (8 - turn) for turn in range(5)]
    return (rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ rotated[4] ^ 0x63) & 0xFF


S_BOX = np.array([substitute(byte) for byte in range(256)], np.uint32)
# What a byte in the first row adds to its column in MixColumns (section 5.1.3): 2, 1, 1 and 3 times it.
MIXED = np.array([s * 0x010100 ^ product(s, 2) ^ product(s, 3) << 24 for s in S_BOX.tolist()], np.uint32)
TABLES = [np.bitwise_or(MIXED << 8 * row, MIXED >> (32 - 8 * row) if row else 0) for row in range(4)]
LAST_TABLES = [S_BOX << np.uint32(8 * row) for row in range(4)]


def aes_round(columns, key, tables=TABLES):
    """Of four columns, as little-endian words. The byte of a row comes from so many columns further on."""
    result = []
    for at in range(4):
        bytes_of_rows = [columns[(at + row) % 4] >> np.uint32(8 * row) & np.uint32(0xFF) for row in range(4)]
        parts = [table[byte] for table, byte in zip(tables, bytes_of_rows, strict=True)]
        result.append(parts[0] ^ parts[1] ^ parts[2] ^ parts[3] ^ np.uint32(key[at]))
    return result


def aes128(blocks, key):
    """Blocks of four words by a key of four."""
    schedule, constant = list(key), 1
    for at in range(4, 44):
        word = schedule[-1]
        if at % 4 == 0:
            turned = (word >> 8 | word << 24) & 0xFFFFFFFF
            word = sum(int(S_BOX[turned >> 8 * row & 0xFF]) << 8 * row for row in range(4)) ^ constant
            constant = product(constant, 2)
        schedule.append(word ^ schedule[at - 4])
    keys = [schedule[at : at + 4] for at in range(0, 44, 4)]
    columns = [blocks[:, at] ^ np.uint32(keys[0][at]) for at in range(4)]
    for number in range(1, 11):
        columns = aes_round(columns, keys[number], LAST_TABLES if number == 10 else TABLES)
    return np.stack(columns, axis=1)


def different_from_openssl(random, count):
    """How many of so many blocks AES-128 of these rounds encrypts otherwise; one key for 10,000 of them."""
    different = 0
    for first in range(0, count, 10_000):
        blocks = random.integers(0, 2**32, (min(10_000, count - first), 4), np.uint32)
        key = random.integers(0, 2**32, 4, np.uint32)
        encryptor = Cipher(algorithms.AES(key.astype("<u4").tobytes()), modes.ECB()).encryptor()
        theirs = encryptor.update(blocks.astype("<u4").tobytes()) + encryptor.finalize()
        ours = aes128(blocks, key.tolist())
        different += int((ours != np.frombuffer(theirs, "<u4").reshape(-1, 4)).any(axis=1).sum())
    return different


# --- Generators -----------------------------------------------------------------------------------


def ars(counters, key):
    low, high = key[0] | key[1] << 32, key[2] | key[3] << 32
    columns = [counters[:, at] ^ np.uint32(key[at]) for at in range(4)]
    for number in range(1, 8):
        low, high = (low + WEYL[0]) % HALF, (high + WEYL[1]) % HALF
        round_key = low & 0xFFFFFFFF, low >> 32, high & 0xFFFFFFFF, high >> 32
        columns = aes_round(columns, round_key, LAST_TABLES if number == 7 else TABLES)
    return np.stack(columns, axis=1)


def consecutive(generator, first, count, key):
    """The blocks of so many counters from `first` on, whose lower halves must not wrap."""
    if generator == "ars4x32-7":
        halves = np.empty((count, 2), np.uint64)
        halves[:, 0] = np.uint64(first % HALF) + np.arange(count, dtype=np.uint64)
        halves[:, 1] = first // HALF
        return ars(halves.astype("<u8").view("<u4").astype(np.uint32), key)
    if generator == "philox4x32-10":
        # randomgen counts before it generates.
        before, key = (first - 1) % 2**128, key[0] | key[1] << 32
        words = randomgen.Philox(counter=before, key=key, **PHILOX_SETTING).random_raw(4 * count)
        return words.astype(np.uint32).reshape(-1, 4)
    raise ValueError(
        f"generator must be one that an oracle knows, not {generator!r}: give it one in {__file__}"
    )


def wrapping(generator, first, upper, count, key):
    """The blocks as `_core.generate` numbers them: the lower half of the counter wraps."""
    before = min(count, HALF - first)
    parts = [consecutive(generator, first + upper * HALF, before, key)]
    if before < count:
        parts.append(consecutive(generator, upper * HALF, count - before, key))
    return np.concatenate(parts)
