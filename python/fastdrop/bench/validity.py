# SPDX-License-Identifier: BSD-3-Clause
"""Whether an answer is dropout at all: nobody is timed for a wrong one.

The bounds are Bernstein's inequality: the sum of n independent 0/1 numbers with mean q is off n*q by ``t`` or
more with probability at most ``2 exp(-t**2 / (2 n q (1 - q) + 2 t / 3))``.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import Case, Data
from .job import Answer, Job

# A right answer is refused once in 10**12 looks; the sound sizes still see a rate that is off by a percent.
_LOG = math.log(2 / 1e-12)
# Neighbours at these distances are compared: SIMD code that shares random bits shares them in groups of such
# sizes (oneDNN's dropout once gave four neighbours one bit, and its zero rate was perfect).
_DISTANCES = tuple(2**k for k in range(11))
_LOOK = 2**20  # elements that are enough to see that
_CHUNK = 2**14  # elements worked on at once, to stay in the cache


# From which elements are kept, what was decided: less, where elements share a decision.
Decisions = Callable[[Case, NDArray[np.bool_]], NDArray[np.bool_]]


class InvalidAnswerError(Exception):
    """What is wrong with an answer, as a sentence."""


def tolerance(count: int, mean: float) -> float:
    """Bernstein's bound on how far a sum of `count` 0/1 numbers of that mean is off, solved for t."""
    return _LOG / 3 + math.sqrt(_LOG * _LOG / 9 + 2 * count * mean * (1 - mean) * _LOG)


def _elementwise(_case: Case, keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return keep


def dropped(case: Case, data: Data, job: Job, *, decisions: Decisions = _elementwise) -> None:
    """Raise InvalidAnswerError unless two answers are dropout of the data, by two masks if masks are new."""
    fresh = job.fresh and case.operation != "backward"  # whose mask is given
    keeps = [_decided(case, decisions(case, _keep(case, data, job.answer()))) for _ in range(2)]
    if fresh:
        _agree_by_chance(keeps[0][:_LOOK], keeps[1][:_LOOK], case.p, "two masks in a row")
    first = keeps[0][:_LOOK]
    for distance in _DISTANCES:
        count = len(first) // (2 * distance)
        if count:
            pairs = first[: count * 2 * distance].reshape(count, 2, distance)
            _agree_by_chance(pairs[:, 0].ravel(), pairs[:, 1].ravel(), case.p, f"neighbours {distance} apart")


def copied(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless the answer is a copy of the data: a floor."""
    got = job.answer()
    for name, result, wanted in (("y", got.y, data.x), ("dx", got.dx, data.dy)):
        if result is not None and not np.array_equal(result, wanted):
            raise InvalidAnswerError(f"{name} is not a copy")


def anything(case: Case, data: Data, job: Job) -> None:
    """Accept: for what is timed to know the cost of calling it, and answers nothing."""


def _decided(case: Case, keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The decisions themselves, if the rate of zeros is right."""
    zeros, wanted, allowed = (
        keep.size - np.count_nonzero(keep),
        keep.size * case.p,
        tolerance(keep.size, case.p),
    )
    if abs(zeros - wanted) > allowed:
        raise InvalidAnswerError(
            f"{zeros} zeros where {wanted:.0f} +- {allowed:.0f} are right for p = {case.p}"
        )
    return keep


def _keep(case: Case, data: Data, answer: Answer) -> NDArray[np.bool_]:
    """Where the answer kept: scale, dtype, shape, and one mask for both passes."""
    keeps = [
        _kept(name, x, result, case.p)
        for name, x, result in (("y", data.x, answer.y), ("dx", data.dy, answer.dx))
        if result is not None
    ]
    if not np.array_equal(keeps[0], keeps[-1]):
        raise InvalidAnswerError("dx is zero elsewhere than y: not the gradient of this forward pass")
    return keeps[0]


def _kept(name: str, x: NDArray[Any], result: NDArray[Any], p: float) -> NDArray[np.bool_]:
    if result.dtype != x.dtype or result.shape != x.shape:
        raise InvalidAnswerError(f"{name} is {result.dtype} {result.shape}, not {x.dtype} {x.shape}")
    kept: NDArray[np.bool_] = result != 0  # x and dy hold no zeros
    # At most three roundings of theirs (1 - p, its inverse, the product) and two of ours, each off by half an
    # epsilon, and their products by far less than the half that is left.
    allowed = 3 * float(np.spacing(x.dtype.type(1)))
    for start in range(0, x.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        right = x[part].astype(np.float64) / (1 - p)
        if np.any(kept[part] & (np.abs(result[part] - right) > allowed * right)):
            raise InvalidAnswerError(f"{name} is not {'x' if name == 'y' else 'dy'} / (1 - p) where it kept")
    return kept


def _agree_by_chance(a: NDArray[np.bool_], b: NDArray[np.bool_], p: float, who: str) -> None:
    agreeing, mean = np.count_nonzero(a == b), p * p + (1 - p) * (1 - p)
    allowed = tolerance(a.size, mean)
    if abs(agreeing - a.size * mean) > allowed:
        raise InvalidAnswerError(
            f"{who} agree {agreeing} times where {a.size * mean:.0f} +- {allowed:.0f} are right: "
            "they are not independent"
        )
