# SPDX-License-Identifier: BSD-3-Clause
"""What is measured: the cases, the tables of them, and the arrays that all contenders of a case share."""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from . import attention, transformer
from .attention import ATTENTION
from .fused import CALL, FUSED
from .kinds import DIRECTIONS, KINDS
from .structured import CALLS

KI, MI = 2**10, 2**20

DTYPES = ("float16", "bfloat16", "float32", "float64")
_HALVES = DTYPES[:2]

BOOL = "bool"  # of a mask


CALL_SIZE = 64
# Early and late layers of a network for images of 224 x 224; channels of other sizes are small squares.
IMAGES = {math.prod(shape): shape for shape in ((8, 64, 56, 56), (64, 256, 14, 14))}
TRAIN_SIZE = 128 * 1024  # activations of one hidden layer
ENCODER = (16, 128, 256)  # batch, steps, units
ENCODER_SIZE = math.prod(ENCODER)
_STEPS = {"train_step": TRAIN_SIZE, "torch_step": ENCODER_SIZE}
_ROWS = (*FUSED, "softmax_dropout")  # operations on rows, of which is said what they move
_NORMAL = (*_ROWS, *ATTENTION, "transformer_step")
CHECK_LIMIT = 64 * KI  # with --check: all code paths are taken by then


@dataclass(frozen=True)
class Case:
    """One table of the report: the same job for every contender."""

    kind: str
    size: int
    dtype: str = "float32"
    p: float = 0.1
    threads: int = 1
    direction: str | None = "forward"  # None for a kind of case that is neither pass
    call: str = ""  # of a structured case: which of the structured calls

    @property
    def operation(self) -> str | None:
        return KINDS[self.kind].operation

    @property
    def array_bytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize

    @property
    def moved_bytes(self) -> int | None:
        """Bytes that must be read and written at the least; None where that is not what counts."""
        if self.operation is None:
            return None
        return len(KINDS[self.kind].moved(self.direction)) * self.array_bytes

    def title(self, *, with_size: bool = False) -> str:
        """What it is called; cases that differ in the size alone have one title without it."""
        if self.call:
            return f"{self.kind}: {self.call}"
        parts = [f"{self.kind} {self.direction or ''}".rstrip()]
        if self.kind not in _STEPS:
            parts += [self.dtype, *([f"{self.size:,} elements"] if with_size else [])]
        return ", ".join([*parts, f"p = {self.p}", f"{self.threads} thread{'s' if self.threads > 1 else ''}"])

    def __str__(self) -> str:
        return self.title(with_size=True)

    def about(self) -> str:
        """What is done in it, in words."""
        passes = [] if self.direction is None else [DIRECTIONS[self.direction]]
        kind = KINDS[self.kind]
        moved = [f"moving {' '.join(kind.moved(self.direction))}"] if self.kind in _ROWS else []
        shapes = {**dict.fromkeys(ATTENTION, attention.shape), "transformer_step": transformer.shape}
        shape = [f"x of {shapes[self.kind](self.size)}"] if self.kind in shapes else []
        return ", ".join([kind.about, *shape, *passes, *moved])


class Data:
    """The arrays of a case, all written once before anything is timed; x and dy hold no zeros.

    They are between 1 and 2, or normal numbers where an activation, a norm or a softmax follows.
    """

    def __init__(self, case: Case) -> None:
        rng, dtype = np.random.default_rng(0), np.dtype(case.dtype)

        def random() -> NDArray[Any]:
            if case.kind in _NORMAL:
                return rng.standard_normal(case.size, random_dtype(dtype)).astype(dtype, copy=False)
            return (rng.random(case.size, random_dtype(dtype)) + 1).astype(dtype, copy=False)

        self.x, self.dy = random(), random()
        self.y = np.ones_like(self.x)
        self.dx = np.ones_like(self.x)
        self._normals: dict[int, NDArray[Any]] = {}

    @functools.cached_property
    def residual(self) -> NDArray[Any]:
        """What a fused operation adds."""
        return self.dy[::-1].copy()

    @functools.cached_property
    def h(self) -> NDArray[Any]:
        """Where a norm writes the sum that it normalises."""
        return np.ones_like(self.x)

    def normal(self, number: int) -> NDArray[Any]:
        """Further normal numbers, as many as x has; the same for a number that has been asked for before."""
        if number not in self._normals:
            rng = np.random.default_rng(number)
            drawn = rng.standard_normal(self.x.size, random_dtype(self.x.dtype))
            self._normals[number] = drawn.astype(self.x.dtype, copy=False)
        return self._normals[number]


def random_dtype(dtype: np.dtype[Any]) -> Any:
    """The dtype that NumPy draws random numbers in: itself, but float32 for 16 bits."""
    return np.float64 if dtype == np.float64 else np.float32


@dataclass(frozen=True)
class Grid:
    """Cases as a product of axes; the user may ask for other values than these but on the fixed axes."""

    kinds: tuple[str, ...]
    sizes: tuple[int, ...]
    dtypes: tuple[str, ...] = ("float32",)
    ps: tuple[float, ...] = (0.1,)
    threads: tuple[int, ...] = (1,)
    directions: tuple[str | None, ...] = ("forward",)
    fixed: tuple[str, ...] = ()

    def cases(self) -> list[Case]:
        axes = (self.kinds, self.directions, self.dtypes, self.ps, self.threads, self.sizes)
        return [
            Case(kind, size, dtype, p, threads, direction)
            for kind, direction, dtype, p, threads, size in itertools.product(*axes)
        ]


_PASSES = ("forward", "backward")
_NEITHER = (None,)
_SIZES = (64 * KI, MI, 16 * MI)
_BESIDE_DROPOUT = (
    Grid(("keep_mask",), _SIZES, (BOOL,), directions=_NEITHER, fixed=("dtypes",)),
    Grid(("channel_dropout",), tuple(IMAGES)),
    Grid(("locked_dropout",), _SIZES),
    Grid(("stored_masks",), _SIZES, ps=(0.1, 0.5), directions=("backward",)),
    Grid(("small_calls",), (CALL_SIZE,), directions=_NEITHER, fixed=("sizes",)),
    Grid(("windows",), (MI,), directions=_NEITHER),
    Grid(("transposed",), (MI, 16 * MI), directions=_NEITHER),
    Grid(("train_step",), (TRAIN_SIZE,), ("float32",), (0.5,), (1, 2), _NEITHER, fixed=("sizes", "dtypes")),
    Grid(("threads",), _SIZES, threads=(2,)),
)
# In the caches of the first, second and third level and in main memory, of most machines.
_QUICK_SIZES = (4 * KI, 64 * KI, MI, 16 * MI)
PAGE = (Grid(("dropout",), _QUICK_SIZES, directions=_PASSES),)
QUICK = (
    Grid(("dropout",), _QUICK_SIZES, ps=(0.1, 0.5), directions=_PASSES),
    Grid(("dropout",), (64 * KI, MI), dtypes=("float64",), directions=_PASSES),
    Grid(("dropout",), (64 * KI, MI), dtypes=_HALVES),
    Grid(("dropout",), (64 * KI, 16 * MI), directions=("both",)),
    Grid(("dropout",), (64 * KI,), ps=(0.5,), directions=("both",)),
    Grid(("alpha_dropout", "gaussian_dropout"), _SIZES),
    Grid(("alpha_dropout", "gaussian_dropout"), (MI,), directions=("backward",)),
    *_BESIDE_DROPOUT,
)
# The fused operations, which a quick run has only if you ask for them.
_FUSED = (
    Grid(tuple(FUSED), _SIZES, ps=(0.1, 0.5), directions=_PASSES, fixed=("dtypes",)),
    Grid(tuple(FUSED), (CALL,), directions=_PASSES, fixed=("dtypes",)),
    Grid(tuple(FUSED), _SIZES, threads=(2,), directions=_PASSES, fixed=("dtypes",)),
)
# What attention and a transformer take, which are measured if you ask for them.
_NETWORKS = (
    Grid(("softmax_dropout",), _SIZES, ps=(0.1, 0.5), directions=_PASSES, fixed=("dtypes",)),
    Grid(("softmax_dropout",), _SIZES, threads=(2,), directions=_PASSES, fixed=("dtypes",)),
    Grid(ATTENTION, (2 * MI,), threads=(1, 2), directions=("forward", "both"), fixed=("dtypes",)),
    Grid(ATTENTION, (MI,), directions=("both",), fixed=("dtypes",)),
    Grid(("transformer_step",), (512 * KI,), ("float32",), (0.1, 0.5), (1, 2), _NEITHER, fixed=("dtypes",)),
)
_FULL_SIZES = tuple(4**k * KI for k in range(8))  # 1 Ki to 16 Mi
FULL = (
    Grid(("dropout",), _FULL_SIZES, ("float32", "float64"), ps=(0.1, 0.5), directions=tuple(DIRECTIONS)),
    Grid(("dropout",), _SIZES, dtypes=_HALVES, directions=_PASSES),
    Grid(("alpha_dropout", "gaussian_dropout"), _SIZES, directions=_PASSES),
    *_BESIDE_DROPOUT,
    *_FUSED,
)
_HOSTS = (
    Grid(("torch",), (CALL_SIZE, 64 * KI, MI), directions=("forward", "both")),
    Grid(
        ("torch_step",),
        (ENCODER_SIZE,),
        ("float32",),
        (0.1, 0.5),
        (1, 2),
        _NEITHER,
        fixed=("sizes", "dtypes"),
    ),
    Grid(("jax",), (64 * KI, MI), directions=("forward", "both")),
    Grid(("dask",), (16 * MI,), threads=(1, 2)),
)
STRUCTURED = [
    Case("structured", call.size, call.dtype, float(np.mean(call.p)), direction=None, call=name)
    for name, call in CALLS.items()
]


@dataclass(frozen=True)
class Choice:
    """What the user asked for; an empty axis is that of the tables above."""

    quick: bool = False
    check: bool = False
    kinds: Sequence[str] = ()  # the axes are named as those of a grid
    directions: Sequence[str] = ()
    sizes: Sequence[int] = ()
    dtypes: Sequence[str] = ()
    ps: Sequence[float] = ()
    threads: Sequence[int] = ()
    asked_isas: Sequence[str] = ()
    goals: bool = False
    compared: Sequence[str] = ()  # the other libraries that are here and were asked for

    @property
    def page(self) -> bool:
        """Whether the answer is the page about plain dropout, and no table for every case."""
        return self.quick and not (self.kinds or self.directions or self.goals)

    @property
    def isas(self) -> Sequence[str]:
        """Those to time, the best first; without scalar if quick and it is neither asked for nor all."""
        if self.asked_isas:
            return [isa for isa in fastdrop.isas() if isa in self.asked_isas]
        best, *others = fastdrop.isas()
        return [best, *(isa for isa in others if isa != "scalar" or not self.quick)]


def plan(choice: Choice, processors: int) -> list[Case]:
    """The cases to run, each once; those that need more processors than there are come only if asked for."""
    chosen: list[Case] = []
    asked = [grid for grid in (*_HOSTS, *_FUSED, *_NETWORKS) if set(grid.kinds) & set(choice.kinds)]
    for grid in [*(PAGE if choice.page else QUICK if choice.quick else FULL), *asked]:
        axes = {
            axis: tuple(getattr(choice, axis))
            for axis in ("sizes", "dtypes", "ps", "threads")
            if getattr(choice, axis) and axis not in grid.fixed
        }
        possible = tuple(count for count in grid.threads if count <= processors)
        chosen += replace(grid, **{"threads": possible, **axes}).cases()
    if choice.check:
        chosen = [replace(c, size=min(c.size, _STEPS.get(c.kind, CHECK_LIMIT))) for c in chosen]
    if not choice.quick or "structured" in choice.kinds:
        chosen += [case for case in STRUCTURED if _asked_for(case, choice)]
    return [
        case
        for case in dict.fromkeys(chosen)
        if (case.kind in choice.kinds or not choice.kinds)
        and (case.direction in choice.directions or not choice.directions)
        and (case.kind != "threads" or case.threads > 1)
    ]


def _asked_for(case: Case, choice: Choice) -> bool:
    """Whether a case that is no product of axes has the values that the user asked for."""
    axes = (
        (case.size, choice.sizes),
        (case.dtype, choice.dtypes),
        (case.p, choice.ps),
        (case.threads, choice.threads),
    )
    return all(value in asked for value, asked in axes if asked)
