# SPDX-License-Identifier: BSD-3-Clause
"""``python -m fastdrop bench``: what it prints and writes, its options, and why it may not run."""

import argparse
import json
import re
import statistics
import subprocess
import sys

import pytest

import fastdrop
from fastdrop.__main__ import main
from fastdrop.bench import add_arguments, runner
from fastdrop.bench.cases import KI, MI
from fastdrop.bench.contenders import Contender
from fastdrop.bench.job import passes
from fastdrop.bench.screen import Screen

FORWARD = ["--op", "dropout", "--direction", "forward"]
FEW = ["bench", "--quick", *FORWARD, "--sizes", "1Ki", "--p", "0.5", "--dtype", "float32"]


@pytest.mark.slow
def test_check_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "fastdrop", "bench", "--check", "--sizes", "4Ki"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("dropout both, float64, 4,096 elements, p = 0.5, 1 thread:") for line in lines)
    assert all(line.endswith(("answers are valid", "no bfloat16")) for line in lines[:-1])
    assert "GB/s" not in done.stdout  # nothing was timed


def test_table_json_and_plot(tmp_path, capsys):
    written, drawn = tmp_path / "out.json", tmp_path / "out.png"
    assert main([*FEW, "--json", str(written), "--plot", str(drawn)]) == 0
    shown = capsys.readouterr().out
    everything = json.loads(written.read_text())
    assert {row["contender"] for row in everything["rows"]} >= {"memcpy", "np.copyto", "numpy textbook"}
    for row in everything["rows"]:
        assert f"  {row['contender']} " in shown
        assert row["to_floor"]["value"] == pytest.approx(
            statistics.median(row["nanoseconds"]) / statistics.median(everything["rows"][0]["nanoseconds"])
        )
    assert {"cpu", "isa", "compiler", "versions", "commit"} <= set(everything["facts"])
    assert everything["facts"]["cpu"] in shown
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_json_instead_of_the_table(capsys):
    assert main([*FEW, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == []


def test_who_gives_a_wrong_answer_is_named_and_not_timed(monkeypatch, capsys):
    def forgets_to_drop(case, data):
        return passes(case, lambda: data.x.copy(), lambda: data.dy.copy())

    forgetful = Contender("forgetful", "numpy", "1", "a copy", forgets_to_drop)
    monkeypatch.setattr(runner, "rivals", lambda names, threads: ([forgetful], []))
    assert main([*FEW, "--json"]) == 1
    everything = json.loads(capsys.readouterr().out)
    assert everything["refused"][0].startswith("REFUSED, so not timed: forgetful in dropout forward, float32")
    assert "forgetful" not in {row["contender"] for row in everything["rows"]}
    assert main(["bench", "--check", "--sizes", "1Ki", *FORWARD]) == 1
    assert "REFUSED" in capsys.readouterr().out


def test_isa_and_threads_are_as_before(capsys):
    isa, previous = fastdrop.use_isa("scalar"), fastdrop.set_num_threads(1)
    try:
        assert main(["bench", "--check", "--sizes", "1Ki", "--op", "dropout,small_calls"]) == 0
        assert (fastdrop.isa(), fastdrop.get_num_threads()) == ("scalar", 1)
    finally:
        fastdrop.use_isa(isa)
        fastdrop.set_num_threads(previous)


def test_a_progress_bar_where_somebody_watches(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Screen(total=2, quiet=False) as screen:
        screen.advance("the first case", 1)
        screen.say("a table")
        screen.bar.refresh()
        shown = capsys.readouterr()
    assert shown.out == "a table\n"
    assert "the first case  50%" in shown.err


def test_no_progress_bar_without_tqdm(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with Screen(total=2, quiet=False) as screen:
        screen.advance("the first case", 1)
        screen.say("a table")
    assert capsys.readouterr() == ("a table\n", "")


def test_missing_contenders_are_named_and_left_out(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["bench", "--check", "--sizes", "1Ki", *FORWARD, "--compare", "torch,numpy"]) == 0
    assert capsys.readouterr().out.startswith("torch is not installed: left out\n")


def test_a_host_that_is_missing_is_named_and_left_out(monkeypatch, capsys):
    monkeypatch.setattr(runner, "find_spec", lambda name: None)
    assert main(["bench", "--check", "--sizes", "1Ki", "--op", "torch-step,jax,small_calls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "jax is not installed: jax left out"
    assert "torch is not installed: torch_step left out" in lines
    assert any(line.startswith("small_calls") for line in lines)


def test_who_cannot_do_a_dtype_is_named_and_left_out(capsys):
    few = ["bench", "--check", "--sizes", "1Ki", *FORWARD, "--p", "0.5"]
    assert main([*few, "--dtype", "float16,bfloat16"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Without numpy textbook: no bfloat16" in lines
    assert not any(line.endswith("no float16") for line in lines)
    assert sum(line.startswith("dropout forward, bfloat16, 1,024 elements") for line in lines) == 1


def test_a_dtype_that_is_not_installed_is_named_and_left_out(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    few = ["bench", "--check", "--sizes", "1Ki", *FORWARD, "--p", "0.5"]
    assert main([*few, "--dtype", "float16,bfloat16"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("ml_dtypes is not installed: bfloat16 left out\n")
    assert "dropout forward, float16" in shown
    assert "dropout forward, bfloat16" not in shown


@pytest.mark.parametrize(("module", "more"), [("threadpoolctl", []), ("matplotlib", ["--plot", "out.png"])])
def test_a_missing_library_that_is_needed_is_one_sentence(monkeypatch, capsys, module, more):
    monkeypatch.setitem(sys.modules, module, None)
    assert main([*FEW, *more]) == 2
    assert capsys.readouterr() == (
        "",
        f"bench: {module} is not installed; it comes with the extra 'bench': "
        "pip install 'fastdrop-kernels[bench]'\n",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--op", "sideways"], "argument --op: 'sideways' is not one of dropout, alpha_dropout,"),
        (["--direction", "up"], "argument --direction: 'up' is not one of forward, backward, both"),
        (["--isa", "mmx"], f"argument --isa: 'mmx' is not one of {', '.join(fastdrop.isas())}"),
        (["--dtype", "int8"], "argument --dtype: 'int8' is not one of float16, bfloat16, float32, float64"),
        (["--compare", "torch,theano"], "argument --compare: 'theano' is not one of torch, jax,"),
        (["--p", "0"], "argument --p: '0' is not a number between 0 and 1, both excluded"),
        (["--p", "0.1,nan"], "argument --p: 'nan' is not a number between 0 and 1"),
        (["--p", "half"], "argument --p: 'half' is not a number between 0 and 1"),
        (["--sizes", "0"], "argument --sizes: '0' is not a whole number of at least 1"),
        (["--sizes", "1Ki,4Gi"], "argument --sizes: '4Gi' is not a whole number"),
        (["--threads", "-1"], "argument --threads: '-1' is not a whole number of at least 1"),
        (
            ["--plot", "/nowhere/out.png"],
            "argument --plot: '/nowhere/out.png' cannot be written: No such file",
        ),
        (["--plot", "out"], "argument --plot: 'out' must end in .png, .pdf, .svg or .jpg"),
        (["--plot", "out.txt"], "argument --plot: 'out.txt' must end in .png, .pdf, .svg or .jpg"),
        (
            ["--json", "/nowhere/out.json"],
            "argument --json: '/nowhere/out.json' cannot be written: No such file",
        ),
        (["--json", "/"], "argument --json: '/' cannot be written: Is a directory"),
    ],
)
def test_wrong_options_are_one_line(capsys, arguments, words):
    with pytest.raises(SystemExit) as exit_:
        main(["bench", *arguments])
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_picture_that_cannot_be_written_is_refused(tmp_path, capsys):
    folder = tmp_path / "folder.png"
    folder.mkdir()
    with pytest.raises(SystemExit, match="2"):
        main([*FEW, "--plot", str(folder)])
    assert "folder.png' cannot be written: Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--plot", "--json"])
def test_looking_at_a_path_leaves_everything_as_it_is(tmp_path, option):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    new, old = tmp_path / "new.png", tmp_path / "old.png"
    old.write_text("here before")
    for path in (new, old):
        parser.parse_args([option, str(path)])
    assert not new.exists()
    assert old.read_text() == "here before"


def test_only_plain_dropout_is_drawn(tmp_path, capsys):
    assert main(["bench", "--quick", "--op", "small_calls", "--plot", str(tmp_path / "out.png")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: --plot draws plain dropout")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ("numpy",)),
        (["--plot", "out.png"], ("numpy", "torch", "jax")),
        (["--plot", "out.png", "--compare", "numba"], ("numba",)),
    ],
)
def test_who_is_compared(monkeypatch, tmp_path, options, names):
    def rivals(asked, threads):
        assert asked == names
        raise InterruptedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "find_spec", lambda name: name)  # everything is installed
    monkeypatch.setattr(runner, "rivals", rivals)
    with pytest.raises(InterruptedError):
        main([*FEW, *options])


def test_quick_is_a_page(capsys):
    assert main(["bench", "--quick", "--sizes", "1Ki,4Ki"]) == 0
    shown = capsys.readouterr().out
    for line in ("memcpy(y, x)", "mask.apply(x, out=y)", "NumPy's line"):
        assert re.search(rf"^  {re.escape(line)}  +\d+\.\d\d \(.*\)  +\d+\.\d\d \(.*\)$", shown, re.MULTILINE)
    assert not re.search(r"goal|\bmet\b|missed|\bwin\b|GB/s", shown)


@pytest.mark.parametrize("goals", [False, True])
def test_goals_are_shown_to_who_asks(capsys, goals):
    few = ["bench", "--quick", "--op", "small_calls"]
    assert main([*few, "--goals"] if goals else few) == 0
    shown = capsys.readouterr().out
    assert ("Goals met: " in shown) == goals
    assert bool(re.search(r"\b(met|missed)\b", shown)) == goals


def test_structured_calls_are_a_line_each(capsys):
    assert main(["bench", "--quick", "--op", "structured", "--sizes", "1024"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.endswith(("fastdrop", "NumPy", "equal"))]
    assert [row.split(")")[0] for row in rows] == [
        "  locked_dropout, (4, 8, 32",
        "  channel_dropout NCHW, (2, 8, 8, 8",
        "  channel_dropout NHWC, (2, 8, 8, 8",
    ]


@pytest.mark.parametrize(
    "asked",
    [["--op", "threads", "--threads", "1"], ["--op", "channel_dropout", "--direction", "backward"]],
)
def test_no_case_left(capsys, asked):
    assert main(["bench", "--check", *asked]) == 2
    assert capsys.readouterr().err.startswith("bench: no case is left of --op, --direction and --threads")


def test_only_the_isas_that_were_asked_for_are_timed(capsys):
    isa = fastdrop.isas()[-1]
    assert main([*FEW, "--isa", isa, "--json"]) == 0
    ours = [row for row in json.loads(capsys.readouterr().out)["contenders"] if row["family"] == "fastdrop"]
    assert ours
    assert {row["name"].split()[1] for row in ours} == {isa}


@pytest.mark.parametrize("more", [["--json"], ["--plot", "out.png"]])
def test_check_has_nothing_to_draw(capsys, more):
    assert main(["bench", "--check", *more]) == 2
    assert "--check times nothing" in capsys.readouterr().err


def test_options_are_what_they_say():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    got = parser.parse_args(["--sizes", "100,4Ki,16Mi,100", "--p", "0.1, 0.5", "--compare", "torch,mkl"])
    assert (got.sizes, got.p, got.compare) == ((100, 4 * KI, 16 * MI), (0.1, 0.5), ("torch", "mkl"))
    assert parser.parse_args([]).compare == ()


@pytest.mark.parametrize("command", ["info", "selftest"])
def test_other_commands_do_without_its_imports(command):
    code = (
        f"import sys, fastdrop.__main__ as m; m.main([{command!r}]); print('fastdrop.bench' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
