# SPDX-License-Identifier: BSD-3-Clause
"""What the three transformers have in common: sizes, shapes of parameters, the first weights."""

import math
from dataclasses import dataclass

import numpy as np

from .mlp import split_flat


@dataclass(frozen=True)
class Sizes:
    """How large a transformer is. It is pre-norm: what a sublayer reads is normalised."""

    characters: int
    layers: int = 4
    features: int = 256
    heads: int = 4
    length: int = 128  # characters that it sees at once

    @property
    def shapes(self):
        """The shapes of the parameters by name. A bias lies below its weight, as in ``mlp.Linear``.

        The products for queries, keys and values, and the last one, have no bias.
        """
        size, hidden = self.features, 4 * self.features
        return {
            "characters": (self.characters, size),
            "places": (self.length, size),
            "norms": (2 * self.layers + 1, 2, size),  # weight and bias
            "query_key_value": (self.layers, size, 3 * size),
            "merge": (self.layers, size + 1, size),  # of the heads
            "expand": (self.layers, size + 1, hidden),
            "contract": (self.layers, hidden + 1, size),
            "logits": (size, self.characters),
        }

    def split(self, flat):
        """Return the parameters by name, as views of one flat array."""
        return dict(zip(self.shapes, split_flat(flat, self.shapes.values()), strict=True))

    def first_parameters(self, rng, dtype=np.float32):
        """Return new parameters in one flat array.

        The weights are those of GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners",
        2019): normal with a standard deviation of 0.02, smaller where a sublayer adds to the residual.
        """
        flat = rng.normal(0, 0.02, sum(map(math.prod, self.shapes.values()))).astype(dtype)
        parameters = self.split(flat)
        parameters["norms"][:] = [[1], [0]]
        for name in ("merge", "contract"):
            parameters[name] /= np.sqrt(2 * self.layers)
        for name in ("merge", "expand", "contract"):
            parameters[name][:, -1] = 0
        return flat
