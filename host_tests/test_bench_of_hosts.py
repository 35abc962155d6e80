# SPDX-License-Identifier: BSD-3-Clause
"""``python -m fastdrop bench`` on arrays of other libraries: valid answers, and goals that can be shown."""

import os
import shutil
import subprocess
import sys

import pytest

from fastdrop.bench.cases import Case, Choice, plan
from fastdrop.bench.contenders import contenders_for
from fastdrop.bench.fused import FUSED
from fastdrop.bench.goals import GOALS
from fastdrop.bench.kinds import KINDS

KINDS_OF_HOSTS = [name for name, kind in KINDS.items() if kind.host]
OF_NETWORKS = [name for name, kind in KINDS.items() if kind.has_peak]


@pytest.mark.parametrize("kind", KINDS_OF_HOSTS)
def test_every_answer_is_valid(kind):
    """In a process of its own, because XLA reads its number of threads once."""
    few = ["--sizes", "64,8Ki", "--p", "0.5", "--threads", "1"]
    command = [sys.executable, "-m", "fastdrop", "bench", "--check", *few, "--op", kind]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [line for line in done.stdout.splitlines() if line.startswith(kind)]
    assert answers
    for line in answers:
        right, _, of, *_ = line.rpartition(": ")[2].split()
        assert right == of, line


@pytest.mark.parametrize(
    ("op", "size", "cases"),
    [("fused", "8Ki", 2 * len(FUSED)), ("softmax,attention,transformer-step", "64Ki", 2 + 4 + 1)],
)
def test_operations_of_other_libraries(op, size, cases):
    few = ["--sizes", size, "--p", "0.5", "--threads", "1", "--op", op, "--compare", "torch,jax"]
    command = [sys.executable, "-m", "fastdrop", "bench", "--check", *few]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [line for line in done.stdout.splitlines() if line.endswith("answers are valid")]
    assert len(answers) == cases
    for line in answers:
        right, _, of, *_ = line.rpartition(": ")[2].split()
        assert right == of, line


@pytest.mark.parametrize("kind", [*FUSED, *OF_NETWORKS])
def test_other_libraries_do_these_operations_if_they_are_asked_for(kind):
    names = [one.name for one in contenders_for(Case(kind, 64), [], Choice(compared=("torch", "jax")))]
    assert {"torch", "jax"} <= set(names)


@pytest.mark.parametrize("threads", [1, 2])
def test_jax_is_left_out_where_it_has_another_number_of_threads(threads):
    for kind in OF_NETWORKS:
        choice = Choice(compared=("jax",), threads=(1, 2) if threads == 2 else ())
        for count in (1, 2):
            case = Case(kind, 64 * 256, threads=count)
            names = [one.name for one in contenders_for(case, [], choice)]
            assert ("jax" in names) == (count == threads)


@pytest.mark.parametrize("kind", [*FUSED, "softmax_dropout"])
def test_torch_compiles_if_there_is_a_compiler(kind):
    names = [one.name for one in contenders_for(Case(kind, 64), [], Choice(compared=("torch",)))]
    assert ("torch.compile" in names) == (shutil.which(os.environ.get("CXX", "g++")) is not None)


@pytest.mark.parametrize(
    "goal",
    [goal for goal in GOALS if KINDS[goal.kind].host],
    ids=lambda goal: f"{goal.kind}-{goal.contender}",
)
def test_every_goal_is_of_contenders_that_are_there(goal):
    choice = Choice(quick=True, kinds=(goal.kind,))
    case = next(case for case in plan(choice, processors=2) if goal.concerns(case))
    names = [contender.name for contender in contenders_for(case, [], choice)]
    assert {goal.contender, goal.versus} <= set(names)
