# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: the cases, the tables of them, and the arrays that all contenders of a case share."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

KI, MI = 2**10, 2**20

DTYPES = ("float16", "bfloat16", "float32", "float64")
_HALVES = DTYPES[:2]

OPERATIONS = {
    "forward": "y from x, by a new mask for every call",
    "backward": "dx from dy, by the mask of a forward pass that was not timed",
    "both": "forward and backward: y from x by a new mask, then dx from dy by the same mask",
    "alpha": "y from x by alpha dropout, by a new mask for every call",
    "gaussian": "y from x by Gaussian dropout, by new noise for every call",
    "channel": "y from x, images, by a new mask for every call with one decision for a channel",
    "locked": "y from x, sequences, by a new mask for every call with the same decisions at every step",
    "stored": "dx from dy, by a stored mask, a bit an element, and by the generator's replay",
    "call": "one call on a small array: what calling costs",
    "threads": "y from x, by a new mask for every call, on several threads and on one",
    "window": "y from x, by a mask that begins far out in a larger one",
    "transposed": "from a matrix that lies transposed, by a given mask",
    "train-step": "forward, backward and update of a NumPy network 784-1024-1024-10, batch 128, with dropout"
    " after both hidden layers",
}
CALL_SIZE = 64
# Early and late layers of a network for images of 224 x 224; channels of other sizes are small squares.
IMAGES = {math.prod(shape): shape for shape in ((8, 64, 56, 56), (64, 256, 14, 14))}
TRAIN_SIZE = 128 * 1024  # activations of one hidden layer
CHECK_LIMIT = 64 * KI  # with --check: all code paths are taken by then


@dataclass(frozen=True)
class Case:
    """One table of the report: the same job for every contender."""

    operation: str
    size: int
    dtype: str = "float32"
    p: float = 0.1
    threads: int = 1

    @property
    def array_bytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize

    @property
    def moved_bytes(self) -> int | None:
        """Bytes that must be read and written at the least; None where that is not what counts."""
        passes = {"call": None, "train-step": None, "both": 2}.get(self.operation, 1)
        return None if passes is None else passes * 2 * self.array_bytes

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        if self.operation == "train-step":
            return f"train-step, p = {self.p}, {threads}"
        return f"{self.operation}, {self.dtype}, {self.size:,} elements, p = {self.p}, {threads}"


class Data:
    """The arrays of a case, all written once before anything is timed; x and dy hold no zeros."""

    def __init__(self, case: Case) -> None:
        rng, dtype = np.random.default_rng(0), np.dtype(case.dtype)

        def random() -> NDArray[Any]:
            return (rng.random(case.size, drawn(dtype)) + 1).astype(dtype, copy=False)

        self.x, self.dy = random(), random()
        self.y = np.ones_like(self.x)
        self.dx = np.ones_like(self.x)


def drawn(dtype: np.dtype[Any]) -> Any:
    """The dtype that NumPy draws random numbers in: itself, but float32 for 16 bits."""
    return np.float64 if dtype == np.float64 else np.float32


@dataclass(frozen=True)
class Grid:
    """Cases as a product of axes; the user may ask for other values than these but on the fixed axes."""

    operations: tuple[str, ...]
    sizes: tuple[int, ...]
    dtypes: tuple[str, ...] = ("float32",)
    ps: tuple[float, ...] = (0.1,)
    threads: tuple[int, ...] = (1,)
    fixed: tuple[str, ...] = ()

    def cases(self) -> list[Case]:
        axes = (self.operations, self.dtypes, self.ps, self.threads, self.sizes)
        return [
            Case(operation, size, dtype, p, threads)
            for operation, dtype, p, threads, size in itertools.product(*axes)
        ]


_SPECIAL = (
    Grid(("alpha", "gaussian"), (64 * KI, MI, 16 * MI)),
    Grid(("channel",), tuple(IMAGES)),
    Grid(("locked",), (64 * KI, MI, 16 * MI)),
    Grid(("stored",), (64 * KI, MI, 16 * MI), ps=(0.1, 0.5)),
    Grid(("call",), (CALL_SIZE,), fixed=("sizes",)),
    Grid(("window",), (MI,)),
    Grid(("transposed",), (MI, 16 * MI)),
    Grid(("train-step",), (TRAIN_SIZE,), ps=(0.5,), threads=(1, 2), fixed=("sizes", "dtypes")),
    Grid(("threads",), (64 * KI, MI, 16 * MI), threads=(2,)),
)
# In the caches of the first, second and third level and in main memory, of most machines.
_QUICK_SIZES = (4 * KI, 64 * KI, MI, 16 * MI)
QUICK = (
    Grid(("forward", "backward"), _QUICK_SIZES, ps=(0.1, 0.5)),
    Grid(("forward", "backward"), (64 * KI, MI), dtypes=("float64",)),
    Grid(("forward",), (64 * KI, MI), dtypes=_HALVES),
    Grid(("both",), (64 * KI, 16 * MI)),
    Grid(("both",), (64 * KI,), ps=(0.5,)),
    *_SPECIAL,
)
_FULL_SIZES = tuple(4**k * KI for k in range(8))  # 1 Ki to 16 Mi
FULL = (
    Grid(("forward", "backward", "both"), _FULL_SIZES, dtypes=("float32", "float64"), ps=(0.1, 0.5)),
    Grid(("forward", "backward"), (64 * KI, MI, 16 * MI), dtypes=_HALVES),
    *_SPECIAL,
)


@dataclass(frozen=True)
class Choice:
    """What the user asked for; an empty axis is that of the tables above."""

    quick: bool = False
    check: bool = False
    operations: Sequence[str] = ()  # the axes are named as those of a grid
    sizes: Sequence[int] = ()
    dtypes: Sequence[str] = ()
    ps: Sequence[float] = ()
    threads: Sequence[int] = ()


def plan(choice: Choice, processors: int) -> list[Case]:
    """The cases to run, each once; those that need more processors than there are come only if asked for."""
    chosen: list[Case] = []
    for grid in QUICK if choice.quick else FULL:
        wanted = tuple(name for name in grid.operations if name in (choice.operations or OPERATIONS))
        possible = tuple(count for count in grid.threads if count <= processors)
        axes = {
            axis: tuple(getattr(choice, axis))
            for axis in ("sizes", "dtypes", "ps", "threads")
            if getattr(choice, axis) and axis not in grid.fixed
        }
        chosen += replace(grid, **{"operations": wanted, "threads": possible, **axes}).cases()
    if choice.check:
        largest = {"train-step": TRAIN_SIZE}
        chosen = [replace(c, size=min(c.size, largest.get(c.operation, CHECK_LIMIT))) for c in chosen]
    return [case for case in dict.fromkeys(chosen) if case.operation != "threads" or case.threads > 1]
