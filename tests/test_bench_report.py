# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark measures, what it should come to, and how that is shown; times are made up."""

import json

import pytest

import fastdrop
from fastdrop import _core
from fastdrop.bench import goals, report
from fastdrop.bench.cases import FULL, MI, QUICK, Case, Choice, plan
from fastdrop.bench.contenders import CONTENDERS, Contender, contenders_for
from fastdrop.bench.contenders.rivals import rivals
from fastdrop.bench.fused import FUSED
from fastdrop.bench.goals import GOALS, marks
from fastdrop.bench.kinds import DIRECTIONS, KINDS
from fastdrop.bench.measure import Effort
from fastdrop.bench.structured import CALLS

OF_HOSTS = {name for name, kind in KINDS.items() if kind.host}
OF_NETWORKS = {name for name, kind in KINDS.items() if kind.has_peak}


@pytest.mark.parametrize("quick", [False, True])
def test_no_case_comes_twice(quick):
    planned = plan(Choice(quick, goals=True), processors=2)
    assert len(set(planned)) == len(planned)
    grids = QUICK if quick else FULL
    named = set() if quick else {"structured"}  # one by one
    assert {kind for grid in grids for kind in grid.kinds} | named == {case.kind for case in planned}
    if_asked = OF_HOSTS | OF_NETWORKS | ({"structured", *FUSED} if quick else set())
    assert {case.kind for case in planned} | if_asked == set(KINDS)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("kind", sorted(OF_HOSTS | OF_NETWORKS))
def test_arrays_of_other_libraries_and_networks_are_measured_if_you_ask(quick, kind):
    planned = plan(Choice(quick, kinds=(kind,)), processors=2)
    assert len(set(planned)) == len(planned) > 0
    assert {case.kind for case in planned} == {kind}


def test_quick_alone_is_plain_dropout_by_size():
    planned = plan(Choice(quick=True), processors=2)
    assert {(case.kind, case.dtype, case.p, case.threads) for case in planned} == {
        ("dropout", "float32", 0.1, 1)
    }
    assert len(planned) == 8  # four sizes, two passes


def test_the_users_axes_pick_among_the_structured_calls():
    def names(**axes):
        return {case.call for case in plan(Choice(kinds=("structured",), **axes), processors=1)}

    assert names() == set(CALLS)
    assert names(dtypes=("bfloat16",)) == {name for name, call in CALLS.items() if call.dtype == "bfloat16"}
    assert names(sizes=(2**14,)) == {name for name in CALLS if "rng=" in name}
    assert names(threads=(2,)) == set()


def test_every_kind_has_its_contenders():
    assert set(CONTENDERS) == set(KINDS)


def test_kinds_of_cases_measure_operations_of_the_core():
    measured = {kind.operation for name, kind in KINDS.items() if name not in FUSED} - {None}
    assert measured | {fused.operation for fused in FUSED.values()} <= set(_core.operations)
    assert all(KINDS[operation].operation == operation for operation in measured)


@pytest.mark.parametrize(("direction", "arrays"), [("forward", 2), ("backward", 2), ("both", 4)])
@pytest.mark.parametrize("operation", ["dropout", "alpha_dropout", "gaussian_dropout"])
def test_a_pass_reads_one_array_and_writes_one(operation, direction, arrays):
    assert Case(operation, 1000, "float64", direction=direction).moved_bytes == arrays * 8000


def test_a_mask_is_written_and_nothing_is_read():
    assert Case("keep_mask", 1000, "bool", direction=None).moved_bytes == 1000


def test_only_full_operands_count(monkeypatch):
    bias = _core.OperandInfo("bias", "per column", "compute", True)
    row = _core.operations["dropout"]
    monkeypatch.setitem(_core.operations, "dropout", row._replace(inputs=(*row.inputs, bias)))
    assert Case("dropout", 1000).moved_bytes == 2 * 4000


def test_one_processor_gets_no_cases_for_two():
    assert {case.threads for case in plan(Choice(), processors=1)} == {1}


def test_the_users_axes_replace_those_of_the_table():
    choice = Choice(True, False, ("dropout",), ("forward", "backward"), (100,), ("float64",), (0.3,), (3,))
    assert plan(choice, 2) == [
        Case("dropout", 100, "float64", 0.3, 3, direction) for direction in ("forward", "backward")
    ]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_only_the_directions_that_were_asked_for(direction):
    assert {case.direction for case in plan(Choice(directions=(direction,)), 2)} == {direction}


def test_sizes_that_make_no_sense_are_kept():
    choice = Choice(True, kinds=("small_calls", "train_step"), sizes=(5,), dtypes=("float64",))
    assert {(case.kind, case.size, case.dtype) for case in plan(choice, 1)} == {
        ("small_calls", 64, "float64"),
        ("train_step", 128 * 1024, "float32"),
    }


@pytest.mark.parametrize(
    ("asked", "quick", "isas"),
    [
        ((), False, ["best", "other", "scalar"]),
        ((), True, ["best", "other"]),
        (("scalar", "best"), True, ["best", "scalar"]),
    ],
)
def test_isas_are_timed_the_best_first(monkeypatch, asked, quick, isas):
    monkeypatch.setattr(fastdrop, "isas", lambda: ("best", "other", "scalar"))
    assert Choice(quick, asked_isas=asked).isas == isas


def test_every_goal_is_shown_by_quick(monkeypatch):
    monkeypatch.setattr(fastdrop, "isas", lambda: ("avx512", "avx2", "scalar"))
    known = rivals(("numpy",), 1)[0]
    for goal in GOALS:
        # What a quick run has only if you ask for it.
        if_asked = goal.kind in {*FUSED, *OF_NETWORKS}
        quick = Choice(quick=True, goals=True, kinds=(goal.kind,) if if_asked else ())
        if KINDS[goal.kind].host:  # whose contenders host_tests/ looks at
            asked = plan(Choice(quick=True, kinds=(goal.kind,)), processors=2)
            assert any(goal.concerns(case) for case in asked), goal
            continue
        shown = False
        for case in plan(quick, processors=2):
            names = [contender.name for contender in contenders_for(case, known, quick)] + ["torch"]
            shown |= goal.concerns(case) and goal.contender in names and goal.versus in [*names, None]
        assert shown, goal


def goal(monkeypatch, limit, at_most=True, versus="memcpy"):
    one = goals.Goal("dropout", "forward", "it", versus, limit, at_most=at_most)
    monkeypatch.setattr(goals, "GOALS", [one])


FORWARD = Case("dropout", MI)


@pytest.mark.parametrize(
    ("limit", "at_most", "versus", "own", "text"),
    [
        (1.2, True, "memcpy", [11, 11], "<= 1.20: met"),
        (1.2, True, "memcpy", [13, 13], "<= 1.20: missed"),
        (1.2, True, "memcpy", [11, 12.5], "<= 1.20: met?"),
        (1.2, True, "memcpy", [11, 19], "<= 1.20: missed?"),
        (2, False, "other", [25, 25], ">= 2.00 x other: met"),
        (2, False, "other", [15, 15], ">= 2.00 x other: missed"),
        (1000, True, None, [900, 900], "<= 1.0 us: met"),
        (1000, True, None, [1900, 1900], "<= 1.0 us: missed"),
        (None, True, "other", [9, 11.5], "not slower than other: met"),
        (None, True, "other", [10.1, 11.5], "not slower than other: missed"),
        (None, True, "other", [8, 9], "not slower than other: met"),
    ],
)
def test_marks(monkeypatch, limit, at_most, versus, own, text):
    goal(monkeypatch, limit, at_most, versus)
    times = {"memcpy": [10, 10], "other": [10, 10], "it": own}
    assert [str(mark) for mark in marks(FORWARD, "it", times)] == [text]
    assert marks(FORWARD, "other", times) == []
    assert marks(Case("dropout", MI, direction="backward"), "it", times) == []


def test_a_goal_against_somebody_who_is_not_there_gives_no_mark(monkeypatch):
    goal(monkeypatch, 2, versus="torch")
    assert marks(FORWARD, "it", {"memcpy": [10.0], "it": [10.0]}) == []


@pytest.mark.parametrize(
    ("peaks", "texts"),
    [
        ({"it": 10, "other": 100}, ["peak <= 0.10 x other: met"]),
        ({"it": 11, "other": 100}, ["peak <= 0.10 x other: missed"]),
        ({"it": None, "other": None}, []),
        ({"it": 10}, []),
        ({}, []),
    ],
)
def test_marks_of_the_peak_of_memory(monkeypatch, peaks, texts):
    one = goals.Goal("dropout", "forward", "it", "other", 0.1, of_peak=True)
    monkeypatch.setattr(goals, "GOALS", [one])
    assert [str(mark) for mark in marks(FORWARD, "it", {"it": [1.0]}, peaks)] == texts


def test_the_goals_that_are_missed_are_named(monkeypatch):
    goal(monkeypatch, 1.2)
    contenders = [contender("memcpy", "floor"), contender("it", "fastdrop")]
    tables = [
        report.table(FORWARD, contenders, {"memcpy": [10.0, 10.0], "it": own})
        for own in ([11.0, 11.0], [13.0, 13.0])
    ]
    assert report.goals_met(tables) == f"Goals met: 1 of 2.\n  {FORWARD}: it <= 1.20: missed"


def contender(name, family):
    return Contender(name, family, "1.0", f"the job of {name}", build=None)


MADE_UP = {
    "memcpy": ("floor", [100.0, 100.0]),
    "ours": ("fastdrop", [110.0, 120.0]),
    "ours too": ("fastdrop", [220.0, 240.0]),
    "slow": ("numpy", [1150.0, 1150.0]),
    "fast": ("numpy", [57.5, 57.5]),
    "equal": ("numpy", [100.0, 130.0]),
}


def made_up_table():
    contenders = [contender(name, family) for name, (family, _) in MADE_UP.items()]
    return report.table(FORWARD, contenders, {name: times for name, (_, times) in MADE_UP.items()})


def test_every_row_has_its_ratios_and_losing_rows_stand_where_they_would():
    table = made_up_table()
    assert [row.contender.name for row in table.rows] == list(MADE_UP)
    assert [row.to_floor.value for row in table.rows] == [1, 1.15, 2.3, 11.5, 0.575, 1.15]
    assert [row.to_fastdrop and row.to_fastdrop.value for row in table.rows] == [None, None, 2, 10, 0.5, 1]
    assert [report.verdict(row) for row in table.rows] == ["", "", "", "win", "loss", "unresolved"]
    assert table.rows[0].per_second == 2 * 4 * MI / 100  # bytes in a nanosecond


def test_the_text_says_what_the_numbers_say():
    lines = report.text(made_up_table(), goals=True).splitlines()
    assert lines[0].startswith(
        "dropout forward, float32, 1,048,576 elements, p = 0.1, 1 thread: plain dropout, y from x"
    )
    assert lines[1].split() == ["time", "GB/s", "x", "memcpy", "band", "x", "fastdrop", "band", "goals"]
    assert lines[5].split() == [
        "slow", "1.15", "us", "7294.4", "11.50", "11.50-11.50", "10.00", "9.58-10.45", "win",
    ]  # fmt: skip
    assert lines[6].split()[-1] == "loss"
    for_users = report.text(made_up_table(), goals=False).splitlines()
    assert lines[5].startswith(for_users[5])
    assert for_users[5].endswith("9.58-10.45")


@pytest.mark.parametrize(("peak", "shown"), [(12_345_678, "12.3"), (0, "0.0"), (None, "-")])
@pytest.mark.parametrize("shows_goals", [False, True])
def test_the_peak_of_memory_is_a_column_of_its_own(peak, shown, shows_goals):
    case, names = Case("attention", MI, direction="both"), ("floor", "it")
    contenders = [contender("floor", "floor"), contender("it", "numpy")]
    times = {name: [100.0, 100.0] for name in names}
    table = report.table(case, contenders, times, dict.fromkeys(names, peak))
    _, head, *rows = report.text(table, goals=shows_goals).splitlines()
    assert head.split()[:3] == ["time", "peak", "MB"]
    assert [row.split()[:4] for row in rows] == [[name, "100", "ns", shown] for name in names]
    effort = Effort(rounds=2, turn_ns=1)
    assert "Peak MB: " in report.legend([table], effort, goals=shows_goals)
    assert [row["peak_bytes"] for row in report.as_json([table], effort, {})["rows"]] == [peak] * 2


def test_no_peak_where_none_is_measured():
    table = made_up_table()
    assert "peak" not in report.text(table, goals=True)
    assert "Peak" not in report.legend([table], Effort(rounds=2, turn_ns=1), goals=True)


def test_json_holds_everything():
    everything = json.loads(
        json.dumps(report.as_json([made_up_table()], Effort(rounds=2, turn_ns=1), {"facts": {}}))
    )
    assert [row["nanoseconds"] for row in everything["rows"]] == [times for _, times in MADE_UP.values()]
    assert everything["rows"][3]["to_fastdrop"] == {
        "value": 10, "low": 1150 / 120, "high": 1150 / 110, "resolved": True,
    }  # fmt: skip
    assert everything["contenders"][0] == {
        "name": "memcpy", "family": "floor", "version": "1.0", "job": "the job of memcpy",
    }  # fmt: skip
