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


def test_fused_operations_of_other_libraries():
    few = ["--sizes", "8Ki", "--p", "0.5", "--threads", "1", "--op", "fused", "--compare", "torch,jax"]
    command = [sys.executable, "-m", "fastdrop", "bench", "--check", *few]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = [line for line in done.stdout.splitlines() if line.endswith("answers are valid")]
    assert len(answers) == 2 * len(FUSED)
    for line in answers:
        right, _, of, *_ = line.rpartition(": ")[2].split()
        assert right == of, line


@pytest.mark.parametrize("kind", FUSED)
def test_other_libraries_do_fused_operations_if_they_are_asked_for(kind):
    names = [one.name for one in contenders_for(Case(kind, 64), [], Choice(compared=("torch", "jax")))]
    assert {"torch", "jax"} <= set(names)
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
