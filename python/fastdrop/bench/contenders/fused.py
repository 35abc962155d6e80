# SPDX-License-Identifier: BSD-3-Clause
"""Fused operations: the floors, fastdrop, NumPy's ways, and those of other libraries that were asked for."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

import fastdrop

from ..cases import Case, Choice, Data
from ..fused import EPS, FUSED, Operands
from ..fused_validity import right
from ..job import Job, fastdrop_with, fused_passes
from .contender import FASTDROP, Contender
from .floors import all_bytes, one_copy
from .fused_hosts import hosts
from .fused_numpy import numpys


def fused(case: Case, choice: Choice) -> list[Contender]:
    """One array copied, which the goals are multiples of; all that must be moved; and who does the job.

    On several threads, those that have them.
    """
    best, floors = choice.isas[0], [one_copy(), all_bytes()]
    asked = hosts(case, choice)
    if case.threads > 1:
        return [*floors, _ours(best), _ours(best, threads=1), *asked]
    ours = [_ours(isa) for isa in choice.isas]
    if (case.kind, case.direction) == ("bias_relu", "forward"):  # whose backward pass does without x
        ours += [_ours(isa, in_place=True) for isa in choice.isas]
    return [*floors, *ours, *numpys(case), *asked]


def _ours(isa: str, *, in_place: bool = False, threads: int | None = None) -> Contender:
    def build(case: Case, data: Data) -> Job:
        one, a, masks = FUSED[case.kind], Operands(case, data), fastdrop.MaskGenerator(0)
        x = a.x.copy() if in_place else a.x  # of its own: the others need x as it is
        function: Callable[..., Any] = getattr(fastdrop, one.operation)
        gradient: Callable[..., Any] = getattr(fastdrop, f"{one.operation}_backward")
        options: dict[str, Any] = {"rng": masks, "out": x if in_place else a.y}
        if one.normalizes:
            parameters: tuple[Any, ...] = (a.weight, a.bias) if "dbias" in one.gradients else (a.weight,)
            arguments: tuple[Any, ...] = (x, a.residual, *parameters, case.p)
            options |= {"x_bias": a.x_bias, "eps": EPS, "h_out": a.h}
        else:
            arguments = (x, a.bias, a.residual, case.p)
            options |= {"activation": one.activation}
        call, dy, dx = functools.partial(function, *arguments, **options), a.dy, a.dx
        saved: Any

        def forward() -> tuple[Any, Any]:
            nonlocal saved
            results = call()
            saved = results[1]
            return results  # type: ignore[no-any-return]

        def shown(results: tuple[Any, Any]) -> tuple[Any, ...]:
            y, saved = results
            return (y, saved.h) if one.normalizes else (y,)

        def backward() -> tuple[Any, ...]:
            return gradient(dy, saved, out=dx)  # type: ignore[no-any-return]

        def refill() -> None:
            if in_place:
                np.copyto(x, a.x)

        def setting() -> AbstractContextManager[object]:
            return fastdrop_with(isa, threads or case.threads)

        return fused_passes(case, forward, backward, shown=shown, refill=refill, setting=setting)

    where = " in place" if in_place else ""
    name = f"fastdrop {isa}{where}" + ("" if threads is None else f", {threads} thread")
    outputs = "in place" if in_place else "y, h and dx reused, other gradients new"
    return Contender(name, *FASTDROP, f"{outputs}; a new mask every forward pass", build, right)


CONTENDERS = dict.fromkeys(FUSED, fused)
