# SPDX-License-Identifier: BSD-3-Clause
"""The pages for users: what plain dropout costs by size, and what the structured calls cost."""

import statistics
from collections.abc import Sequence

from .cases import Case, Choice
from .contenders import Contender
from .report import Row, Table, aligned, figure, time, verdict

_TEXTBOOK, _BEST = "NumPy's line", "NumPy's best"
_REUSED = "dropout(x, p, rng=masks, out=y)"
_IN_PLACE = "dropout(x, p, rng=masks, out=x)"
_NEW = "dropout(x, p, rng=masks)"
# What the page calls its rows: by direction and by the contender's name after the instruction set.
_ROWS = {
    ("forward", "memcpy"): "memcpy(y, x)",
    ("forward", "fastdrop given mask"): "mask.apply(x, out=y)",
    ("forward", "fastdrop"): _REUSED,
    ("forward", "fastdrop in place"): _IN_PLACE,
    ("forward", "fastdrop out=None"): _NEW,
    ("backward", "fastdrop"): "dropout_backward(dy, mask, out=dx)",
    ("forward", "numpy textbook"): _TEXTBOOK,
    ("forward", "numpy best"): _BEST,
}
_NUMPYS = f"""\
{_TEXTBOOK}: x * (rng.random(x.shape) >= p) / (1 - p).
{_BEST}: random numbers in float32 (in float64 for float64), one multiplication by a mask, out= everywhere."""
_FASTER = {"win": "fastdrop", "loss": "NumPy", "unresolved": "equal"}


def shown(case: Case, contenders: Sequence[Contender], choice: Choice) -> list[Contender]:
    """The contenders that the page has a row for, and the floor of every case."""
    return [
        one for one in contenders if one.name == contenders[0].name or _label(case, one, choice) is not None
    ]


def _label(case: Case, contender: Contender, choice: Choice) -> str | None:
    name = contender.name.replace(f"fastdrop {choice.isas[0]}", "fastdrop")
    if contender.family not in ("floor", "fastdrop", "numpy"):  # one that was asked for
        return name if case.direction == "forward" else None
    return _ROWS.get((str(case.direction), name))


def plain(tables: Sequence[Table], choice: Choice) -> str:
    """Tables of plain dropout by size, one for each dtype, p and number of threads, and what they say."""
    groups: dict[tuple[str, float, int], list[Table]] = {}
    for one in tables:
        groups.setdefault((one.case.dtype, one.case.p, one.case.threads), []).append(one)
    sections = [_section(group, choice) for group in groups.values()]
    return "\n\n".join([*sections, _NUMPYS])


def _section(tables: Sequence[Table], choice: Choice) -> str:
    """The table of one group: how many times as long as a memcpy, and the time."""
    case = tables[0].case
    sizes = sorted({one.case.size for one in tables})
    cells: dict[str, dict[int, Row]] = {label: {} for label in _ROWS.values()}
    for one in tables:
        for row in one.rows:
            if label := _label(one.case, row.contender, choice):
                cells.setdefault(label, {})[one.case.size] = row
    lines = [["elements", *(f"{size:,}" for size in sizes)]]
    for label, rows in cells.items():
        if rows:
            lines.append([label, *(_cell(rows[size]) if size in rows else "-" for size in sizes)])
    threads = f"{case.threads} thread{'s' if case.threads > 1 else ''}"
    head = f"Dropout of {case.dtype} arrays, p = {case.p}, {threads}, instruction set {choice.isas[0]}."
    how = "How many times as long as a memcpy of the same arrays, and the time of one call from Python:"
    return "\n".join([head, how, "", *aligned(lines, left=(0,)), "", *_meaning(cells)])


def _cell(row: Row) -> str:
    taken, ratio = _time_and_ratio(row)
    return f"{ratio} ({taken})"


def _time_and_ratio(row: Row) -> tuple[str, str]:
    return time(statistics.median(row.nanoseconds)), figure(row.to_floor.value)


def _meaning(cells: dict[str, dict[int, Row]]) -> list[str]:
    """What the figures say, in sentences."""
    said: list[str] = []
    if not cells[_REUSED]:  # its answer was refused
        return said
    size = max(cells[_REUSED])
    ours = cells[_REUSED][size]
    said.append(f"At {size:,} elements, dropout takes {figure(ours.to_floor.value)} times as long as a copy.")
    largest = [cells[label][size] for label in (_IN_PLACE, _NEW) if size in cells[label]]
    if len(largest) == 2:
        in_place, new = (figure(row.to_floor.value) for row in largest)
        said.append(f"In place it takes {in_place} copies there, with a new array for the result {new}.")
    for label in (_TEXTBOOK, _BEST):
        ratios = [row.to_fastdrop.value for row in cells[label].values() if row.to_fastdrop]
        if ratios:
            ends = dict.fromkeys(f"{float(f'{value:.2g}'):g}" for value in (min(ratios), max(ratios)))
            said.append(f"{label} takes {' to '.join(ends)} times as long as dropout with out=y.")
    widest = max(row.to_floor.high / row.to_floor.low for rows in cells.values() for row in rows.values())
    said.append(f"Between the rounds of this run a ratio changed by a factor of up to {widest:.2f}.")
    return said


def structured(tables: Sequence[Table]) -> str:
    """A line for each structured call: the copy, fastdrop, NumPy's best, and who is faster."""
    lines = [["", "copy", "fastdrop", "copies", "NumPy's best", "copies", "faster"]]
    for one in tables:
        rows = {row.contender.family: row for row in one.rows}
        cells = [time(statistics.median(rows["floor"].nanoseconds))]
        for family in ("fastdrop", "numpy"):
            row = rows.get(family)  # None: its answer was refused
            cells += ["-", "-"] if row is None else _time_and_ratio(row)
        best = rows.get("numpy")
        lines.append([one.case.call, *cells, _FASTER.get(verdict(best), "-") if best else "-"])
    return "\n".join(
        [
            "Structured calls with out=y: the time of one call, and how many copies (np.copyto) that is.",
            "NumPy's best: float32 random numbers, out= everywhere, a mask of the shape of the decisions.",
            "equal: the fastest was not the same one in every round.",
            "",
            *aligned(lines, left=(0, 6)),
        ]
    )
