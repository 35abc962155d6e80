# SPDX-License-Identifier: BSD-3-Clause
"""How contenders are timed, and when a difference counts. Knows nothing of dropout.

The method is finufft's (its ``perftest``): contenders take turns inside every case and go in the opposite
order in every other round, each round keeps a contender's best, and a ratio is that of the medians over the
rounds. The band is the smallest and the largest ratio of any round; where it holds 1, nothing was resolved.
"""

import gc
import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

# Repeats inside a turn: interruptions only ever make one slower, so the best is the least disturbed.
_REPEATS = 5
# What is timed at once lasts about this long: 50 ns of clock are then 0.01 %.
_SPAN_NS = 500_000

Clock = Callable[[], int]


class Timed(Protocol):
    """What can be timed."""

    @property
    def run(self) -> Callable[[], object]:
        """The call to time."""

    @property
    def setting(self) -> Callable[[], AbstractContextManager[object]]:
        """Entered before every turn and left after it, outside the clock."""


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Of two equal contenders one is ahead in every round, and a difference is seen where there is none, once
    in ``2**(rounds - 1)`` comparisons.
    """

    rounds: int
    turn_ns: int  # a turn of fast calls has five repeats; one of slow calls fits in here, but has two

    def __post_init__(self) -> None:
        if self.rounds < 2 or self.rounds % 2:
            raise ValueError(f"rounds must be even, so that nobody goes first more often, not {self.rounds}")


QUICK = Effort(rounds=8, turn_ns=25_000_000)
FULL = Effort(rounds=16, turn_ns=80_000_000)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two times: of their medians, with the band that the rounds span."""

    value: float
    low: float
    high: float

    @property
    def resolved(self) -> bool:
        """Whether the band excludes 1, to the two decimals that are printed: a reader can check it."""
        return not round(self.low, 2) <= 1.0 <= round(self.high, 2)


def ratio(times: Sequence[float], base: Sequence[float]) -> Ratio:
    """Times over base times, a pair for every round."""
    rounds = [time / other for time, other in zip(times, base, strict=True)]
    return Ratio(statistics.median(times) / statistics.median(base), min(rounds), max(rounds))


def measure(
    contenders: Mapping[str, Timed],
    effort: Effort,
    clock: Clock = time.perf_counter_ns,
    tick: Callable[[str], object] = lambda name: None,
) -> dict[str, list[float]]:
    """Nanoseconds of one call: for every contender one time for every round."""
    names = list(contenders)
    times: dict[str, list[float]] = {name: [] for name in names}
    collecting = gc.isenabled()
    gc.disable()  # a collection would be charged to whoever is running
    try:
        plans = {name: _plan(timed, effort, clock) for name, timed in contenders.items()}
        for turn in range(effort.rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                run = contenders[name].run
                with contenders[name].setting():
                    run()  # the others have used the caches
                    times[name].append(_best(run, *plans[name], clock))
                tick(name)
    finally:
        if collecting:
            gc.enable()
    return times


def _plan(timed: Timed, effort: Effort, clock: Clock) -> tuple[int, int]:
    """How many calls to time at once, and how often."""
    with timed.setting():
        timed.run()  # compiles, allocates, touches
        count, one = 1, _best(timed.run, 1, 1, clock)
        while count * one < _SPAN_NS / 4:  # a single fast call says little
            count *= 2
            one = max(_best(timed.run, count, 1, clock), 1.0)
    count = max(1, math.ceil(_SPAN_NS / max(one, 1.0)))
    return count, max(2, min(_REPEATS, int(effort.turn_ns / (count * max(one, 1.0)))))


def _best(run: Callable[[], object], count: int, repeats: int, clock: Clock) -> float:
    best = math.inf
    for _ in range(repeats):
        calls = itertools.repeat(None, count)
        start = clock()
        for _ in calls:
            run()
        best = min(best, clock() - start)
    return best / count
