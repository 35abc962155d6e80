# SPDX-License-Identifier: BSD-3-Clause
"""The tables as a picture: size on x, times the floor on y, a line for every contender."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from .report import Table

_PANEL_INCHES = (5.0, 4.0)
_COLUMNS = 4


def plot(tables: Sequence[Table], caption: str, path: str) -> None:
    """Write a picture with a panel for every kind of case, direction, dtype, p and number of threads."""
    panels = _panels(tables)
    names = dict.fromkeys(row.contender.name for group in panels.values() for t in group for row in t.rows)
    colours = import_module("matplotlib").colormaps["tab20"].colors
    styles = {
        name: {"color": colours[place % len(colours)], "linestyle": "-" if place < len(colours) else "--"}
        for place, name in enumerate(names)
    }
    columns = min(len(panels), _COLUMNS) or 1
    rows = -(-len(panels) // columns) or 1
    size = (
        columns * _PANEL_INCHES[0] + 3,
        rows * _PANEL_INCHES[1] + 0.8,
    )  # beside them a legend and a caption
    figure = import_module("matplotlib.figure").Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    handles: dict[str, Any] = {}
    for axis, (title, group) in zip(axes, panels.items(), strict=False):
        axis.set_title(title)
        handles |= _draw(axis, group, styles)
    for axis in axes[len(panels) :]:
        axis.remove()
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", fontsize="small")
    figure.supxlabel(caption, fontsize="x-small", wrap=True)
    figure.savefig(path, dpi=110)


def _panels(tables: Sequence[Table]) -> dict[str, list[Table]]:
    """The tables that have lines in common, under their titles."""
    panels: dict[str, list[Table]] = {}
    for one in tables:
        case = one.case
        if case.moved_bytes is not None:
            panels.setdefault(case.title(), []).append(one)
    # A single size makes no line, and stands in the table anyway.
    return {title: group for title, group in panels.items() if len(group) > 1} or panels


def _draw(axis: Any, group: Sequence[Table], styles: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The lines of one panel with their bands; the lines by name, for the legend."""
    axis.set(
        yscale="log", xlabel="elements", ylabel="times the floor, which mostly is a memcpy of the same arrays"
    )
    axis.set_xscale("log", base=2)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.grid(which="both", alpha=0.3)
    lines = {}
    for name, style in styles.items():
        points = sorted((t.case.size, r.to_floor) for t in group for r in t.rows if r.contender.name == name)
        if points:
            sizes, ratios = zip(*points, strict=True)
            (lines[name],) = axis.plot(sizes, [r.value for r in ratios], marker=".", **style)
            band = ([r.low for r in ratios], [r.high for r in ratios])
            axis.fill_between(sizes, *band, color=style["color"], alpha=0.2, linewidth=0)
    return lines
