# SPDX-License-Identifier: BSD-3-Clause
"""The natural logarithm, in float64. This is a part of section 11 of ``docs/numerics.md``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["natural_logarithm"]

# ``numerics/coefficients.py`` derives the numbers in hexadecimal. LN2_HIGH has 42 bits.
LN2_HIGH, LN2_LOW = float.fromhex("0x1.62e42fefa38p-1"), float.fromhex("0x1.ef35793c7673p-45")
ROOT_OF_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
TAIL = [
    float.fromhex("0x1.5555555555592p-1"),
    float.fromhex("0x1.999999997fdb3p-2"),
    float.fromhex("0x1.24924941f151bp-2"),
    float.fromhex("0x1.c71c52093ed37p-3"),
    float.fromhex("0x1.74663eedf6e1dp-3"),
    float.fromhex("0x1.39a1ba314aa2fp-3"),
    float.fromhex("0x1.2f0568a84ffb1p-3"),
]


def natural_logarithm(x: NDArray[np.float64]) -> NDArray[Any]:
    """``ln x`` of positive numbers that are normal; a NaN stays one.

    x is ``2^k m`` with m from sqrt(1/2) to sqrt(2). With ``s = (m - 1) / (m + 1)``, ``ln m`` is
    ``2 s + s^3 R(s^2)``.
    """
    is_nan = np.isnan(x)
    m, k = np.frexp(np.where(is_nan, 1, x))
    is_low = m < ROOT_OF_HALF
    m, k = np.where(is_low, 2 * m, m), k - is_low
    s = (m - 1) / (m + 1)
    square = s * s
    tail = np.full_like(s, TAIL[-1])
    for coefficient in TAIL[-2::-1]:
        tail = coefficient + square * tail
    result = k * LN2_HIGH + (2 * s + (s * (square * tail) + k * LN2_LOW))
    return np.where(is_nan, x, result)
