# SPDX-License-Identifier: BSD-3-Clause
"""``pytest bench``: the times of fastdrop and of its floor, to keep and to compare over the history.

What is timed, and how an answer is judged, is ``fastdrop.bench``'s. Nothing is asserted about time.
"""

import functools

import pytest

import fastdrop
from fastdrop.bench.cases import Choice, Data, plan
from fastdrop.bench.goals import FLOOR
from fastdrop.bench.runner import contenders_of

CASES = plan(
    Choice(quick=True, operations=("forward", "backward", "call"), dtypes=("float32",), ps=(0.1,)),
    processors=1,
)
ROWS = [
    pytest.param(case, contender, id=f"{case.operation}-{case.size}-{contender.name}")
    for case in CASES
    for contender in contenders_of(case, [], quick=True)
    if contender.family == "fastdrop" or contender.name == FLOOR
]

data_of = functools.lru_cache(maxsize=1)(Data)  # the rows of a case follow each other


@pytest.fixture(autouse=True)
def isa_and_threads_as_before():
    isa, threads = fastdrop.isa(), fastdrop.set_num_threads(1)
    yield
    fastdrop.use_isa(isa)
    fastdrop.set_num_threads(threads)


@pytest.mark.benchmark(disable_gc=True)  # a collection would be charged to whoever is running
@pytest.mark.parametrize(("case", "contender"), ROWS)
def test_speed(benchmark, case, contender):
    data = data_of(case)
    job = contender.build(case, data)
    job.prepare()
    contender.check(case, data, job)  # raises: nobody is timed for a wrong answer
    benchmark.group = str(case)
    benchmark(job.run)
