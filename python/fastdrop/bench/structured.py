# SPDX-License-Identifier: BSD-3-Clause
"""The structured calls: shared decisions, arrays of p, blocks, layouts, 16 bits and kinds of ``rng``.

Each has a copy of the same arrays and NumPy's best lines for the same job beside it. This file stands alone
and uses the public API of fastdrop only, so that ``bench/compare_builds.py`` can load it beside an older
build.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import fastdrop

Array = NDArray[Any]

_P = 0.1
_COLUMNS = np.linspace(0, 0.5, 1024)
_CHANNELS = np.linspace(0, 0.5, 64)
BLOCK = 5


@dataclass(frozen=True, eq=False)
class Call:
    """One call of fastdrop, ``function(x, p, rng=..., out=y, **options)``."""

    function: str
    shape: tuple[int, ...]
    shared: tuple[int, ...] = ()  # axes along which a decision is shared
    p: float | NDArray[np.float64] = _P
    options: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    rng: str = "MaskGenerator"
    transposed: bool = False  # x and y are matrices that lie transposed

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return tuple(1 if axis in self.shared else length for axis, length in enumerate(self.shape))

    def view(self, flat: Array) -> Array:
        """Flat memory as an array of this call."""
        return flat.reshape(self.shape[::-1]).T if self.transposed else flat.reshape(self.shape)

    def copy(self, x: Array, y: Array) -> Callable[[], object]:
        """NumPy's copy of the same arrays; `x` and `y` are flat memory here and below."""
        return functools.partial(np.copyto, self.view(y), self.view(x))

    def ours(self, x: Array, y: Array) -> Callable[[], object]:
        """The call itself: every time a new mask."""
        function, options = getattr(fastdrop, self.function), {"out": self.view(y), **self.options}
        call = functools.partial(function, self.view(x), self.p, **options)
        if self.rng == "int":
            seeds = itertools.count()
            return lambda: call(rng=next(seeds))
        generators = {"Generator": np.random.default_rng(0), "MaskGenerator": fastdrop.MaskGenerator(0)}
        return functools.partial(call, rng=generators.get(self.rng))

    def numpys(self, x: Array, y: Array) -> Callable[[], object]:
        """NumPy's best: random numbers in float32, ``out=`` everywhere, one multiplication by a mask."""
        if self.function == "drop_block":
            return _blocks(self.view(x), self.view(y))
        x, y, rng = self.view(x), self.view(y), np.random.default_rng(0)
        p = self.p if isinstance(self.p, float) else self.p.astype(np.float32)
        scale = np.asarray(1 / (1 - self.p), x.dtype)
        order: Literal["C", "F"] = "F" if self.transposed else "C"  # that of x
        uniform, mask = (np.empty(self.noise_shape, kind, order) for kind in (np.float32, x.dtype))

        def run() -> None:
            rng.random(out=uniform, dtype=np.float32)
            np.greater_equal(uniform, p, out=mask)
            np.multiply(mask, scale, out=mask)
            np.multiply(x, mask, out=y)

        return run


def block_chance(length: int) -> float:
    """The probability that a block begins at a place of a map of that side."""
    return _P * (length / (BLOCK * (length - BLOCK + 1))) ** 2


def _blocks(x: Array, y: Array) -> Callable[[], object]:
    """Blocks that begin at random, widened along one axis and then the other."""
    rng, side = np.random.default_rng(0), x.shape[-1]
    starts, chance = side - BLOCK + 1, block_chance(side)
    uniform = np.empty((*x.shape[:2], starts, starts), np.float32)
    begins, wide = np.empty(uniform.shape, bool), np.empty((*x.shape[:2], starts, side), bool)
    dropped, mask = np.empty(x.shape, bool), np.empty_like(x)

    def run() -> None:
        rng.random(out=uniform, dtype=np.float32)
        np.less(uniform, chance, out=begins)
        wide[...] = False
        dropped[...] = False
        for shift in range(BLOCK):
            wide[..., shift : shift + starts] |= begins
        for shift in range(BLOCK):
            dropped[:, :, shift : shift + starts] |= wide
        np.logical_not(dropped, out=mask)
        np.multiply(mask, dropped.size / (dropped.size - np.count_nonzero(dropped)), out=mask)
        np.multiply(x, mask, out=y)

    return run


def _calls() -> dict[str, Call]:
    nchw: dict[str, Any] = {"shared": (2, 3), "options": {"channel_axis": 1}}
    nhwc: dict[str, Any] = {"shared": (1, 2), "options": {"channel_axis": -1}}
    images = (64, 14, 14, 64)
    rows = [
        *((f"dropout, p {what}", Call("dropout", shape, p=p))
          for shape in ((128, 1024), (1024, 1024))
          for what, p in (("by column", _COLUMNS), ("= 0.25", 0.25))),
        *((f"channel_dropout NHWC, p {what}", Call("channel_dropout", images, p=p, **nhwc))
          for what, p in (("by channel", _CHANNELS), ("= 0.25", 0.25))),
        *((f"dropout, p {what}", Call("dropout", images, p=p))
          for what, p in (("by channel", _CHANNELS), ("= 0.25", 0.25))),
        *(("locked_dropout", Call("locked_dropout", shape, shared=(0,), options={"time_axis": 0}))
          for shape in ((4, 8, 32), (20, 16, 64), (64, 32, 32), (128, 32, 512))),
        *((f"channel_dropout {order}", Call("channel_dropout", shape, **axes))
          for order, shape, axes in (
              ("NCHW", (2, 8, 8, 8), nchw), ("NCHW", (64, 32, 16, 16), nchw),
              ("NHWC", (2, 8, 8, 8), nhwc), ("NHWC", (64, 16, 16, 32), nhwc))),
        ("drop_path", Call("drop_path", (64, 196, 192), shared=(1, 2))),
        ("embedding_dropout", Call("embedding_dropout", (10000, 400), shared=(1,))),
        (f"drop_block, block_size {BLOCK}",
         Call("drop_block", (64, 32, 16, 16), options={"block_size": BLOCK})),
        *(("dropout(x.T, out=y.T)", Call("dropout", (side, side), transposed=True))
          for side in (1000, 1024, 3000)),
        *((f"dropout, {dtype}", Call("dropout", (size,), dtype=dtype))
          for dtype in ("float16", "bfloat16") for size in (2**16, 2**20)),
        *((f"dropout, rng={rng}", Call("dropout", (64, 256), rng=rng))
          for rng in ("None", "int", "Generator", "MaskGenerator")),
    ]  # fmt: skip
    return {f"{name}, {call.shape}": call for name, call in rows}


CALLS = _calls()  # by their names
