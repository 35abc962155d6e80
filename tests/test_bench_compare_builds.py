# SPDX-License-Identifier: BSD-3-Clause
"""``bench/compare_builds.py``: what it prints of times that are made up, and that it runs."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # four processes each

SCRIPT = Path(__file__).parents[1] / "bench" / "compare_builds.py"
SPEC = importlib.util.spec_from_file_location("compare_builds", SCRIPT)
compare_builds = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(compare_builds)

needs_linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the script is for Linux")


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ([100.0] * 8, "1.000  1.000-1.000"),
        ([110.0] * 8, "1.100  1.100-1.100 slower"),
        ([90.0] * 8, "0.900  0.900-0.900 faster"),
        ([110.0] * 6 + [90.0] * 2, "1.100  0.950-1.100"),  # the band holds 1
        ([110.0] * 4 + [120.0, 110.0, 90.0, 90.0], "1.100  0.950-1.100"),
        ([110.0] * 14 + [95.0] * 2, "1.100  1.100-1.100"),  # one of eight pairs says the opposite
    ],
)
def test_a_difference_is_called_one_only_if_the_band_and_every_pair_say_so(capsys, new, words):
    compare_builds.row(("float32", 65536, "dropout", "best"), [100.0] * len(new), new, [], [], 2, False)
    assert capsys.readouterr().out.rstrip().endswith(words)


def test_other_bits_are_named(capsys):
    compare_builds.row(("float32", 64, "apply", "best"), [100.0] * 4, [100.0] * 4, [], [], 2, True)
    assert capsys.readouterr().out.endswith("OTHER BITS\n")


def compare(*options):
    command = [sys.executable, SCRIPT, sys.executable, *options, "--rounds", "2", "--pairs", "2"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_linux
def test_a_build_has_the_bits_of_itself():
    done = compare(sys.executable, "--dtype", "float32,bfloat16", "--sizes", "64,2097152")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].removeprefix("old: ") == lines[1].removeprefix("new: ")
    rows = [line.split() for line in lines[3:]]
    assert [row[0] for row in rows[:6]] == list(compare_builds.OPERATIONS)
    assert len(rows) == 2 * 2 * len(compare_builds.OPERATIONS) - 2  # masks are drawn once for all dtypes
    assert "OTHER BITS" not in done.stdout


@needs_linux
def test_structured_calls_have_a_copy_and_numpy_beside_them():
    done = compare(sys.executable, "--op", "structured", "--sizes", "1024,16384")
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[3:]
    assert [row.split(", (")[0] for row in rows] == [
        "locked_dropout", "channel_dropout NCHW", "channel_dropout NHWC",
        "dropout, rng=None", "dropout, rng=int", "dropout, rng=Generator", "dropout, rng=MaskGenerator",
    ]  # fmt: skip
    for row in rows:
        old, new, numpy = map(float, row.split()[-3:])
        assert min(old, new, numpy) > 0


@needs_linux
def test_a_build_with_other_bits_is_found(tmp_path):
    """An environment whose fastdrop begins its masks elsewhere."""
    other = tmp_path / "python"
    patch = (
        "import runpy, sys, fastdrop; first = fastdrop.MaskGenerator;"
        "fastdrop.MaskGenerator = lambda seed: first(seed + 1);"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{patch}" "$@"\n')
    other.chmod(0o755)
    done = compare(other, "--op", "dropout,apply", "--dtype", "float32", "--sizes", "64")
    assert done.returncode == 1, done.stderr
    assert [line.endswith("OTHER BITS") for line in done.stdout.splitlines()[3:]] == [True, False]


@needs_linux
def test_a_worker_that_ends_is_named():
    done = compare("/bin/false")
    assert done.returncode == 1
    assert "the worker of /bin/false ended" in done.stderr


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        compare_builds.parse(["old", "new", "--op", "forward"])
    assert "argument --op: 'forward' is not one of dropout, apply," in capsys.readouterr().err


def test_structured_calls_stand_alone(capsys):
    with pytest.raises(SystemExit):
        compare_builds.parse(["old", "new", "--op", "structured,apply"])
    assert "argument --op: structured stands alone" in capsys.readouterr().err
