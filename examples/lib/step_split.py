# SPDX-License-Identifier: BSD-3-Clause
"""What the time of a training step goes to. Functions are timed from outside: no network knows of it."""

import time
from contextlib import contextmanager

import numpy as np

import fastdrop

from . import transformer_numpy
from .mlp import Adam

PARTS = "matmul", "attention", "dropout", "norms", "Adam", "the rest"
# Which functions a network calls, by module, and the part that their own time is of. What they call in turn,
# such as attention a matrix product, counts where that belongs.
FUNCTIONS = {
    "fastdrop": [
        (fastdrop, "attention", "attention"),
        (fastdrop, "attention_backward", "attention"),
        (fastdrop, "bias_dropout_add", "dropout"),
        (fastdrop, "bias_dropout_add_backward", "dropout"),
        (fastdrop, "dropout_add_layer_norm", "norms"),
        (fastdrop, "dropout_add_layer_norm_backward", "norms"),
    ],
    "NumPy": [
        (transformer_numpy, "attention", "attention"),
        (transformer_numpy, "attention_backward", "attention"),
        (transformer_numpy, "dropout", "dropout"),
        (transformer_numpy, "drop_backward", "dropout"),
        (transformer_numpy, "gelu", "dropout"),
        (transformer_numpy, "gelu_backward", "dropout"),
        (transformer_numpy, "layer_norm", "norms"),
        (transformer_numpy, "layer_norm_backward", "norms"),
    ],
}
EVERYWHERE = [(np, "matmul", "matmul"), (Adam, "step", "Adam")]


def split_of_step(name, step):
    """Return the seconds of each part while ``step()`` runs, for a network of `FUNCTIONS`."""
    clock = Clock()
    start = time.perf_counter()
    with clock.watching([*FUNCTIONS[name], *EVERYWHERE]):
        step()
    seconds = clock.seconds
    seconds["the rest"] = time.perf_counter() - start - sum(seconds.values())
    return seconds


class Clock:
    """Seconds of each part, each without those of the parts that it contains."""

    def __init__(self):
        """Start at 0."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.inner = [0.0]  # seconds of the functions that each running one has called

    @contextmanager
    def watching(self, functions):
        """Time these functions."""
        originals = [(owner, name, getattr(owner, name)) for owner, name, _ in functions]
        for owner, name, part in functions:
            setattr(owner, name, self.timed(getattr(owner, name), part))
        try:
            yield
        finally:
            for owner, name, function in originals:
                setattr(owner, name, function)

    def timed(self, function, part):
        """Return the function with a clock."""

        def watched(*arguments, **options):
            self.inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                all_of_it = time.perf_counter() - start
                self.seconds[part] += all_of_it - self.inner.pop()
                self.inner[-1] += all_of_it

        return watched
