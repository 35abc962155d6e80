# SPDX-License-Identifier: BSD-3-Clause
"""Attention: its matrix products alone, which are the floor, fastdrop, NumPy's way, and other libraries."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

import fastdrop

from .. import validity
from ..attention import ATTENTION, Array, Heads, future
from ..attention_validity import attention_right
from ..cases import Case, Choice, Data
from ..goals import PRODUCTS
from ..job import Answer, Job, fastdrop_with, saving_passes
from .attention_hosts import hosts
from .contender import FASTDROP, NUMPY, NUMPYS_OWN, Contender

_BLOCK = 256 * 1024  # scores of a block of the products alone: 1 MiB of float32, which an L2 cache holds
_CAUSAL_ROWS = 64  # of a block at most where attention is causal: it multiplies what its last row sees


def attentions(case: Case, choice: Choice) -> list[Contender]:
    """The products alone, and who does the job."""
    best = choice.isas[0]

    def ours(case: Case, data: Data) -> Job:
        return _ours(case, data, best)

    products = "two products by blocks of queries, NumPy's; with the backward pass seven, scores twice"
    reused = "output and gradients reused; a new mask every forward pass"
    textbook = "arrays of T x T in float32, in place where that is easy; new arrays in every call"
    floor = ("floor", np.__version__)
    return [
        Contender(PRODUCTS, *floor, products, _products, validity.anything, NUMPYS_OWN),
        Contender(f"fastdrop {best}", *FASTDROP, reused, ours, attention_right(ours)),
        Contender("numpy textbook", *NUMPY, textbook, _textbook, attention_right(_textbook), NUMPYS_OWN),
        *hosts(case, choice),
    ]


def _products(case: Case, data: Data) -> Job:
    a = Heads(case, data)
    heads = [array.reshape(-1, *a.shape[2:]) for array in (a.query, a.key, a.value, a.dy, a.y)]
    query, key, value, dy, y = heads
    dquery, dkey, dvalue = (np.empty_like(query) for _ in range(3))
    plan = list(_blocks(len(query), a.shape[2], a.is_causal))
    scores, dweights = (
        np.ones(max(rows.stop - rows.start for _, rows, _ in plan) * a.shape[2], data.x.dtype)
        for _ in range(2)
    )

    def run() -> None:
        for head, rows, keys in plan:
            shape = (rows.stop - rows.start, keys.stop)
            block = scores[: shape[0] * shape[1]].reshape(shape)
            np.matmul(query[head, rows], key[head, keys].T, out=block)
            np.matmul(block, value[head, keys], out=y[head, rows])
        if case.direction == "forward":
            return
        for head, rows, keys in plan:
            shape = (rows.stop - rows.start, keys.stop)
            block, dblock = (flat[: shape[0] * shape[1]].reshape(shape) for flat in (scores, dweights))
            np.matmul(query[head, rows], key[head, keys].T, out=block)
            np.matmul(dy[head, rows], value[head, keys].T, out=dblock)
            np.matmul(block.T, dy[head, rows], out=dvalue[head, keys])
            np.matmul(dblock, key[head, keys], out=dquery[head, rows])
            np.matmul(dblock.T, query[head, rows], out=dkey[head, keys])

    return Job(run, lambda: Answer(None), kept_bytes=scores.nbytes + dweights.nbytes)


def _blocks(heads: int, steps: int, is_causal: bool) -> Iterator[tuple[int, slice, slice]]:
    """A head, its query rows, and the keys that the last of them sees."""
    count = max(1, min(steps, _BLOCK // steps, _CAUSAL_ROWS if is_causal else steps))
    for head in range(heads):
        for first in range(0, steps, count):
            last = min(first + count, steps)
            yield head, slice(first, last), slice(0, last if is_causal else steps)


def _ours(case: Case, data: Data, isa: str) -> Job:
    a, p, masks = Heads(case, data), case.p, fastdrop.MaskGenerator(0)
    dquery, dkey, dvalue = (np.ones_like(a.query) for _ in range(3))

    def forward() -> tuple[Sequence[Array], Any]:
        y, saved = fastdrop.attention(*a.operands, p, is_causal=a.is_causal, rng=masks, out=a.y)
        return (y,), saved

    def backward(saved: Any) -> Sequence[Array]:
        return fastdrop.attention_backward(a.dy, saved, out=(dquery, dkey, dvalue))

    def setting() -> AbstractContextManager[object]:
        return fastdrop_with(isa, case.threads)

    return saving_passes(case, forward, backward, setting=setting)


def _textbook(case: Case, data: Data) -> Job:
    a, p, rng = Heads(case, data), case.p, np.random.default_rng(0)
    query, key, value = a.operands
    hidden, scale = future(a.shape[2]), data.x.dtype.type(1 / (1 - p))

    def forward() -> tuple[Sequence[Array], Any]:
        weights = query @ key.swapaxes(-1, -2)
        weights *= a.scale
        if a.is_causal:
            weights[..., hidden] = -np.inf
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=-1, keepdims=True)
        mask = (rng.random(weights.shape, np.float32) >= p) * scale
        dropped = weights * mask
        return (dropped @ value,), (weights, mask, dropped)

    def backward(saved: Any) -> Sequence[Array]:
        weights, mask, dropped = saved
        dvalue = dropped.swapaxes(-1, -2) @ a.dy
        dscores = a.dy @ value.swapaxes(-1, -2)
        dscores *= mask
        dscores -= (dscores * weights).sum(axis=-1, keepdims=True)
        dscores *= weights
        dscores *= a.scale
        return dscores @ key, dscores.swapaxes(-1, -2) @ query, dvalue

    return saving_passes(case, forward, backward, makes_results=True)


CONTENDERS = dict.fromkeys(ATTENTION, attentions)
