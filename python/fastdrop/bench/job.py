# SPDX-License-Identifier: BSD-3-Clause
"""What a contender hands over for a case: a call to time, and its answer to look at."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from .attention import RESULTS, result_bytes
from .cases import Case
from .fused import FUSED

# What is in force while a job runs: instruction set, threads.
Setting = Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Answer:
    """What was computed from the case's x and dy; None where the case asks for nothing."""

    y: NDArray[Any] | None
    dx: NDArray[Any] | None = None
    others: Mapping[str, NDArray[Any]] = field(default_factory=dict, kw_only=True)  # by their names


@dataclass(frozen=True)
class Job:
    """A contender set up for one case."""

    run: Callable[[], object]
    answer: Callable[[], Answer]  # the same call, once
    setting: Setting = contextlib.nullcontext  # entered before every turn, outside the clock
    fresh: bool = True  # every call draws a new mask
    # For the peak of memory: bytes that it keeps from call to call besides operands and results, and bytes of
    # the results if every call makes new ones.
    kept_bytes: int = 0
    result_bytes: int = 0


@contextlib.contextmanager
def fastdrop_with(isa: str, threads: int) -> Iterator[None]:
    """That instruction set and that many threads for fastdrop, and afterwards those from before."""
    previous = fastdrop.use_isa(isa), fastdrop.set_num_threads(threads)
    try:
        yield
    finally:
        fastdrop.use_isa(previous[0])
        fastdrop.set_num_threads(previous[1])


def passes(
    case: Case,
    forward: Callable[[], Any],
    backward: Callable[[], Any],
    *,
    to_numpy: Callable[[Any], NDArray[Any]] = np.asarray,
    refill: Callable[[], object] = lambda: None,
    setting: Setting = contextlib.nullcontext,
    fresh: bool = True,
) -> Job:
    """The job of a case from a forward pass that draws a mask and a backward pass that uses the last one."""

    def both() -> None:
        forward()
        backward()

    def answer() -> Answer:
        refill()
        y = to_numpy(forward())
        return Answer(y, to_numpy(backward()) if case.direction in ("backward", "both") else None)

    if case.direction == "backward":
        forward()  # the mask that the timed calls use
    run = {"backward": backward, "both": both}.get(str(case.direction), forward)
    return Job(run, answer, setting, fresh)


def fused_passes(
    case: Case,
    forward: Callable[[], Any],
    backward: Callable[[], Any],
    *,
    shown: Callable[[Any], Sequence[Any]] = lambda results: results,
    to_numpy: Callable[[Any], NDArray[Any]] = np.asarray,
    refill: Callable[[], object] = lambda: None,
    setting: Setting = contextlib.nullcontext,
) -> Job:
    """The job of a case of a fused operation, from passes that return several arrays.

    `shown` makes of what `forward` returns y, and for a norm h; `backward` returns the gradients, in the
    order of the core's operation.
    """

    def answer() -> Answer:
        refill()
        results = dict(zip(("y", "h"), map(to_numpy, shown(forward())), strict=False))
        if case.direction in ("backward", "both"):
            results |= zip(FUSED[case.kind].gradients, map(to_numpy, backward()), strict=True)
        return Answer(results.pop("y"), results.pop("dx", None), others=results)

    return replace(passes(case, forward, backward, setting=setting), answer=answer)


def saving_passes(
    case: Case,
    forward: Callable[[], tuple[Sequence[Any], Any]],
    backward: Callable[[Any], Sequence[Any]],
    *,
    to_numpy: Callable[[Any], NDArray[Any]] = np.asarray,
    setting: Setting = contextlib.nullcontext,
    kept_bytes: int = 0,
    makes_results: bool = False,
) -> Job:
    """The job of softmax or attention, from a forward pass that returns outputs and what the backward takes.

    Nothing of that stays when a call of both has ended, so that the memory of one call can be measured.
    """

    outputs, gradients = RESULTS[case.kind]

    def both() -> object:
        return backward(forward()[1])

    def answer() -> Answer:
        got, saved = forward()
        results = dict(zip(outputs, map(to_numpy, got), strict=True))
        if case.direction != "forward":
            results |= zip(gradients, map(to_numpy, backward(saved)), strict=True)
        return Answer(results.pop("y"), results.pop("dx", None), others=results)

    run: Callable[[], object] = both if case.direction == "both" else forward
    if case.direction == "backward":
        run = functools.partial(backward, forward()[1])
    made = result_bytes(case) if makes_results else 0
    return Job(run, answer, setting, kept_bytes=kept_bytes, result_bytes=made)
