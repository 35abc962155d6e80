# SPDX-License-Identifier: BSD-3-Clause
"""p as a function of the step, and what a backward pass after the step sees."""

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import fastdrop as fd

PROBABILITY = st.floats(0, 1)
X = np.ones(64, np.float32)


@given(PROBABILITY, PROBABILITY, st.integers(1, 10**6), st.integers(0, 2 * 10**6))
def test_a_linear_schedule_is_a_straight_line(start, end, steps, step):
    """Within its ends; four roundings of values up to 1 make less than 4 * 2**-53."""
    schedule = fd.LinearSchedule(start, end, steps)
    p = schedule(step)
    t = min(step / steps, 1)
    assert min(start, end) - 2.0**-51 <= p <= max(start, end) + 2.0**-51
    assert abs(p - (start + (end - start) * t)) <= 2.0**-50
    assert 0 <= p <= 1
    assert schedule(0) == start
    assert schedule(steps) == schedule(steps + step) == end


@given(PROBABILITY, st.floats(1e-6, 10), st.integers(0, 10**6))
def test_a_curriculum_schedule_is_that_of_the_paper(p, rate, step):
    """The paper's probability of keeping, (1 - r) exp(-rate t) + r with r = 1 - p, in terms of dropping."""
    schedule = fd.CurriculumSchedule(p, rate)
    retain = 1 - p
    wanted = 1 - ((1 - retain) * math.exp(-rate * step) + retain)
    assert abs(schedule(step) - wanted) <= 2.0**-49
    assert schedule(0) == 0
    assert 0 <= schedule(step) <= schedule(step + 1) <= p


def test_a_scheduler_sets_p_of_all_its_layers():
    drop, path = fd.Dropout(0.9, rng=0), fd.DropPath(0.9, rng=0)
    scheduler = fd.Scheduler([drop, path], fd.LinearSchedule(0.0, 0.5, steps=4))
    seen = []
    for _ in range(6):
        assert drop.p == path.p
        seen.append(drop.p)
        scheduler.step()
    assert seen == [0.0, 0.125, 0.25, 0.375, 0.5, 0.5]
    assert fd.Scheduler(iter([drop]), lambda step: 1 / (step + 2)).step_number == 0
    assert drop.p == 0.5


def test_a_step_between_forward_and_backward_changes_nothing():
    drop = fd.Dropout(rng=3)
    scheduler = fd.Scheduler([drop], fd.CurriculumSchedule(0.8, 0.1))
    for _ in range(10):
        y = drop(X)
        scheduler.step()
        assert (drop.backward(X) == y).all()
        assert drop.mask.p < drop.p


def test_training_goes_on_from_a_checkpoint():
    def start(seed):
        drop = fd.Dropout(rng=seed)
        return drop, fd.Scheduler([drop], fd.LinearSchedule(0.1, 0.7, steps=20))

    def train(drop, scheduler, steps):
        ys = []
        for _ in range(steps):
            ys.append(drop(X))
            scheduler.step()
        return ys

    drop, scheduler = start(1)
    train(drop, scheduler, 7)
    state = json.loads(json.dumps([drop.state_dict(), scheduler.state_dict()]))
    wanted = train(drop, scheduler, 20)
    drop, scheduler = start(2)
    drop.load_state_dict(state[0])
    scheduler.load_state_dict(state[1])
    assert scheduler.step_number == 7
    assert all((y == w).all() for y, w in zip(train(drop, scheduler, 20), wanted, strict=True))


def test_a_schedule_is_a_value():
    assert fd.LinearSchedule(0.0, 0.5, 4) == fd.LinearSchedule(0.0, 0.5, 4)
    assert repr(fd.CurriculumSchedule(0.5, 0.1)) == "CurriculumSchedule(p=0.5, rate=0.1)"


def test_numbers_of_low_precision_are_computed_with_in_double():
    """A float16 in an expression of Python's numbers would make all of it one."""
    for kind in (np.float16, np.float32):
        start, end = kind(0.1), kind(0.7)
        linear, plain = (
            fd.LinearSchedule(start, end, np.int8(100)),
            fd.LinearSchedule(float(start), float(end), 100),
        )
        assert (linear, repr(linear)) == (plain, repr(plain))
        assert [linear(step) for step in range(150)] == [plain(step) for step in range(150)]
        curriculum = fd.CurriculumSchedule(end, kind(0.01))
        plain = fd.CurriculumSchedule(float(end), float(kind(0.01)))
        assert [curriculum(np.int64(step)) for step in range(150)] == [plain(step) for step in range(150)]
        assert {type(linear(3)), type(curriculum(3)), type(linear.start), type(curriculum.rate)} == {float}
        assert type(linear.steps) is int
        drop = fd.Dropout(rng=0)
        fd.Scheduler([drop], lambda step, start=start: start)
        assert type(drop.p) is float
        for layer in (
            fd.Dropout(end, rng=0),
            fd.Dropout(keep_prob=start, rng=0),
            fd.AlphaDropout(end, rng=0),
        ):
            layer(np.ones(3))
            assert {type(layer.p), type(layer.mask.p), type(layer.mask.scale)} == {float}


def test_a_scheduler_is_shown_on_a_line():
    scheduler = fd.Scheduler([fd.Dropout(), fd.DropPath()], fd.LinearSchedule(0.0, 0.5, 4))
    scheduler.step()
    assert repr(scheduler) == (
        "<Scheduler 2 layers, LinearSchedule(start=0.0, end=0.5, steps=4), step_number=1>"
    )
