# SPDX-License-Identifier: BSD-3-Clause
"""Whether a transformer's step is right.

It is built a second time without dropout, where its results and gradients are those of the textbook network
in float64. With dropout, results differ from these by chance. The textbook network shows how far, and others
must go as far; two answers must differ, and the loss must fall.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .cases import Case, Data
from .job import Answer, Job
from .transformer import LAYERS, Array, Start
from .transformer_textbook import Textbook
from .validity import FAR, InvalidAnswerError

_LEARNING_STEPS = 10
# Norm, projection, scores, softmax, weighted sum, merge, residual, norm, expand, gelu, contract, residual: so
# many operations of a layer follow each other forwards, and as many backwards.
_OPERATIONS = 2 * 12 * LAYERS
# How a wrong answer is told from roundings, which are relative to the norm of what an operation takes: each
# adds the square root of the length of its sums (Higham and Mary, "A new approach to probabilistic rounding
# error analysis", 2019), and passes on what came before, on which it is not steeper than so.
_STEEPNESS = 2.0


def step_right(build: Callable[[Case, Data], Job]) -> Callable[[Case, Data, Job], None]:
    """The check of the step that `build` makes; a call of a job returns the loss."""

    def right(case: Case, data: Data, job: Job) -> None:
        without_dropout = replace(case, p=0.0, threads=1)
        without, plain = reference(without_dropout), build(without_dropout, data)
        with plain.setting():
            _check_equal(plain.answer(), without, data)
        first, second = (_rows(job.answer()) for _ in range(2))
        if np.array_equal(first, second):
            raise InvalidAnswerError("two answers in a row are equal: no new mask is drawn")
        base = _rows(without)
        dropped = _rows(reference(replace(case, threads=1)))
        _check_spread(*(np.square(y - base).mean(1) for y in (first, dropped)))
        losses = [float(job.run()) for _ in range(_LEARNING_STEPS)]  # type: ignore[arg-type]
        if not losses[-1] < losses[0]:
            change = f"from {losses[0]} to {losses[-1]}"
            raise InvalidAnswerError(f"the loss went {change} on one repeated batch")

    return right


@functools.lru_cache(maxsize=2)
def reference(case: Case) -> Answer:
    """The answer of the textbook network in float64, which all contenders of a case are compared with."""
    start = Start(case, Data(case))
    start.x, start.target, start.flat = (
        array.astype(np.float64) for array in (start.x, start.target, start.flat)
    )
    network = Textbook(start, case.p, np.vectorize(math.erf))
    y, saved = network.forward()
    _, dx = network.backward(y, saved)
    return Answer(y, dx, others=network.gradients)


def _rows(answer: Answer) -> Array:
    assert answer.y is not None
    return answer.y.astype(np.float64)


def _check_equal(answer: Answer, right: Answer, data: Data) -> None:
    unit = float(np.spacing(data.x.dtype.type(1))) / 2
    results = {"y": answer.y, "dx": answer.dx, **answer.others}
    for name, wanted in {"y": right.y, "dx": right.dx, **right.others}.items():
        got = results[name]
        assert got is not None
        assert wanted is not None
        if (got.dtype, got.shape) != (data.x.dtype, wanted.shape):
            shape = f"{data.x.dtype} {wanted.shape}"
            raise InvalidAnswerError(f"{name} is {got.dtype} {got.shape}, not {shape}")
        longest = max(len(right.y), *wanted.shape)  # type: ignore[arg-type]
        bound = _STEEPNESS * _OPERATIONS * math.sqrt(longest) * unit * np.linalg.norm(wanted)
        if np.linalg.norm(got - wanted) > bound:
            raise InvalidAnswerError(f"{name} is not that of the network where nothing is dropped")


def _check_spread(own: Array, wanted: Array) -> None:
    """Raise InvalidAnswerError unless two samples, one number for each row, have one mean."""
    variance = (own.var() + wanted.var()) / len(own)
    if abs(own.mean() - wanted.mean()) > FAR * math.sqrt(variance):
        far = f"{own.mean():.4g} on average, where {wanted.mean():.4g} is right"
        raise InvalidAnswerError(f"what dropout changes is another: {far}")
