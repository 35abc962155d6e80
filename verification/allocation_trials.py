# SPDX-License-Identifier: BSD-3-Clause
"""What the cases of ``verification.allocation`` are made of."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastdrop as fd


class Trial(NamedTuple):
    """A call that is about to be made."""

    call: Callable[[], Any]
    kept: tuple = ()  # arrays, and functions of no arguments, that a call that fails leaves as they were
    rng: Any = None  # whose stream, or number of children, may have gone on


SMALL = (6, 8)
IMAGES = (2, 3, 4, 4)


@functools.cache
def drawn(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape, np.float32).astype(dtype)


def normal(shape, dtype="float32", seed=0):
    return drawn(shape, dtype, seed).copy()


def generator():
    return fd.MaskGenerator(5)
