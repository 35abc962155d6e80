# SPDX-License-Identifier: BSD-3-Clause
"""Alpha and Gaussian dropout: who does them, and whether an answer is what it should be."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop
from fastdrop import reference as reference_noise

from .cases import Case, Data, drawn
from .contenders import Check, Contender, floors, timed_isas
from .jobs import Answer, Job
from .validity import InvalidAnswerError, tolerance

_LOOK = 2**20  # elements that are enough to see whether they are independent
_DISTANCES = tuple(2**k for k in range(11))
# A normal number is further out than that once in 10**12 looks.
_FAR = 7.2

_Call = Callable[[], NDArray[Any]]
_Forward = Callable[..., tuple[NDArray[Any], Any]]
_Backward = Callable[..., NDArray[Any]]


def alphas(case: Case, quick: bool) -> list[Contender]:
    """Alpha dropout, and NumPy's ways to it."""
    ours = _ours(fastdrop.alpha_dropout, fastdrop.alpha_dropout_backward, _alpha_check, quick)
    return [
        *floors(),
        *ours,
        _numpy(
            "numpy textbook", "np.where(rng.random(x.shape) >= p, a * x + b, d)", _alpha_book, _alpha_check
        ),
        _numpy("numpy best", "rng.random in float32 or float64, out= everywhere", _alpha_best, _alpha_check),
    ]


def gaussians(case: Case, quick: bool) -> list[Contender]:
    """Gaussian dropout, and NumPy's ways to it."""
    ours = _ours(fastdrop.gaussian_dropout, fastdrop.gaussian_dropout_backward, _gaussian_check, quick)
    return [
        *floors(),
        *ours,
        _numpy("numpy textbook", "x * rng.normal(1, s, x.shape)", _gaussian_book, _gaussian_check),
        _numpy(
            "numpy best",
            "rng.standard_normal in float32 or float64, out= everywhere",
            _gaussian_best,
            _gaussian_check,
        ),
    ]


def _ours(forward: _Forward, backward: _Backward, check: Check, quick: bool) -> list[Contender]:
    isas = timed_isas(quick)
    rows = [(f"fastdrop {isa}", isa, False) for isa in isas]
    rows.insert(1, (f"fastdrop {isas[0]} backward", isas[0], True))

    def contender(name: str, isa: str, replays: bool) -> Contender:
        def build(case: Case, data: Data) -> Job:
            masks, x, y, p = fastdrop.MaskGenerator(0), data.x, data.y, case.p
            _, drawn = forward(x, p, rng=masks, out=y)

            def prepare() -> None:
                fastdrop.use_isa(isa)
                fastdrop.set_num_threads(case.threads)

            if replays:  # of x, so that the answer is looked at like the others
                return _job(lambda: backward(x, drawn, out=y), prepare, fresh=False)
            return _job(lambda: forward(x, p, rng=masks, out=y)[0], prepare)

        job = (
            "the gradient by the last forward pass's numbers" if replays else "a new mask or noise every call"
        )
        return Contender(
            name, "fastdrop", fastdrop.__version__, f"{job}; output reused", build, _gradient(check, replays)
        )

    return [contender(*row) for row in rows]


def _job(run: _Call, prepare: Callable[[], object] = lambda: None, *, fresh: bool = True) -> Job:
    return Job(run, lambda: Answer(run().copy()), prepare, fresh)


def _numpy(name: str, job: str, make: Callable[[Case, Data], _Call], check: Check) -> Contender:
    return Contender(name, "numpy", np.__version__, job, lambda case, data: _job(make(case, data)), check)


def _alpha_book(case: Case, data: Data) -> _Call:
    rng, x, p = np.random.default_rng(0), data.x, case.p
    a, b, d = (x.dtype.type(constant) for constant in reference_noise.affine(p))
    return lambda: np.where(rng.random(x.shape) >= p, a * x + b, d)


def _alpha_best(case: Case, data: Data) -> _Call:
    rng, x, y, p = np.random.default_rng(0), data.x, data.y, case.p
    a, b, d = (x.dtype.type(constant) for constant in reference_noise.affine(p))
    uniform, dropped = np.empty(x.shape, drawn(x.dtype)), np.empty(x.shape, bool)

    def run() -> NDArray[Any]:
        rng.random(out=uniform, dtype=uniform.dtype)
        np.less(uniform, p, out=dropped)
        np.multiply(x, a, out=y)
        np.add(y, b, out=y)
        np.copyto(y, d, where=dropped)
        return y

    return run


def _gaussian_book(case: Case, data: Data) -> _Call:
    rng, x, deviation = np.random.default_rng(0), data.x, math.sqrt(case.p / (1 - case.p))
    return lambda: (x * rng.normal(1, deviation, x.shape)).astype(x.dtype, copy=False)


def _gaussian_best(case: Case, data: Data) -> _Call:
    rng, x, y, deviation = np.random.default_rng(0), data.x, data.y, math.sqrt(case.p / (1 - case.p))
    factor = np.empty(x.shape, drawn(x.dtype))

    def run() -> NDArray[Any]:
        rng.standard_normal(out=factor, dtype=factor.dtype)
        np.multiply(factor, deviation, out=factor)
        np.add(factor, 1, out=factor)
        np.multiply(x, factor, out=y, casting="unsafe")  # to 16 bits
        return y

    return run


# --- Checks ---------------------------------------------------------------------------------------


def _gradient(check: Check, replays: bool) -> Check:
    """The check of a forward pass, which for Gaussian noise is that of a gradient, too."""
    return _alpha_gradient_check if replays and check is _alpha_check else check


def _alpha_check(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless kept elements are a x + b, and as many as p says the constant."""
    a, b, d = reference_noise.affine(case.p)
    y = _answer(data, job)
    _kept_right(case, data.x, y, np.abs(y - d) > np.abs(d) * float(np.spacing(y.dtype.type(1))), a, b)


def _alpha_gradient_check(case: Case, data: Data, job: Job) -> None:
    y = _answer(data, job)
    _kept_right(case, data.x, y, y != 0, reference_noise.affine(case.p)[0], 0)


def _kept_right(
    case: Case, x: NDArray[Any], y: NDArray[Any], kept: NDArray[np.bool_], a: float, b: float
) -> None:
    # Two roundings and those of the two constants, of numbers of at most a x + b.
    right = a * x.astype(np.float64) + b
    if np.any(kept & (np.abs(y - right) > 3 * float(np.spacing(x.dtype.type(1))) * right)):
        raise InvalidAnswerError("y is not a x + b where it kept")
    count, allowed = kept.size - np.count_nonzero(kept), tolerance(kept.size, case.p)
    if abs(count - kept.size * case.p) > allowed:
        raise InvalidAnswerError(f"{count} are dropped, {kept.size * case.p:.0f} +- {allowed:.0f} are right")


def _gaussian_check(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless the factors are normal with the right mean and variance, and differ.

    Of n normal numbers z the sum is normal; z**2 - 1 has variance 2, and products of two have variance 1.
    """
    first, second = (_normals(case, data, _answer(data, job)) for _ in range(2))
    sums = {"their mean": first.sum(), "their variance": (first**2 - 1).sum() / math.sqrt(2)}
    if job.fresh:
        sums["two calls"] = (first * second).sum()
    for distance in _DISTANCES:
        pairs = first[: first.size // (2 * distance) * 2 * distance].reshape(-1, 2, distance)
        sums[f"neighbours {distance} apart"] = math.sqrt(2) * (pairs[:, 0] * pairs[:, 1]).sum()
    for what, value in sums.items():
        # A sum of squares is less normal than a plain one: three times as far is far enough for few elements.
        if abs(value) > _FAR * 3 * math.sqrt(first.size):
            raise InvalidAnswerError(f"the factors are not independent normal numbers: {what}")


def _normals(case: Case, data: Data, y: NDArray[Any]) -> NDArray[np.float64]:
    factors = y[:_LOOK].astype(np.float64) / data.x[:_LOOK]
    return np.asarray((factors - 1) / math.sqrt(case.p / (1 - case.p)))


def _answer(data: Data, job: Job) -> NDArray[Any]:
    y = job.answer().y
    if y is None or y.dtype != data.x.dtype or y.shape != data.x.shape:
        raise InvalidAnswerError("y has not the dtype and the shape of x")
    return y
