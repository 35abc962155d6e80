# SPDX-License-Identifier: BSD-3-Clause
"""Who is kept, and the normal numbers of Gaussian noise, by docs/stream.md on the words of others."""

from fractions import Fraction

import numpy as np

from .words import HALF, consecutive


def threshold(p):
    """D of section 3, as Python rounds a fraction: half to even."""
    return round(Fraction(p) * HALF)


def threshold_of_keep_prob(keep_prob):
    return HALF - round(Fraction(keep_prob) * HALF)


def sixteen_bit_numbers(generator, key, stream, first, size):
    """r of section 3 of so many elements from index `first` on."""
    blocks = consecutive(generator, (first >> 3) + stream * HALF, (first % 8 + size + 7) // 8, key)
    return blocks.astype("<u4").view("<u2").ravel()[first % 8 :][:size]


def kept(numbers, d, generator, key, stream, first):
    """The decisions on these numbers, for a threshold D."""
    if d in (0, HALF):
        return np.full(numbers.shape, d == 0)
    upper, lower = d >> 48, d & (2**48 - 1)
    keep = numbers >= upper
    for at in np.flatnonzero(numbers == upper) if lower else []:
        counter = first + int(at) + (stream + 2**63) * HALF
        words = consecutive(generator, counter, 1, key)[0].tolist()
        keep[at] = words[0] | (words[1] & 0xFFFF) << 32 >= lower
    return keep


def keep(generator, key, stream, first, size, p):
    numbers = sixteen_bit_numbers(generator, key, stream, first, size)
    return kept(numbers, threshold(p), generator, key, stream, first)


def normals(generator, key, stream, size):
    """Of the first so many indices, a multiple of 32: z of Box and Muller in longdouble, and the radius.

    Section 8, with u and the angle rounded to float32 as it says. Half a turn changes both signs of an angle;
    the document leaves the sine's as it is.
    """
    words = consecutive(generator, 2**63 + stream * HALF, size // 4, key).reshape(-1, 2, 16)
    v, w = words[:, 0], words[:, 1]
    u = (v >> np.uint32(1) | np.uint32(1)).astype(np.float32).astype(np.longdouble) / 2**31
    quarters = (w << np.uint32(1) | np.uint32(1)).view(np.int32).astype(np.float32).astype(
        np.longdouble
    ) / 2**31
    radius, turn = np.sqrt(-2 * np.log(u)), quarters * (np.arccos(np.longdouble(-1)) / 2)
    z = np.stack(
        [radius * np.where(w >> np.uint32(31), -np.cos(turn), np.cos(turn)), radius * np.sin(turn)], 1
    )
    return z.ravel(), np.stack([radius, radius], 1).ravel()
