# SPDX-License-Identifier: BSD-3-Clause
"""Alpha and Gaussian dropout: fastdrop's, and NumPy's ways to them."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop
from fastdrop import reference

from .. import validity
from ..cases import Case, Choice, Data, random_dtype
from ..job import Job, fastdrop_with, passes
from .contender import FASTDROP, NUMPY, Build, Check, Contender
from .floors import floors


def alphas(case: Case, choice: Choice) -> list[Contender]:
    """Alpha dropout, and NumPy's ways to it."""
    functions = (fastdrop.alpha_dropout, fastdrop.alpha_dropout_backward)
    textbook = ("np.where(rng.random(x.shape) >= p, a * x + b, d)", _alpha_textbook)
    best = ("rng.random in float32 or float64, out= everywhere", _alpha_best)
    return _contenders(choice, functions, textbook, best, validity.alpha_dropped)


def gaussians(case: Case, choice: Choice) -> list[Contender]:
    """Gaussian dropout, and NumPy's ways to it."""
    functions = (fastdrop.gaussian_dropout, fastdrop.gaussian_dropout_backward)
    textbook = ("x * rng.normal(1, s, x.shape)", _gaussian_textbook)
    best = ("rng.standard_normal in float32 or float64, out= everywhere", _gaussian_best)
    return _contenders(choice, functions, textbook, best, validity.gaussian_dropped)


def _contenders(
    choice: Choice,
    functions: tuple[Callable[..., Any], Callable[..., Any]],
    textbook: tuple[str, Build],
    best: tuple[str, Build],
    check: Check,
) -> list[Contender]:
    def fastdrop_on(isa: str) -> Contender:
        def build(case: Case, data: Data) -> Job:
            masks = fastdrop.MaskGenerator(0)
            source: Any  # the mask or the noise of the last forward pass

            def forward() -> NDArray[Any]:
                nonlocal source
                y, source = functions[0](data.x, case.p, rng=masks, out=data.y)
                return y  # type: ignore[no-any-return]

            def backward() -> Any:
                return functions[1](data.dy, source, out=data.dx)

            return passes(case, forward, backward, setting=lambda: fastdrop_with(isa, case.threads))

        return Contender(f"fastdrop {isa}", *FASTDROP, "output reused", build, check)

    return [
        *floors(),
        *map(fastdrop_on, choice.isas),
        Contender("numpy textbook", *NUMPY, *textbook, check),
        Contender("numpy best", *NUMPY, *best, check),
    ]


def _constants(case: Case, data: Data) -> list[Any]:
    """Scale, shift and what a dropped element becomes, in the dtype of x."""
    return [data.x.dtype.type(constant) for constant in reference.affine(case.p)]


def _alpha_textbook(case: Case, data: Data) -> Job:
    rng, x, dy, p = np.random.default_rng(0), data.x, data.dy, case.p
    a, b, d = _constants(case, data)
    zero = x.dtype.type(0)
    keep: NDArray[np.bool_]

    def forward() -> NDArray[Any]:
        nonlocal keep
        keep = rng.random(x.shape) >= p
        y: NDArray[Any] = np.where(keep, a * x + b, d)
        return y

    return passes(case, forward, lambda: np.where(keep, a * dy, zero))


def _alpha_best(case: Case, data: Data) -> Job:
    rng, x, y, p = np.random.default_rng(0), data.x, data.y, case.p
    a, b, d = _constants(case, data)
    uniform, dropped = np.empty(x.shape, random_dtype(x.dtype)), np.empty(x.shape, bool)

    def forward() -> NDArray[Any]:
        rng.random(out=uniform, dtype=uniform.dtype)
        np.less(uniform, p, out=dropped)
        np.multiply(x, a, out=y)
        np.add(y, b, out=y)
        np.copyto(y, d, where=dropped)
        return y

    def backward() -> NDArray[Any]:
        np.multiply(data.dy, a, out=data.dx)
        np.copyto(data.dx, 0, where=dropped)
        return data.dx

    return passes(case, forward, backward)


def _gaussian_textbook(case: Case, data: Data) -> Job:
    rng, x, deviation = np.random.default_rng(0), data.x, math.sqrt(case.p / (1 - case.p))
    factor: NDArray[Any]

    def forward() -> NDArray[Any]:
        nonlocal factor
        factor = rng.normal(1, deviation, x.shape)
        return (x * factor).astype(x.dtype, copy=False)

    return passes(case, forward, lambda: (data.dy * factor).astype(x.dtype, copy=False))


def _gaussian_best(case: Case, data: Data) -> Job:
    rng, x, y, deviation = np.random.default_rng(0), data.x, data.y, math.sqrt(case.p / (1 - case.p))
    factor = np.empty(x.shape, random_dtype(x.dtype))
    times = functools.partial(np.multiply, factor, casting="unsafe")  # to 16 bits

    def forward() -> NDArray[Any]:
        rng.standard_normal(out=factor, dtype=factor.dtype)
        np.multiply(factor, deviation, out=factor)
        np.add(factor, 1, out=factor)
        times(x, out=y)
        return y

    def backward() -> NDArray[Any]:
        times(data.dy, out=data.dx)
        return data.dx

    return passes(case, forward, backward)


CONTENDERS = {"alpha_dropout": alphas, "gaussian_dropout": gaussians}
