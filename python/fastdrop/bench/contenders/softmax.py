# SPDX-License-Identifier: BSD-3-Clause
"""Softmax and dropout of rows of scores: the floors, fastdrop, NumPy's ways, and other libraries."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

import fastdrop

from ..attention import SCALE, Array, Scores
from ..attention_validity import softmax_right
from ..cases import Case, Choice, Data
from ..job import Job, fastdrop_with, saving_passes
from .contender import FASTDROP, NUMPY, NUMPYS_OWN, Contender
from .floors import all_bytes, one_copy
from .softmax_hosts import hosts


def softmaxes(case: Case, choice: Choice) -> list[Contender]:
    """One array copied, which the goals are multiples of; all that must be moved; and who does the job.

    On several threads, those that have them.
    """
    best, floors, asked = choice.isas[0], [one_copy(), all_bytes()], hosts(case, choice)
    if case.threads > 1:
        return [*floors, _ours(best), _ours(best, threads=1), *asked]
    textbook = "the formula as it stands in textbooks: new arrays in every call, float64 where it makes them"
    reused = "float32, out= everywhere, all arrays reused"
    numpys = [
        Contender("numpy textbook", *NUMPY, textbook, _textbook, softmax_right, NUMPYS_OWN),
        Contender("numpy best", *NUMPY, reused, _best, softmax_right, NUMPYS_OWN),
    ]
    return [*floors, *(_ours(isa) for isa in choice.isas), *numpys, *asked]


def _ours(isa: str, threads: int | None = None) -> Contender:
    def build(case: Case, data: Data) -> Job:
        a, masks = Scores(case, data), fastdrop.MaskGenerator(0)
        weights, p = np.ones_like(a.x), case.p

        def forward() -> tuple[Sequence[Array], Any]:
            y, saved = fastdrop.softmax_dropout(a.x, p, scale=SCALE, rng=masks, out=a.y, weights_out=weights)
            return (y, saved.weights), saved

        def backward(saved: Any) -> Sequence[Array]:
            return (fastdrop.softmax_dropout_backward(a.dy, saved, out=a.dx),)

        def setting() -> AbstractContextManager[object]:
            return fastdrop_with(isa, threads or case.threads)

        return saving_passes(case, forward, backward, setting=setting)

    name = f"fastdrop {isa}" + ("" if threads is None else f", {threads} thread")
    return Contender(
        name, *FASTDROP, "all outputs reused; a new mask every forward pass", build, softmax_right
    )


def _textbook(case: Case, data: Data) -> Job:
    a, p, rng = Scores(case, data), case.p, np.random.default_rng(0)

    def forward() -> tuple[Sequence[Array], Any]:
        z = a.x * SCALE
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        weights = e / e.sum(axis=-1, keepdims=True)
        keep = rng.random(weights.shape) >= p
        return (weights * keep / (1 - p), weights), (weights, keep)

    def backward(saved: Any) -> Sequence[Array]:
        weights, keep = saved
        g = a.dy * keep / (1 - p)
        return (weights * (g - (g * weights).sum(axis=-1, keepdims=True)) * SCALE,)

    return saving_passes(case, forward, backward, makes_results=True)


def _best(case: Case, data: Data) -> Job:
    """A sum along rows is a product with ones, or one of einsum: both are faster than np.sum."""
    a, p, rng = Scores(case, data), case.p, np.random.default_rng(0)
    dtype, keys = a.x.dtype, a.x.shape[1]
    kind = np.float64 if dtype == np.float64 else np.float32
    weights, mask = (np.empty_like(a.x) for _ in range(2))
    uniform, along, ones = (
        np.empty(a.x.shape, kind),
        np.empty((len(a.x), 1), dtype),
        np.ones((keys, 1), dtype),
    )
    scale = dtype.type(1 / (1 - p))

    def forward() -> tuple[Sequence[Array], Any]:
        np.multiply(a.x, SCALE, out=weights)
        np.max(weights, axis=-1, keepdims=True, out=along)
        np.subtract(weights, along, out=weights)
        np.exp(weights, out=weights)
        np.matmul(weights, ones, out=along)
        np.divide(1, along, out=along)
        np.multiply(weights, along, out=weights)
        rng.random(out=uniform, dtype=kind)
        np.greater_equal(uniform, p, out=mask)
        np.multiply(mask, scale, out=mask)
        np.multiply(weights, mask, out=a.y)
        return (a.y, weights), None

    def backward(saved: Any) -> Sequence[Array]:
        np.multiply(a.dy, mask, out=a.dx)
        np.einsum("ij,ij->i", a.dx, weights, out=along[:, 0])
        np.subtract(a.dx, along, out=a.dx)
        np.multiply(a.dx, weights, out=a.dx)
        np.multiply(a.dx, SCALE, out=a.dx)
        return (a.dx,)

    kept = mask.nbytes + uniform.nbytes + along.nbytes
    return saving_passes(case, forward, backward, kept_bytes=kept)


CONTENDERS = {"softmax_dropout": softmaxes}
