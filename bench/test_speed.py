# SPDX-License-Identifier: BSD-3-Clause
"""``pytest bench``: the times of fastdrop and of its floor, to keep and to compare over the history.

What is timed, and how an answer is judged, is ``fastdrop.bench``'s. Nothing is asserted about time.
"""

import functools

import pytest

from fastdrop.bench.cases import Choice, Data, plan
from fastdrop.bench.contenders import contenders_for
from fastdrop.bench.goals import FLOOR

CHOICE = Choice(quick=True, kinds=("dropout", "small_calls"), dtypes=("float32",), ps=(0.1,))
CASES = [case for case in plan(CHOICE, processors=1) if case.direction != "both"]
ROWS = [
    pytest.param(case, contender, id=f"{case.kind}-{case.direction}-{case.size}-{contender.name}")
    for case in CASES
    for contender in contenders_for(case, [], CHOICE)
    if contender.family == "fastdrop" or contender.name == FLOOR
]

data_for = functools.lru_cache(maxsize=1)(Data)  # the rows of a case follow each other


@pytest.mark.benchmark(disable_gc=True)  # a collection would be charged to whoever is running
@pytest.mark.parametrize(("case", "contender"), ROWS)
def test_speed(benchmark, case, contender):
    data = data_for(case)
    job = contender.build(case, data)
    benchmark.group = str(case)
    with job.setting():
        contender.check(case, data, job)  # raises: nobody is timed for a wrong answer
        benchmark(job.run)
