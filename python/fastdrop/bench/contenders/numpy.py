# SPDX-License-Identifier: BSD-3-Clause
"""Plain dropout by NumPy: the line of the textbooks, and the fastest that it offers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cases import DTYPES, Case, Data, random_dtype
from ..job import Job, passes
from .contender import NUMPY, NUMPYS_OWN, Contender


def numpys() -> list[Contender]:
    """NumPy in its variants."""
    textbook = (
        "x * (rng.random(x.shape) >= p) / (1 - p): new arrays every call, float64 random numbers; mask"
        " kept as bool"
    )
    best = "rng.random in float32 or float64, out= everywhere, all arrays reused; mask kept as floats, scaled"
    sixteen_bits = (
        "16 raw random bits an element, so p is rounded to 1/65536; arrays reused but for the bits; mask"
        " kept as floats, scaled"
    )
    rows = [
        ("numpy textbook", textbook, _textbook, NUMPYS_OWN),  # from bfloat16 it makes float32
        ("numpy best", best, _best, DTYPES),
        ("numpy 16 bits", sixteen_bits, _sixteen_bits, DTYPES),
    ]
    return [Contender(name, *NUMPY, job, build, dtypes=dtypes) for name, job, build, dtypes in rows]


def _textbook(case: Case, data: Data) -> Job:
    rng = np.random.default_rng(0)
    x, dy, p = data.x, data.dy, case.p
    keep: NDArray[np.bool_]

    def forward() -> NDArray[Any]:
        nonlocal keep
        keep = rng.random(x.shape) >= p
        y: NDArray[Any] = x * keep / (1 - p)
        return y

    return passes(case, forward, lambda: dy * keep / (1 - p))


def _best(case: Case, data: Data) -> Job:
    rng = np.random.default_rng(0)
    uniform = np.empty(case.size, random_dtype(data.x.dtype))

    def draw(mask: NDArray[Any]) -> None:
        rng.random(out=uniform, dtype=random_dtype(data.x.dtype))
        np.greater_equal(uniform, case.p, out=mask)

    return scaled_mask(case, data, draw)


def _sixteen_bits(case: Case, data: Data) -> Job:
    raw = np.random.SFC64(0).random_raw
    words, bound = -(-case.size // 4), round(case.p * 2**16)

    def draw(mask: NDArray[Any]) -> None:
        np.greater_equal(raw(words).view(np.uint16)[: case.size], bound, out=mask)

    return scaled_mask(case, data, draw)


def scaled_mask(case: Case, data: Data, draw: Callable[[NDArray[Any]], None]) -> Job:
    """One multiplication a pass by a mask of 0 and 1 / (1 - p): the fastest that NumPy offers."""
    mask, scale = np.empty_like(data.x), data.x.dtype.type(1 / (1 - case.p))

    def forward() -> NDArray[Any]:
        draw(mask)
        np.multiply(mask, scale, out=mask)
        y: NDArray[Any] = np.multiply(data.x, mask, out=data.y)
        return y

    return passes(case, forward, lambda: np.multiply(data.dy, mask, out=data.dx))
