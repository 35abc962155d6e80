# SPDX-License-Identifier: BSD-3-Clause
"""Sums along rows and over them: trees that depend on the index of an element only.

This is the end of section 10 of ``docs/numerics.md``.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_ROWS", "PARTIAL_SUMS", "column_sums", "join_sums", "row_sums"]

PARTIAL_SUMS = 32  # of a row: whole registers of every instruction set
BLOCK_ROWS = 64  # added up in order: what a thread takes at least, and a shard


def row_sums(a: NDArray[Any]) -> NDArray[Any]:
    """The sum of every row: 32 partial sums from +0.0 on, element j into number j mod 32; then a fold."""
    partial = np.zeros((*a.shape[:-1], PARTIAL_SUMS), a.dtype)
    for first in range(0, a.shape[-1], PARTIAL_SUMS):
        part = a[..., first : first + PARTIAL_SUMS]
        partial[..., : part.shape[-1]] += part
    while partial.shape[-1] > 1:
        half = partial.shape[-1] // 2
        partial = partial[..., :half] + partial[..., half:]
    return np.asarray(partial[..., 0])


def column_sums(a: NDArray[Any]) -> NDArray[Any]:
    """The sum of every column: blocks of 64 rows from +0.0 on, row by row; then the blocks are joined."""
    rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
    blocks = [np.zeros(a.shape[-1], a.dtype) for _ in range(-(-len(rows) // BLOCK_ROWS))]
    for number, row in enumerate(rows):
        blocks[number // BLOCK_ROWS] += row
    return join_sums(blocks) if blocks else np.zeros(a.shape[-1], a.dtype)


def join_sums(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The sum of parts by a binary tree: (0, 1), (2, 3), ..., level by level; an odd last one moves up."""
    sums = list(parts)
    while len(sums) > 1:
        last = sums[2 * (len(sums) // 2) :]
        sums = [first + second for first, second in zip(sums[::2], sums[1::2], strict=False)] + last
    return sums[0]
