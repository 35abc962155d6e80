# SPDX-License-Identifier: BSD-3-Clause
"""Whether an answer is dropout at all: nobody is timed for a wrong one.

The bounds are Bernstein's inequality: the sum of n independent 0/1 numbers with mean q is off n*q by ``t`` or
more with probability at most ``2 exp(-t**2 / (2 n q (1 - q) + 2 t / 3))``.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import reference

from .cases import Case, Data
from .job import Answer, Job

# A right answer is refused once in 10**12 looks; the sound sizes still see a rate that is off by a percent.
_LOG = math.log(2 / 1e-12)
# Neighbours at these distances are compared: SIMD code that shares random bits shares them in groups of such
# sizes (oneDNN's dropout once gave four neighbours one bit, and its zero rate was perfect).
_DISTANCES = tuple(2**k for k in range(11))
_LOOK = 2**20  # elements that are enough to see that
_PARTS = 8  # of decisions by an array of p: those of small p, and so on up to those of large p
_CHUNK = 2**14  # elements worked on at once, to stay in the cache
# A normal number is further out than that once in 10**12 looks.
FAR = 7.2

# Scale and shift of what is kept, and what a dropped element becomes, from p: those of a forward pass. The
# backward pass has the scale alone.
Constants = Callable[[float], tuple[float, float, float]]
# From which elements are kept, what was decided: less, where elements share a decision.
Decisions = Callable[[Case, NDArray[np.bool_]], NDArray[np.bool_]]

Chance = float | NDArray[np.float64]  # the probability of dropping, or one for every decision


class InvalidAnswerError(Exception):
    """What is wrong with an answer, as a sentence."""


def tolerance(count: int, mean: float) -> float:
    """Bernstein's bound on how far a sum of `count` 0/1 numbers of that mean is off, solved for t."""
    return _LOG / 3 + math.sqrt(_LOG * _LOG / 9 + 2 * count * mean * (1 - mean) * _LOG)


def _scaled(p: float) -> tuple[float, float, float]:
    return 1 / (1 - p), 0.0, 0.0


def _elementwise(_case: Case, keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return keep


def dropped(
    case: Case, data: Data, job: Job, *, constants: Constants = _scaled, decisions: Decisions = _elementwise
) -> None:
    """Raise InvalidAnswerError unless two answers are dropout of the data, by two masks if masks are new."""
    keeps = [decisions(case, _keep(data, job.answer(), *constants(case.p))) for _ in range(2)]
    independent(case.p, keeps, fresh=draws_anew(case, job))


def drawn(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless two answers are masks, and two different ones if masks are new."""
    keeps = [np.array(result) for _ in range(2) for _name, _x, result in _results(data, job.answer())]
    independent(case.p, keeps, fresh=draws_anew(case, job))


def alpha_dropped(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless two answers are alpha dropout of the data."""
    dropped(case, data, job, constants=reference.affine)


def gaussian_dropped(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless the factors are normal with the right mean and variance, and differ.

    Of n normal numbers z the sum is normal; z**2 - 1 has variance 2, and products of two have variance 1.
    """
    first, second = (_normals(case, data, job.answer()) for _ in range(2))
    sums = {"their mean": first.sum(), "their variance": (first**2 - 1).sum() / math.sqrt(2)}
    if draws_anew(case, job):
        sums["two calls"] = (first * second).sum()
    for distance, left, right in _neighbours(first):
        sums[f"neighbours {distance} apart"] = math.sqrt(2) * (left * right).sum()
    for what, value in sums.items():
        # A sum of squares is less normal than a plain one: three times as far is far enough for few elements.
        if abs(value) > FAR * 3 * math.sqrt(first.size):
            raise InvalidAnswerError(f"the factors are not independent normal numbers: {what}")


def copied(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless the answer is a copy of the data: a floor."""
    got = job.answer()
    for name, result, wanted in (("y", got.y, data.x), ("dx", got.dx, data.dy)):
        if result is not None and not np.array_equal(result, wanted):
            raise InvalidAnswerError(f"{name} is not a copy")


def anything(case: Case, data: Data, job: Job) -> None:
    """Accept: for what is timed to know the cost of calling it, and answers nothing."""


def draws_anew(case: Case, job: Job) -> bool:
    return job.fresh and case.direction != "backward"  # whose mask is given


def _neighbours(values: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
    """For every distance: it, some elements, and those that far behind them; no element twice."""
    for distance in _DISTANCES:
        count = values.size // (2 * distance)
        if count:
            pairs = values[: count * 2 * distance].reshape(count, 2, distance)
            yield distance, pairs[:, 0].ravel(), pairs[:, 1].ravel()


def independent(p: Chance, keeps: list[NDArray[np.bool_]], *, fresh: bool) -> None:
    """Raise InvalidAnswerError unless decisions have the right rate of zeros and agree by chance alone.

    `keeps` are two flat arrays of decisions, and `p` their probability of dropping, or an array of one for
    each. Of numbers with different means the sum varies less than of as many with the mean of these.
    """
    for keep in keeps:
        if isinstance(p, float):
            _dropped_at_rate(keep, p, f"p = {p}")
        else:
            for part in np.array_split(np.argsort(p, kind="stable"), _PARTS):
                _dropped_at_rate(keep[part], float(np.mean(p[part])), f"p from {p[part].min()} up")
    looked = [keep[:_LOOK] for keep in keeps]
    chance = p if isinstance(p, float) else p[:_LOOK]
    if fresh:
        _agree_by_chance(looked[0], looked[1], chance, chance, "two masks in a row")
    chances: Iterator[tuple[int, Chance, Chance]] = (
        itertools.repeat((0, chance, chance)) if isinstance(chance, float) else _neighbours(chance)
    )
    for (distance, left, right), (_, p_left, p_right) in zip(_neighbours(looked[0]), chances, strict=False):
        _agree_by_chance(left, right, p_left, p_right, f"neighbours {distance} apart")


def _results(data: Data, answer: Answer) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    """The name, the input and the result of each pass that the answer has."""
    passes = [("y", data.x, answer.y), ("dx", data.dy, answer.dx)]
    results = [(name, x, result) for name, x, result in passes if result is not None]
    for name, x, result in results:
        if result.dtype != x.dtype or result.shape != x.shape:
            raise InvalidAnswerError(f"{name} is {result.dtype} {result.shape}, not {x.dtype} {x.shape}")
    return results


def _keep(data: Data, answer: Answer, scale: float, shift: float, becomes: float) -> NDArray[np.bool_]:
    """Where the answer kept: the right values there, and one mask for both passes."""
    keeps = [
        _kept(name, x, result, scale, shift if name == "y" else 0.0, becomes if name == "y" else 0.0)
        for name, x, result in _results(data, answer)
    ]
    if not np.array_equal(keeps[0], keeps[-1]):
        raise InvalidAnswerError("dx is zero elsewhere than y: not the gradient of this forward pass")
    return keeps[0]


def _kept(
    name: str, x: NDArray[Any], result: NDArray[Any], scale: float, shift: float, becomes: float
) -> NDArray[np.bool_]:
    epsilon = float(np.spacing(x.dtype.type(1)))
    # What a dropped element becomes is rounded to the dtype; x and dy hold no zeros.
    kept: NDArray[np.bool_] = np.abs(result - x.dtype.type(becomes)) > epsilon * abs(becomes)
    # Theirs are at most four roundings: two constants, a product, a sum or a second product. Two are ours, in
    # double. Each is off by at most half an epsilon of the result, since no term is negative.
    for start in range(0, x.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        right = scale * x[part].astype(np.float64) + shift
        if np.any(kept[part] & (np.abs(result[part] - right) > 3 * epsilon * right)):
            formula = f"{scale:.6g} * {'x' if name == 'y' else 'dy'}{f' + {shift:.6g}' if shift else ''}"
            raise InvalidAnswerError(f"{name} is not {formula} where it kept")
    return kept


def _normals(case: Case, data: Data, answer: Answer) -> NDArray[np.float64]:
    """The factors of a Gaussian answer, the same in both passes, brought to mean 0 and variance 1."""
    results = [(x[:_LOOK], result[:_LOOK]) for _name, x, result in _results(data, answer)]
    factors = [result.astype(np.float64) / x for x, result in results]
    one, least = (float(np.spacing(data.x.dtype.type(value))) for value in (1, 0))
    # Each result is off by half an epsilon, or by half the least number: x and dy are at least 1.
    if np.any(np.abs(factors[0] - factors[-1]) > 2 * one * np.abs(factors[0]) + least):
        raise InvalidAnswerError("dx has other factors than y: not the gradient of this forward pass")
    return np.asarray((factors[0] - 1) / math.sqrt(case.p / (1 - case.p)))


def _dropped_at_rate(keep: NDArray[np.bool_], p: float, where: str) -> None:
    zeros, allowed = keep.size - np.count_nonzero(keep), tolerance(keep.size, p)
    if abs(zeros - keep.size * p) > allowed:
        expected = f"{keep.size * p:.0f} +- {allowed:.0f}"
        raise InvalidAnswerError(f"{zeros} zeros where {expected} are right for {where}")


def _agree_by_chance(a: NDArray[np.bool_], b: NDArray[np.bool_], p: Chance, q: Chance, who: str) -> None:
    agreeing, mean = np.count_nonzero(a == b), float(np.mean(p * q + (1 - p) * (1 - q)))
    allowed = tolerance(a.size, mean)
    if abs(agreeing - a.size * mean) > allowed:
        raise InvalidAnswerError(
            f"{who} agree {agreeing} times where {a.size * mean:.0f} +- {allowed:.0f} are right: "
            "they are not independent"
        )
