# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark makes of times, on a made-up clock: nothing here depends on how long anything takes."""

import contextlib
import gc
import itertools
import math
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fastdrop.bench import measure
from fastdrop.bench.job import Job

EFFORT = measure.Effort(rounds=8, turn_ns=10_000_000)


class Clock:
    """Stands still but for the work that is done under it."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return int(self.now)

    def worker(self, cost, setting=contextlib.nullcontext):
        """A job that takes `cost()` nanoseconds."""

        def work():
            self.now += cost()

        return Job(work, answer=lambda: None, setting=setting)

    def measure(self, effort=EFFORT, tick=lambda name: None, **jobs):
        return measure.measure(jobs, effort, clock=self, tick=tick)


def test_ratio_is_that_of_the_medians_and_the_band_spans_the_rounds():
    got = measure.ratio([3.0, 5.0, 4.0, 100.0], [2.0, 2.0, 4.0, 1.0])
    assert got == measure.Ratio(4.5 / 2.0, low=1.0, high=100.0)


TIMES = st.floats(1, 1e9)


@given(st.lists(st.tuples(TIMES, TIMES), min_size=2, max_size=20))
def test_ratio_lies_in_its_band(pairs):
    times, base = zip(*pairs, strict=True)
    got = measure.ratio(times, base)
    # A quotient is off by half an epsilon, and the mean of the middle two adds two roundings a side.
    slack = 1 + 5 * sys.float_info.epsilon
    assert got.low / slack <= got.value <= got.high * slack


@pytest.mark.parametrize(
    ("low", "high", "resolved"),
    [
        (1.02, 1.30, True),
        (0.80, 0.99, True),
        (0.90, 1.10, False),
        (1.00, 1.30, False),
        (1.001, 1.02, False),  # is printed as 1.00-1.02, which holds 1
        (0.98, 0.996, False),
        (0.994, 0.994, True),
    ],
)
def test_a_difference_counts_only_if_the_printed_band_excludes_one(low, high, resolved):
    assert measure.Ratio((low + high) / 2, low, high).resolved is resolved


@pytest.mark.parametrize("rounds", [-2, 0, 1, 3, 7])
def test_rounds_are_even(rounds):
    with pytest.raises(ValueError, match=f"rounds must be even.*not {rounds}"):
        measure.Effort(rounds, turn_ns=1)


def test_contenders_alternate_and_swap_order_every_round():
    clock, turns = Clock(), []
    jobs = {name: clock.worker(lambda: 1e6) for name in "abc"}
    clock.measure(tick=turns.append, **jobs)
    assert "".join(turns) == "abccba" * (EFFORT.rounds // 2)


def test_times_are_those_of_one_call():
    clock = Clock()
    costs = {"fast": 40, "middle": 1e4, "slow": 3e7}
    times = clock.measure(**{name: clock.worker(lambda cost=cost: cost) for name, cost in costs.items()})
    assert times == {name: [cost] * EFFORT.rounds for name, cost in costs.items()}


@pytest.mark.parametrize("cost", [100, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("drift", [1e-4, -1e-4])
def test_self_comparison_resolves_nothing_on_a_drifting_machine(cost, drift):
    clock, calls = Clock(), itertools.count()

    def drifting():
        return cost * (1 + abs(drift) * next(calls)) ** math.copysign(1, drift)

    times = clock.measure(a=clock.worker(drifting), b=clock.worker(drifting))
    got = measure.ratio(times["a"], times["b"])
    assert not got.resolved
    assert got.low <= 1 <= got.high
    # It is the swap that does it: the rounds in which a goes first all say the same.
    first = [one / other for one, other in zip(times["a"][::2], times["b"][::2], strict=True)]
    assert len({value < 1 for value in first}) == 1


@pytest.mark.parametrize("seed", range(20))
def test_self_comparison_resolves_nothing_on_a_noisy_machine(seed):
    clock, rng = Clock(), np.random.default_rng(seed)

    def noisy():
        return 1e6 * (1 + rng.exponential(0.1))

    times = clock.measure(measure.FULL, a=clock.worker(noisy), b=clock.worker(noisy))
    assert not measure.ratio(times["a"], times["b"]).resolved


def test_a_real_difference_is_resolved_on_the_same_noisy_machine():
    clock, rng = Clock(), np.random.default_rng(0)
    jobs = {
        name: clock.worker(lambda cost=cost: cost * (1 + rng.exponential(0.1)))
        for name, cost in (("a", 1e6), ("b", 1.5e6))
    }
    times = clock.measure(**jobs)
    got = measure.ratio(times["b"], times["a"])
    assert got.resolved
    assert got.value > 1


def test_interruptions_do_not_count():
    clock, calls = Clock(), itertools.count()
    times = clock.measure(
        a=clock.worker(lambda: 1.5e6 if next(calls) % 5 else 1e6)
    )  # one in five is undisturbed
    assert times["a"] == [1e6] * EFFORT.rounds


def test_entering_and_leaving_the_setting_is_not_timed():
    clock, entered, left = Clock(), [], []

    @contextlib.contextmanager
    def setting():
        entered.append(clock.now)
        clock.now += 1e9
        yield
        left.append(clock.now)
        clock.now += 1e9

    times = clock.measure(a=clock.worker(lambda: 1e6, setting))
    assert times["a"] == [1e6] * EFFORT.rounds
    assert len(entered) == len(left) == 1 + EFFORT.rounds  # once to find out how fast it is


def test_no_garbage_collection_while_measuring():
    clock, seen = Clock(), set()

    def cost():
        seen.add(gc.isenabled())
        return 1e6

    clock.measure(a=clock.worker(cost))
    assert seen == {False}
    assert gc.isenabled()
