# SPDX-License-Identifier: BSD-3-Clause
"""What a contender hands over for a case: a call to time, and its answer to look at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


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
    prepare: Callable[[], object] = lambda: None  # before every turn, outside the clock
    fresh: bool = True  # every call draws a new mask
