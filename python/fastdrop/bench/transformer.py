# SPDX-License-Identifier: BSD-3-Clause
"""The network of a transformer's step: its sizes, first parameters and loss, the same for every contender."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .cases import Case, Data

Array = NDArray[Any]
Parameters = dict[str, Array]

LAYERS, HEADS = 2, 4
_FEATURES, _STEPS = 256, 128
LEARNING_RATE = 0.01
EPS = 1e-5  # of the norms


def shape(size: int) -> tuple[int, int, int]:
    """Batch, steps and features of so many elements of x."""
    features = math.gcd(size, _FEATURES)
    steps = math.gcd(size // features, _STEPS)
    return size // features // steps, steps, features


def shapes(features: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the parameters by name; the first row of a norm is its weight, the second its bias."""
    wide = 4 * features
    layer = {
        "attention_norm": (2, features),
        "project": (features, 3 * features),
        "merge": (features, features),
        "merge_bias": (features,),
        "hidden_norm": (2, features),
        "expand": (features, wide),
        "expand_bias": (wide,),
        "contract": (wide, features),
        "contract_bias": (features,),
    }
    named = {f"{name}_{number}": size for number in range(LAYERS) for name, size in layer.items()}
    return {**named, "last_norm": (2, features)}


def split(flat: Array, features: int) -> Parameters:
    """The parameters by name, as views of one flat array."""
    views, first = {}, 0
    for name, size in shapes(features).items():
        last = first + math.prod(size)
        views[name] = flat[first:last].reshape(size)
        first = last
    return views


class Start:
    """What a step begins with: rows of features, what they should become, and parameters."""

    def __init__(self, case: "Case", data: "Data") -> None:
        self.shape = shape(case.size)
        self.batch, self.steps, self.features = self.shape
        self.heads = math.gcd(self.features, HEADS)
        self.x, self.target = (flat.reshape(-1, self.features) for flat in (data.x, data.dy))
        rng, count = np.random.default_rng(1), sum(map(math.prod, shapes(self.features).values()))
        self.flat = np.zeros(count, data.x.dtype)
        for name, view in split(self.flat, self.features).items():
            if "norm" in name:
                view[0] = 1
            elif view.ndim == 2:  # which keeps the variance of rows
                view[:] = rng.standard_normal(view.shape, np.float32) / math.sqrt(len(view))
