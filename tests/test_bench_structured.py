# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's structured calls: every answer is right, and who does another job is refused."""

import math
import re

import numpy as np
import pytest
import scipy.stats

from fastdrop.bench import validity
from fastdrop.bench.cases import STRUCTURED, Choice, Data
from fastdrop.bench.contenders import contenders_for
from fastdrop.bench.job import Answer, Job
from fastdrop.bench.runner import valid_jobs
from fastdrop.bench.structured import CALLS

LARGE = 2**17  # elements, from which an answer takes some time to look at
CASES = [
    pytest.param(case, marks=[pytest.mark.slow] if case.size > LARGE else [], id=case.call)
    for case in STRUCTURED
]


@pytest.mark.parametrize("case", CASES)
def test_every_contender_gives_a_valid_answer(case):
    jobs, refused = valid_jobs(case, contenders_for(case, [], Choice()))
    assert refused == []
    assert len(jobs) == 3


@pytest.mark.parametrize("name", CALLS)
def test_the_arrays_are_as_the_name_says(name):
    """Judged by the words: shapes stand in the name, and what shares a decision in the kind's definition."""
    call = CALLS[name]
    assert name.endswith(f", {call.shape}")
    sizes = {
        "locked_dropout": math.prod(call.shape[1:]),
        "channel_dropout": call.shape[0] * (call.shape[-1] if "NHWC" in name else math.prod(call.shape[1:2])),
        "drop_path": call.shape[0],
        "embedding_dropout": call.shape[0],
    }
    assert math.prod(call.noise_shape) == sizes.get(call.function, call.size)
    view = call.view(np.empty(call.size))
    assert view.flags.c_contiguous != call.transposed
    assert view.flags.f_contiguous == (call.transposed or view.ndim == 1)


def case_of(function):
    return next(case for case in STRUCTURED if case.call.startswith(function))


def refusal(case, answer):
    """Why an answer, from x in the call's shape, is refused."""
    data, rng = Data(case), np.random.default_rng(0)
    x = data.x.reshape(CALLS[case.call].shape)

    def run():
        return Answer(answer(rng, x).astype(np.float32).ravel())

    check = contenders_for(case, [], Choice())[-1].check
    try:
        check(case, data, Job(run, run))
    except validity.InvalidAnswerError as error:
        return str(error)
    return None


def by_column(p, scale):
    return lambda rng, x: x * (rng.random(x.shape) >= p) * scale


COLUMNS = np.linspace(0, 0.5, 1024)
SEEDED = np.random.default_rng(1).random((128, 1024))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (by_column(COLUMNS, 1 / (1 - COLUMNS)), None),
        (by_column(COLUMNS[::-1], 1 / (1 - COLUMNS)), "zeros where .* are right for p from 0.0 up"),
        (by_column(0.25, 1 / (1 - COLUMNS)), "zeros where .* are right for p from 0.0 up"),
        (by_column(COLUMNS / 2, 1 / (1 - COLUMNS)), "zeros where .* are right for p from"),
        (by_column(COLUMNS, 1 / 0.75), r"y is not x / \(1 - p\) where it kept"),
        (lambda rng, x: x * (SEEDED >= COLUMNS) / (1 - COLUMNS), "two masks in a row agree"),
        (
            lambda rng, x: x * (rng.random((128, 512)).repeat(2, 1) >= COLUMNS) / (1 - COLUMNS),
            "neighbours 1 apart agree",
        ),
    ],
)
def test_dropout_by_column(answer, words):
    reason = refusal(case_of("dropout, p by column, (128"), answer)
    assert (reason is None) == (words is None), reason
    assert words is None or re.search(words, reason), reason


def blocks(size, chance, each=lambda keep: keep.size / keep.sum()):
    def answer(rng, x):
        starts = rng.random((*x.shape[:2], 17 - size, 17 - size)) < chance
        keep = np.ones(x.shape, bool)
        for n, c, row, column in np.argwhere(starts):
            keep[n, c, row : row + size, column : column + size] = False
        return x * keep * each(keep)

    return answer


GAMMA = 0.1 * 16**2 / (5**2 * 12**2)  # the paper's


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (blocks(5, GAMMA), None),
        (blocks(5, GAMMA, lambda keep: 1.0), "y is not"),
        (blocks(5, GAMMA, lambda keep: 1 / 0.9), "y is not"),
        (blocks(4, GAMMA), "no union of blocks"),
        (blocks(1, 0.1), "no union of blocks"),
        (blocks(5, 2 * GAMMA), "of the elements dropped where"),
        (blocks(5, 0.0), "0.000 of the elements dropped where"),
        (lambda rng, x: blocks(5, GAMMA)(np.random.default_rng(1), x), "two masks in a row are equal"),
    ],
)
def test_drop_block(answer, words):
    reason = refusal(case_of("drop_block"), answer)
    assert (reason is None) == (words is None), reason
    assert words is None or re.search(words, reason), reason


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_for_decisions_of_different_p(seed):
    """Bernstein's with the mean of p, judged by a normal approximation of the exact sum: far in the tail."""
    p = np.random.default_rng(seed).random(10000)
    allowed = validity.tolerance(p.size, float(p.mean()))
    deviation = math.sqrt(np.sum(p * (1 - p)))
    assert 2 * scipy.stats.norm.sf(allowed / deviation) <= 1e-12
