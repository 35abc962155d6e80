# SPDX-License-Identifier: BSD-3-Clause
"""Whether the answers of softmax and attention are right.

Softmax shows its mask, as a fused operation does. Attention does not: a product follows. So an attention is
built a second time without dropout, where one answer alone is right. With dropout, y differs from that by
chance, and the mean square is known; two answers differ independently; and as y is linear in value,
``sum(dvalue * value) = sum(dy * y)`` if the backward pass has the mask of the forward pass.

Bounds count roundings as in `fused_validity`. Where a sum is of random numbers, whose roundings are
independent, its error grows with the square root of their number (Higham and Mary, "A new approach to
probabilistic rounding error analysis", 2019, theorem 2.4: with a factor that a probability of 1 - 1e-12 makes
`_SURE`).
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .attention import SCALE, Array, Heads, Scores, future
from .cases import Case, Data
from .job import Answer, Job
from .validity import FAR, InvalidAnswerError, draws_anew, independent

_ROWS = 512  # that are looked at at each end: of scores, or of whole heads
_QUERIES = 256  # of a head, worked on at once
_SURE = 8.0  # sqrt(2 * log(2 * 1e12)), and a little more

_Results = dict[str, tuple[Array, Array]]


def softmax_right(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless two answers are right, by two masks if masks are new."""
    scores = Scores(case, data)
    keeps = [_decisions(case, scores, job.answer()) for _ in range(2)]
    independent(case.p, keeps, fresh=draws_anew(case, job))


def _decisions(case: Case, scores: Scores, answer: Answer) -> Any:
    """Those that the answer shows, if all of it is right."""
    for name, result in (("y", answer.y), ("dx", answer.dx), *answer.others.items()):
        _like(name, result, scores.x)
    assert answer.y is not None
    count = len(scores.x)
    rows = np.unique(np.r_[: min(_ROWS, count), max(count - _ROWS, 0) : count])
    x, y, weights, dy = (
        a[rows].astype(np.float64) for a in (scores.x, answer.y, answer.others["weights"], scores.dy)
    )
    unit, drop_scale, keys = _unit(scores.x.dtype), 1 / (1 - case.p), x.shape[1]
    least = float(np.spacing(scores.x.dtype.type(0)))

    z = x * SCALE
    top = z.max(1, keepdims=True)
    right = np.exp(z - top)
    right /= right.sum(1, keepdims=True)
    # Roundings of a term: the product, the difference, and exp's, for which libraries promise up to 4 units
    # in the last place (8 units). The sum is off by its terms' errors and by a rounding for each term.
    term = unit * (np.abs(z) + np.abs(top) + np.abs(z - top) + 8)
    error = right * (term + (right * term).sum(1, keepdims=True) + (keys + 4) * unit) + least
    if np.any(np.abs(weights - right) > error):
        raise InvalidAnswerError("weights are not the softmax of the rows")
    keep = y != 0
    kept = weights * drop_scale
    if np.any(keep & (np.abs(y - kept) > 4 * unit * kept + least)):
        raise InvalidAnswerError("y is neither what is kept nor what is dropped")
    if answer.dx is not None:
        g = np.where(keep, dy * drop_scale, 0.0)
        along = (g * weights).sum(1, keepdims=True)
        size = (np.abs(g) * weights).sum(1, keepdims=True)
        dx = weights * (g - along) * SCALE
        # Three roundings of g; those of a sum of products; four around it.
        bound = weights * SCALE * unit * (8 * np.abs(g) + (keys + 8) * size + 4 * np.abs(along)) + least
        if np.any(np.abs(answer.dx[rows] - dx) > bound):
            raise InvalidAnswerError("dx is not the gradient of this forward pass")
    return keep.ravel()


def attention_right(
    build: Callable[[Case, Data], Job], *, drops: bool = True
) -> Callable[[Case, Data, Job], None]:
    """The check of the attention that `build` makes."""

    def right(case: Case, data: Data, job: Job) -> None:
        heads = Heads(case, data)
        plain = build(replace(case, p=0.0), data)
        with plain.setting():
            without = _copy(plain.answer())
        right_results = _right_results(replace(case, p=0.0, direction="both", threads=1))
        _check_without_dropout(heads, without, right_results)
        if not drops:
            return
        answers = [_copy(job.answer()) for _ in range(2 if draws_anew(case, job) else 1)]
        _check_spread(case.p, heads, without, answers)
        if case.direction == "both":
            for answer in answers:
                _check_same_mask(case.p, heads, answer, right_results)

    return right


def _y(answer: Answer) -> Array:
    assert answer.y is not None
    return answer.y


def _copy(answer: Answer) -> Answer:
    """An answer of its own: the next one may be written where this one was."""
    others = {name: array.copy() for name, array in answer.others.items()}
    return Answer(_y(answer).copy(), others=others)


def _unit(dtype: Any) -> float:
    return float(np.spacing(dtype.type(1))) / 2


def _like(name: str, result: Any, like: Array) -> None:
    if result is not None and (result.dtype, result.shape) != (like.dtype, like.shape):
        wanted = f"{like.dtype} {like.shape}"
        raise InvalidAnswerError(f"{name} is {result.dtype} {result.shape}, not {wanted}")


def _looked_at(heads: Heads) -> list[tuple[int, ...]]:
    """The first heads and the last ones."""
    everybody, count = list(np.ndindex(*heads.shape[:2])), math.ceil(_ROWS / heads.shape[2])
    return list(dict.fromkeys((*everybody[:count], *everybody[-count:])))


def _blocks(heads: Heads, head: tuple[int, ...]) -> Iterator[tuple[slice, Array, Array]]:
    """Blocks of queries of a head, with their scaled scores and weights, in float64."""
    query, key = (a[head].astype(np.float64) for a in (heads.query, heads.key))
    for first in range(0, len(query), _QUERIES):
        rows = slice(first, min(first + _QUERIES, len(query)))
        z = query[rows] @ key.T * heads.scale
        if heads.is_causal:
            z[future(len(query))[rows]] = -np.inf
        weights = np.exp(z - z.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        yield rows, np.where(np.isfinite(z), z, 0.0), weights


def _check_without_dropout(
    heads: Heads, answer: Answer, right_results: Mapping[tuple[int, ...], _Results]
) -> None:
    """Raise InvalidAnswerError unless y and gradients are those of attention, of the heads looked at."""
    results = {"y": _y(answer), **answer.others}
    for name, result in results.items():
        _like(name, result, heads.query)
    for head, rights in right_results.items():
        for name, (right, bound) in rights.items():
            if name in results and np.any(np.abs(results[name][head] - right) > bound):
                raise InvalidAnswerError(f"{name} is not that of attention where nothing is dropped")


@functools.lru_cache(maxsize=1)
def _right_results(case: Case) -> dict[tuple[int, ...], _Results]:
    """Those of the heads that are looked at, which all contenders of a case are compared with."""
    heads = Heads(case, Data(case))
    return {head: _results_of_head(heads, head) for head in _looked_at(heads)}


def _results_of_head(heads: Heads, head: tuple[int, ...]) -> _Results:
    """By name: a result of a head in float64 where nothing is dropped, and how far another one may be off.

    A score is off by that of a sum of d products, and a weight by twice the largest error of its scores, for
    its numerator and its denominator, and the roundings of a softmax. All that follows are sums with weights.
    """
    q, k, v, dy = (a[head].astype(np.float64) for a in (heads.query, heads.key, heads.value, heads.dy))
    unit, (steps, features) = _unit(heads.query.dtype), q.shape
    of_features, of_steps = (_SURE * math.sqrt(n) + 4 for n in (features, steps))
    names = ("y", "dquery", "dkey", "dvalue")
    right, bound = ({name: np.zeros_like(q) for name in names} for _ in range(2))
    for rows, z, w in _blocks(heads, head):
        size = np.abs(q[rows]) @ np.abs(k).T * heads.scale  # of the terms of a score
        off = of_features * size + np.abs(z)
        relative = 2 * off.max(1, keepdims=True) + np.abs(z).max(1, keepdims=True) + 8 + of_steps
        dw = dy[rows] @ v.T
        dw_off = of_features * (np.abs(dy[rows]) @ np.abs(v).T)
        along = (dw * w).sum(1, keepdims=True)
        along_off = ((np.abs(dw) * (relative + of_steps) + dw_off) * w).sum(1, keepdims=True)
        ds = w * (dw - along) * heads.scale
        ds_off = w * heads.scale * (np.abs(dw - along) * (relative + 4) + dw_off + along_off)
        right["y"][rows] = w @ v
        bound["y"][rows] = (w * (relative + of_steps)) @ np.abs(v)
        right["dquery"][rows] = ds @ k
        bound["dquery"][rows] = (ds_off + of_steps * np.abs(ds)) @ np.abs(k)
        right["dkey"] += ds.T @ q[rows]
        bound["dkey"] += (ds_off + of_steps * np.abs(ds)).T @ np.abs(q[rows])
        right["dvalue"] += w.T @ dy[rows]
        bound["dvalue"] += (w * (relative + of_steps)).T @ np.abs(dy[rows])
    return {name: (right[name], unit * bound[name]) for name in names}


def _check_spread(p: float, heads: Heads, without: Answer, answers: list[Answer]) -> None:
    """Raise InvalidAnswerError unless what dropout does to y is what chance does.

    What y differs by has the mean 0, also times what does not depend on the mask: y without dropout, or what
    it differs by for another mask. Of a row, the sum of its squares has the mean
    ``p / (1 - p) * sum(weights**2 @ value**2)``. Rows are independent. The sum of such terms, less their
    means, divided by the root of the sum of their squares, is further out than `FAR` once in 10**12 looks
    (Efron, "Student's t-test under symmetry conditions", 1969).
    """
    faults = ("its mean is another", "its mean square is another", "two masks in a row agree")
    terms: dict[str, list[Array]] = {what: [] for what in faults}
    for head in _looked_at(heads):
        square = np.square(heads.value[head].astype(np.float64))
        means = np.concatenate([(np.square(w) @ square).sum(1) for _, _, w in _blocks(heads, head)])
        plain = _y(without)[head].astype(np.float64)
        off = [_y(answer)[head] - plain for answer in answers]
        mean, spread, of_two = terms.values()
        mean.append((off[0] * plain).sum(1))
        spread.append(np.square(off[0]).sum(1) - p / (1 - p) * means)
        of_two.append((off[0] * off[-1]).sum(1) if len(off) == 2 else np.zeros(1))
    for what, parts in terms.items():
        term = np.concatenate(parts)
        if abs(term.sum()) > FAR * math.sqrt(np.square(term).sum()):
            raise InvalidAnswerError(f"what dropout does to y is not chance: {what}")


def _check_same_mask(
    p: float, heads: Heads, answer: Answer, right_results: Mapping[tuple[int, ...], _Results]
) -> None:
    """Raise InvalidAnswerError unless the gradient of value is by the mask of y, of the heads looked at.

    Elements are off independently, by what they are without dropout and what it scales that by.
    """
    left, right, square = 0.0, 0.0, 0.0
    for head, rights in right_results.items():
        value, dy = (a[head].astype(np.float64) for a in (heads.value, heads.dy))
        left += float(np.vdot(answer.others["dvalue"][head].astype(np.float64), value))
        right += float(np.vdot(_y(answer)[head].astype(np.float64), dy))
        for name, factor in (("dvalue", value), ("y", dy)):
            square += float(np.square(rights[name][1] * factor).sum()) / (1 - p) ** 2
    if abs(left - right) > _SURE * math.sqrt(square):
        raise InvalidAnswerError("dvalue is not by the mask of the forward pass")
