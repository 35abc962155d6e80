# SPDX-License-Identifier: BSD-3-Clause
"""What a contender hands over for a case: a call to time, and its answer to look at."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from .cases import Case

# What is in force while a job runs: instruction set, threads.
Setting = Callable[[], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Answer:
    """What was computed from the case's x and dy; None where the case asks for nothing."""

    y: NDArray[Any] | None
    dx: NDArray[Any] | None = None


@dataclass(frozen=True)
class Job:
    """A contender set up for one case."""

    run: Callable[[], object]
    answer: Callable[[], Answer]  # the same call, once
    setting: Setting = contextlib.nullcontext  # entered before every turn, outside the clock
    fresh: bool = True  # every call draws a new mask


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
