# SPDX-License-Identifier: BSD-3-Clause
"""Monte Carlo dropout and schedules refuse what is wrong: the argument, what came, what is wanted."""

import numpy as np
import pytest

import fastdrop as fd
from refusal import refuse

X = np.ones((2, 3, 4, 5), np.float32)


# --- Monte Carlo ----------------------------------------------------------------------------------


def answer(value):
    return lambda x, rng: np.asarray(value)


def answers_of_shapes(*shapes):
    left = iter(shapes)
    return lambda x, rng: np.ones(next(left))


CLASSES, SHAPES = (
    "fn must return class probabilities",
    "fn must return the same shape each time, (2, 3), not (3,)",
)
MC_DROPOUT = {
    "fn": (lambda: fd.mc_dropout(3, X, 5), TypeError, "fn must be a function of x and a MaskGenerator"),
    "samples=0": (lambda: fd.mc_dropout(answer(1.0), X, 0), ValueError, "samples must be at least 1"),
    "samples=2.0": (lambda: fd.mc_dropout(answer(1.0), X, 2.0), TypeError, "samples must be an integer"),
    "rng": (lambda: fd.mc_dropout(answer(1.0), X, 2, rng="a"), TypeError, "rng must be"),
    "class_axis": (
        lambda: fd.mc_dropout(answer([0.5, 0.5]), X, 2, class_axis=1),
        ValueError, "class_axis must be an axis of an array of 1 axes",
    ),
    "more than 1": (
        lambda: fd.mc_dropout(answer([0.5, 0.6]), X, 2, class_axis=0), ValueError, CLASSES, "softmax",
    ),
    "below 0": (
        lambda: fd.mc_dropout(answer([-0.5, 1.5]), X, 2, class_axis=0), ValueError, CLASSES, "softmax",
    ),
    "NaN": (lambda: fd.mc_dropout(answer([np.nan, 1]), X, 2, class_axis=0), ValueError, CLASSES, "softmax"),
    "shapes": (lambda: fd.mc_dropout(answers_of_shapes((2, 3), (3,)), X, 2), ValueError, SHAPES),
    "sample": (
        lambda: fd.mc_dropout(answer(1.0), X, 1).generator(-1), ValueError, "sample must be at least 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MC_DROPOUT)
def test_what_mc_dropout_refuses(name):
    refuse(*MC_DROPOUT[name])


@pytest.mark.parametrize("answer", [None, (1.0, 2.0), "text", 1j], ids=repr)
def test_an_answer_that_is_no_array_of_real_numbers_is_refused(answer):
    wanted = "fn must return an array of real numbers"
    refuse(lambda: fd.mc_dropout(lambda x, rng: answer, X, samples=2, rng=0), TypeError, wanted)


def test_an_answer_that_would_lose_something_is_refused_with_the_remedy():
    def ask(answer):
        return lambda: fd.mc_dropout(lambda x, rng: answer, X, samples=2, rng=0)

    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    refuse(ask(masked), TypeError, "fn(x, rng) must be", "mask would be lost: write fn(x, rng).filled(0)")
    refuse(ask([masked]), TypeError, "fn(x, rng) must be", "a sequence with a masked array")
    for returned in (fd.dropout(X, rng=0), fd.gaussian_dropout(X, rng=0)):
        refuse(
            ask(returned), TypeError, "fn must return an array", "; of a function of fastdrop return y only"
        )


# --- Schedules ------------------------------------------------------------------------------------

SCHEDULES = {
    "start": (lambda: fd.LinearSchedule(-0.1, 0.5, 10), ValueError, "start must be from 0 to 1"),
    "end that varies": (
        lambda: fd.LinearSchedule(0.1, np.zeros(2), 10),
        TypeError,
        "end must be one real number",
    ),
    "end=1.5": (lambda: fd.LinearSchedule(0.1, 1.5, 10), ValueError, "end must be from 0 to 1"),
    "end='0.5'": (lambda: fd.LinearSchedule(0.1, "0.5", 10), TypeError, "end must be a real number"),
    "steps": (lambda: fd.LinearSchedule(0.1, 0.5, 0), ValueError, "steps must be at least 1"),
    "step=-1": (lambda: fd.LinearSchedule(0.1, 0.5, 10)(-1), ValueError, "step must be at least 0"),
    "p": (lambda: fd.CurriculumSchedule(1.1, 0.5), ValueError, "p must be from 0 to 1"),
    "rate=0": (lambda: fd.CurriculumSchedule(0.5, 0), ValueError, "rate must be above 0 and finite, not 0"),
    "rate=inf": (lambda: fd.CurriculumSchedule(0.5, np.inf), ValueError, "rate must be above 0 and finite"),
    "rate='1'": (lambda: fd.CurriculumSchedule(0.5, "1"), TypeError, "rate must be a real number"),
    "step=1.5": (lambda: fd.CurriculumSchedule(0.5, 0.1)(1.5), TypeError, "step must be an integer"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_schedules_refuse(name):
    refuse(*SCHEDULES[name])


@pytest.mark.parametrize(
    ("schedule", "kind", "wanted"),
    [
        (0.5, TypeError, "schedule must be a function of the number of a step"),
        (lambda step: 2.0, ValueError, "p must be from 0 to 1"),
    ],
    ids=["number", "p=2"],
)
def test_a_schedule_that_gives_no_probability_is_refused_and_p_stays(schedule, kind, wanted):
    drop = fd.Dropout(0.3)
    refuse(lambda: fd.Scheduler([drop], schedule), kind, wanted)
    assert drop.p == 0.3


@pytest.mark.parametrize(
    ("state", "kind", "wanted"),
    [
        ({}, ValueError, "state must be a dict with the keys"),
        ({"step_number": -1}, ValueError, "state['step_number'] must be"),
        ({"step_number": 11}, ValueError, "p must be from 0 to 1"),
        ({"step_number": "1"}, TypeError, "state['step_number']"),
        (None, TypeError, "state must be a dict"),
    ],
    ids=str,
)
def test_a_bad_state_leaves_the_scheduler_as_it_was(state, kind, wanted):
    drop = fd.Dropout(0.3)
    scheduler = fd.Scheduler([drop], lambda step: 0.1 * step)
    scheduler.step()
    refuse(lambda: scheduler.load_state_dict(state), kind, wanted)
    assert (scheduler.step_number, drop.p) == (1, 0.1)


@pytest.mark.parametrize("layers", [[3], None, fd.Dropout()], ids=["number", "None", "layer"])
def test_layers_that_are_none_are_refused(layers):
    wanted = "layers must be an iterable of layers"
    refuse(lambda: fd.Scheduler(layers, lambda step: 0.5), TypeError, wanted)
    refuse(lambda: fd.mc_dropout(lambda x, rng: x, X, samples=2, layers=layers), TypeError, wanted)


def test_a_scheduler_changes_all_layers_or_none():
    layers = [fd.Dropout(0.1), fd.GaussianDropout(0.1)]
    scheduler = fd.Scheduler(layers, lambda step: 0.2 + 0.8 * step)
    with pytest.raises(ValueError, match="p must be"):
        scheduler.step()  # Gaussian dropout has no p = 1
    assert [layer.p for layer in layers] == [0.2, 0.2]
