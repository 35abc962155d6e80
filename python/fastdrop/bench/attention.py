# SPDX-License-Identifier: BSD-3-Clause
"""The arrays of softmax and attention, the same for every contender."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .cases import Case, Data

Array = NDArray[Any]

ATTENTION = ("attention", "causal_attention")
# The names of outputs and gradients.
RESULTS = {
    "softmax_dropout": (("y", "weights"), ("dx",)),
    **dict.fromkeys(ATTENTION, (("y",), ("dquery", "dkey", "dvalue"))),
}
_LARGE = {math.prod(shape): shape for shape in ((16, 4, 512, 64), (1, 4, 4096, 64))}
_SMALL = (4, 128, 64)  # heads, T and features where the size is another one, as far as they divide it
KEYS = 256  # of a row of scores, where that divides the size
SCALE = 1 / 8  # of scores: 1 / sqrt(64)


def shape(size: int) -> tuple[int, int, int, int]:
    """Batch, heads, T and features of so many elements."""
    if size in _LARGE:
        return _LARGE[size]
    features = math.gcd(size, _SMALL[2])
    steps = math.gcd(size // features, _SMALL[1])
    heads = math.gcd(size // features // steps, _SMALL[0])
    return size // features // steps // heads, heads, steps, features


class Scores:
    """Rows of scores, the gradient of what comes of them, and where to write."""

    def __init__(self, case: "Case", data: "Data") -> None:
        keys = math.gcd(case.size, KEYS)
        self.x, self.dy, self.y, self.dx = (
            flat.reshape(-1, keys) for flat in (data.x, data.dy, data.y, data.dx)
        )


class Heads:
    """Query, key and value, the gradient of what comes of them, and where to write."""

    def __init__(self, case: "Case", data: "Data") -> None:
        self.shape = shape(case.size)
        self.scale = 1 / math.sqrt(self.shape[-1])
        self.is_causal = case.kind == "causal_attention"
        self.query, self.key, self.value, self.dy = (
            flat.reshape(self.shape) for flat in (data.x, data.normal(1), data.normal(2), data.dy)
        )
        self.y = data.y.reshape(self.shape)

    @property
    def operands(self) -> tuple[Array, Array, Array]:
        """Those that have a gradient."""
        return self.query, self.key, self.value


def result_bytes(case: "Case") -> int:
    """Bytes of the outputs and gradients of a case of softmax or attention."""
    outputs, gradients = map(len, RESULTS[case.kind])
    counts = {"forward": outputs, "backward": gradients, "both": outputs + gradients}
    return counts[str(case.direction)] * case.array_bytes


def future(steps: int) -> NDArray[np.bool_]:
    """Where a key is ahead of the query: what is hidden if attention is causal."""
    return ~np.tri(steps, dtype=bool)
