# SPDX-License-Identifier: BSD-3-Clause
"""Plain dropout as a picture: size on x, times a memcpy on y, at most six lines."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from .report import Row, Table

_WIDTH, _HEIGHT = 8.0, 5.6  # inches, of 100 pixels each
# Colours of Okabe and Ito, which colour-blind readers tell apart, and a marker each: by the contender's name,
# what the legend calls it. `fastdrop` stands for the best instruction set, with a reused output.
_LINES = {
    "memcpy": ("memcpy", "#000000", "s"),
    "fastdrop": ("fastdrop", "#0072B2", "o"),
    "numpy best": ("NumPy's best: out= everywhere", "#E69F00", "^"),
    "numpy textbook": ("NumPy: x * (rng.random(x.shape) >= p) / (1 - p)", "#D55E00", "v"),
    "torch": ("torch", "#CC79A7", "D"),
    "jax": ("jax", "#009E73", "P"),
}


def plot(tables: Sequence[Table], machine: str, path: str) -> None:
    """Write a picture of the first tables of plain dropout that differ in the size alone."""
    drawn = [one for one in tables if one.case.kind == "dropout"]
    drawn = [one for one in drawn if one.case.title() == drawn[0].case.title()]
    case = drawn[0].case
    figure = import_module("matplotlib.figure").Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.subplots()
    axes.set_title(
        f"{machine}\nDropout {case.direction}, {case.dtype}, p = {case.p}, {case.threads} thread"
        f"{'s' if case.threads > 1 else ''}",
        fontsize=12,
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("number of elements", fontsize=12)
    axes.set_ylabel("times as long as a memcpy of the same arrays", fontsize=12)
    axes.grid(alpha=0.3)
    for name, (label, colour, marker) in _LINES.items():
        points = sorted((one.case.size, row.to_floor) for one in drawn if (row := _row(one, name)))
        if points:
            sizes, ratios = zip(*points, strict=True)
            axes.plot(sizes, [r.value for r in ratios], marker=marker, color=colour, label=label)
            band = ([r.low for r in ratios], [r.high for r in ratios])
            axes.fill_between(sizes, *band, color=colour, alpha=0.2, linewidth=0)
    ticks = sorted({one.case.size for one in drawn})
    axes.set_xticks(ticks, [_short(size) for size in ticks])
    axes.yaxis.set_major_formatter("{x:g}")
    figure.legend(loc="outside lower center", ncols=2, fontsize=10)
    figure.savefig(path, dpi=100)


def _row(one: Table, name: str) -> Row | None:
    """The row of that name; for fastdrop its first row."""
    found: Any = (row for row in one.rows if name in (row.contender.name, row.contender.family))
    return next(found, None)


def _short(size: int) -> str:
    for suffix, unit in (("Mi", 2**20), ("Ki", 2**10)):
        if size % unit == 0:
            return f"{size // unit} {suffix}"
    return f"{size:,}"
