# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's pages and picture for users, from times that are made up."""

import matplotlib.figure
import pytest

import fastdrop
from fastdrop.bench import page, plot, report
from fastdrop.bench.cases import STRUCTURED, Case, Choice
from fastdrop.bench.contenders import Contender

BEST = f"fastdrop {fastdrop.isas()[0]}"
CHOICE = Choice(quick=True)
# Nanoseconds of a call on 1,000 elements in two rounds.
FORWARD = {
    "memcpy": ("floor", [100.0, 100.0]),
    "np.copyto": ("floor", [101.0, 101.0]),
    BEST: ("fastdrop", [200.0, 250.0]),
    f"{BEST} in place": ("fastdrop", [90.0, 90.0]),
    f"{BEST} out=None": ("fastdrop", [300.0, 300.0]),
    f"{BEST} given mask": ("fastdrop", [110.0, 110.0]),
    f"{BEST} philox4x32-10": ("fastdrop", [400.0, 400.0]),
    "numpy textbook": ("numpy", [9000.0, 9000.0]),
    "numpy best": ("numpy", [4500.0, 4500.0]),
    "numpy 16 bits": ("numpy", [2000.0, 2000.0]),
    "torch": ("torch", [7000.0, 7000.0]),
    "jax": ("jax", [6000.0, 6000.0]),
    "numba": ("numba", [5000.0, 5000.0]),
}
BACKWARD = {"memcpy": ("floor", [100.0, 100.0]), BEST: ("fastdrop", [120.0, 120.0])}


def made_up(case, everybody):
    """A table in the way that the page asks for."""
    contenders = [Contender(name, family, "1.0", "", build=None) for name, (family, _) in everybody.items()]
    times = {name: [t * case.size / 1000 for t in times] for name, (_, times) in everybody.items()}
    return report.table(case, contenders, times)


def tables(*sizes):
    for size in sizes:
        yield made_up(Case("dropout", size), FORWARD)
        yield made_up(Case("dropout", size, direction="backward"), BACKWARD)


def test_the_page_has_a_row_for_what_a_user_writes():
    lines = page.plain(list(tables(1000, 2000)), CHOICE).splitlines()
    assert "float32" in lines[0]
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines if line[:2] == "  "]
    assert rows == [
        ["elements", "1,000", "2,000"],
        ["memcpy(y, x)", "1.00 (100 ns)", "1.00 (200 ns)"],
        ["mask.apply(x, out=y)", "1.10 (110 ns)", "1.10 (220 ns)"],
        ["dropout(x, p, rng=masks, out=y)", "2.25 (225 ns)", "2.25 (450 ns)"],
        ["dropout(x, p, rng=masks, out=x)", "0.90 (90 ns)", "0.90 (180 ns)"],
        ["dropout(x, p, rng=masks)", "3.00 (300 ns)", "3.00 (600 ns)"],
        ["dropout_backward(dy, mask, out=dx)", "1.20 (120 ns)", "1.20 (240 ns)"],
        ["NumPy's line", "90.00 (9 us)", "90.00 (18 us)"],
        ["NumPy's best", "45.00 (4.5 us)", "45.00 (9 us)"],
        ["torch", "70.00 (7 us)", "70.00 (14 us)"],
        ["jax", "60.00 (6 us)", "60.00 (12 us)"],
        ["numba", "50.00 (5 us)", "50.00 (10 us)"],
    ]


def test_the_page_says_what_the_figures_mean():
    text = page.plain(list(tables(1000, 2000)), CHOICE)
    assert "At 2,000 elements, dropout takes 2.25 times as long as a copy." in text
    assert "NumPy's line takes 40 times as long as dropout with out=y." in text
    assert "In place it takes 0.90 copies there, with a new array for the result 3.00." in text
    assert "a factor of up to 1.25" in text  # 200 and 250
    slow = {**FORWARD, "numpy best": ("numpy", [33333.0, 33333.0])}
    text = page.plain([made_up(Case("dropout", 1000), FORWARD), made_up(Case("dropout", 2000), slow)], CHOICE)
    assert "NumPy's best takes 20 to 150 times as long as dropout with out=y." in text


@pytest.mark.parametrize("gone", [BEST, "numpy textbook", f"{BEST} in place"])
def test_a_row_that_was_refused_is_left_out(gone):
    kept = {name: row for name, row in FORWARD.items() if name != gone}
    assert "mask.apply(x, out=y)" in page.plain([made_up(Case("dropout", 1000), kept)], CHOICE)


def test_each_dtype_has_a_table_of_its_own():
    both = [made_up(Case("dropout", 1000, dtype), FORWARD) for dtype in ("float32", "float64")]
    text = page.plain(both, CHOICE)
    assert text.count("memcpy(y, x)") == 2
    assert "Dropout of float64 arrays" in text


def test_only_what_the_page_shows_is_timed():
    contenders = [Contender(name, family, "1.0", "", build=None) for name, (family, _) in FORWARD.items()]
    names = [one.name for one in page.shown(Case("dropout", 1000), contenders, CHOICE)]
    assert set(FORWARD) - set(names) == {"np.copyto", f"{BEST} philox4x32-10", "numpy 16 bits"}


@pytest.mark.parametrize(
    ("best", "faster"), [([500.0, 500.0], "fastdrop"), ([50.0, 50.0], "NumPy"), ([220.0, 220.0], "equal")]
)
def test_a_structured_call_has_its_winner(best, faster):
    case = STRUCTURED[0]
    everybody = {"np.copyto": FORWARD["memcpy"], BEST: FORWARD[BEST], "numpy best": ("numpy", best)}
    row = page.structured([made_up(case, everybody)]).splitlines()[-1]
    assert row.startswith(f"  {case.call} ")
    assert row.split()[-1] == faster
    refused = {name: row for name, row in everybody.items() if name != "numpy best"}
    assert page.structured([made_up(case, refused)]).splitlines()[-1].split()[-3:] == ["-", "-", "-"]


@pytest.fixture
def axes(monkeypatch):
    """The axes that a picture was drawn in, in place of its file."""
    drawn = []
    monkeypatch.setattr(
        matplotlib.figure.Figure, "savefig", lambda self, path, dpi: drawn.append((self, dpi))
    )
    plot.plot(list(tables(1000, 2048, 2**20)), "A processor", "out.png")
    ((figure, dpi),) = drawn
    assert figure.get_size_inches()[0] * dpi == 800
    (axes,) = figure.axes
    return axes


def test_the_picture_has_six_lines_of_different_colours(axes):
    lines = axes.get_lines()
    assert [line.get_label().split(":")[0] for line in lines] == [
        "memcpy", "fastdrop", "NumPy's best", "NumPy", "torch", "jax",
    ]  # fmt: skip
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 6
    assert [line.get_ydata()[0] for line in lines] == [1, 2.25, 45, 90, 70, 60]


def test_the_picture_says_what_it_shows(axes):
    assert axes.get_title() == "A processor\nDropout forward, float32, p = 0.1, 1 thread"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1,000", "2 Ki", "1 Mi"]
