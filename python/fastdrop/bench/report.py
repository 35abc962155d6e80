# SPDX-License-Identifier: BSD-3-Clause
"""From timings to a table for people and to JSON. Rows that lose stand where they would if they won."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .cases import Case
from .contenders import Contender
from .goals import Mark, marks
from .kinds import KINDS
from .measure import Effort, Ratio, ratio

_HOW_TO_READ = """\
Time: median over {rounds} rounds of the best inside a round; contenders take turns in swapped order.
x memcpy: ratio to a memcpy of the same arrays (of both pairs, in both) in the same run, or to the floor
that stands there instead; each side includes its own call from Python. GB/s: of the bytes that must be
read and written at the least.
x fastdrop: ratio to the first fastdrop row. Band: from the smallest to the largest ratio of any round."""
_HOW_TO_READ_PEAK = """\
Peak MB: how far the resident memory rises in one call, in 10**6 bytes, and what a contender keeps from call
to call. Operands, outputs, gradients and parameters do not count, whoever made them; - where the system does
not tell."""
_HOW_TO_READ_GOALS = """\
A win or a loss of fastdrop is called one only where the band excludes 1. Goals: with a ? where the band
holds the limit."""


@dataclass(frozen=True)
class Row:
    """One contender in one case."""

    contender: Contender
    nanoseconds: list[float]  # of one call, for every round
    per_second: float | None  # GB
    to_floor: Ratio
    to_fastdrop: Ratio | None  # None for floors and for the reference itself
    marks: list[Mark]
    peak_bytes: int | None = None  # None where it is not measured


@dataclass(frozen=True)
class Table:
    """All contenders in one case. The floor is the first of them, the reference fastdrop's first."""

    case: Case
    rows: list[Row]


def table(
    case: Case,
    contenders: Sequence[Contender],
    times: Mapping[str, list[float]],
    peaks: Mapping[str, int | None] = MappingProxyType({}),
) -> Table:
    """The table of a case; `times` are those of `measure`, and `peaks` bytes of memory."""
    timed = [contender for contender in contenders if contender.name in times]
    floor = times[timed[0].name]
    reference = next((times[c.name] for c in timed if c.family == "fastdrop"), None)
    rows = []
    for contender in timed:
        own = times[contender.name]
        compared = reference is not None and reference is not own and contender.family != "floor"
        rows.append(
            Row(
                contender,
                own,
                None if case.moved_bytes is None else case.moved_bytes / statistics.median(own),
                ratio(own, floor),
                ratio(own, reference) if compared and reference is not None else None,
                marks(case, contender.name, times, peaks),
                peaks.get(contender.name),
            )
        )
    return Table(case, rows)


def verdict(row: Row) -> str:
    """Whether fastdrop won against this contender; nothing where the contender is fastdrop as well."""
    if row.to_fastdrop is None or row.contender.family == "fastdrop":
        return ""
    if not row.to_fastdrop.resolved:
        return "unresolved"
    return "win" if row.to_fastdrop.value > 1 else "loss"


def text(one: Table, *, goals: bool) -> str:
    """A table for the terminal."""
    head = ["", "time", "GB/s", f"x {one.rows[0].contender.name}", "band", "x fastdrop", "band", "", "goals"]
    lines = [head]
    for row in one.rows:
        other = row.to_fastdrop
        lines.append(
            [
                row.contender.name,
                time(statistics.median(row.nanoseconds)),
                "" if row.per_second is None else f"{row.per_second:.1f}",
                figure(row.to_floor.value),
                _band(row.to_floor),
                "" if other is None else figure(other.value),
                "" if other is None else _band(other),
                verdict(row),
                ", ".join(map(str, row.marks)),
            ]
        )
    columns = lines if goals else [line[:7] for line in lines]
    left = (0, 7, 8)
    if has_peak(one):
        peaks = ["peak MB", *("-" if r.peak_bytes is None else f"{r.peak_bytes / 1e6:.1f}" for r in one.rows)]
        columns = [[*line[:2], peak, *line[2:]] for line, peak in zip(columns, peaks, strict=True)]
        left = (0, 8, 9)
    return "\n".join([f"{one.case}: {one.case.about()}", *aligned(columns, left)])


def has_peak(one: Table) -> bool:
    """Whether the table shows the peak of memory."""
    return KINDS[one.case.kind].has_peak


def aligned(lines: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    """The lines of a table, indented; the columns of words at the left, the others at the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return ["  " + row for row in rows]


def legend(tables: Sequence[Table], effort: Effort, *, goals: bool) -> str:
    """How to read the tables, and who did what."""
    contenders = [row.contender for one in tables for row in one.rows]
    jobs = dict.fromkeys(f"  {c.name}{f' ({c.version})' if c.version else ''}: {c.job}" for c in contenders)
    how = [_HOW_TO_READ.format(rounds=effort.rounds)]
    if any(map(has_peak, tables)):
        how.append(_HOW_TO_READ_PEAK)
    if goals:
        how.append(_HOW_TO_READ_GOALS)
    return "\n".join([*how, "Contenders:", *jobs])


def as_json(tables: Sequence[Table], effort: Effort, about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, as JSON can hold it; `about` is what else there is to say."""
    contenders = {row.contender.name: row.contender for one in tables for row in one.rows}
    return {
        **about,
        "method": {"rounds": effort.rounds, "statistic": "best inside a round, median over rounds"},
        "contenders": [
            {"name": c.name, "family": c.family, "version": c.version, "job": c.job}
            for c in contenders.values()
        ],
        "rows": [_json_row(one.case, row) for one in tables for row in one.rows],
    }


def _json_row(case: Case, row: Row) -> dict[str, Any]:
    def figures(one: Ratio | None) -> dict[str, Any] | None:
        return None if one is None else {**vars(one), "resolved": one.resolved}

    return {
        **vars(case),
        "operation": case.operation,
        "contender": row.contender.name,
        "nanoseconds": row.nanoseconds,
        "gb_per_second": row.per_second,
        "peak_bytes": row.peak_bytes,
        "to_floor": figures(row.to_floor),
        "to_fastdrop": figures(row.to_fastdrop),
        "verdict": verdict(row),
        "goals": [vars(mark) for mark in row.marks],
    }


def goals_met(tables: Sequence[Table]) -> str:
    """How many goals were met, and which were not."""
    held = [
        (f"{one.case}: {row.contender.name}", mark)
        for one in tables
        for row in one.rows
        for mark in row.marks
    ]
    missed = [f"  {where} {mark}" for where, mark in held if not mark.met]
    return "\n".join([f"Goals met: {len(held) - len(missed)} of {len(held)}.", *missed])


def time(nanoseconds: float) -> str:
    """A time with its unit."""
    for unit, size in (("ns", 1.0), ("us", 1e3), ("ms", 1e6)):
        if nanoseconds < 1000 * size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds / 1e9:.3g} s"


def figure(value: float) -> str:
    """A ratio, to two decimals or to the whole."""
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _band(one: Ratio) -> str:
    return f"{figure(one.low)}-{figure(one.high)}"
