# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's transformer: its gradients by finite differences, and who is refused for another job."""

import functools
import math
import re

import numpy as np
import pytest
from scipy.special import erf

import fastdrop
from fastdrop.__main__ import main
from fastdrop.bench import validity
from fastdrop.bench.cases import KI, Case, Choice, Data, plan
from fastdrop.bench.contenders import contenders_for, transformer
from fastdrop.bench.job import Answer, Job
from fastdrop.bench.transformer import Start, shape, shapes, split
from fastdrop.bench.transformer_textbook import Textbook, products
from fastdrop.bench.transformer_validity import step_right

BEST = f"fastdrop {fastdrop.isas()[0]}"
STEP = Case("transformer_step", 64 * KI, direction=None)


@pytest.mark.parametrize(
    ("size", "batch_steps_features"),
    [(512 * KI, (16, 128, 256)), (64 * KI, (2, 128, 256)), (KI, (1, 4, 256)), (7, (7, 1, 1))],
)
def test_shapes_come_from_the_size(size, batch_steps_features):
    assert shape(size) == batch_steps_features
    assert f"x of {batch_steps_features}" in Case("transformer_step", size).about()


def test_cases():
    planned = plan(Choice(kinds=("transformer_step",)), processors=2)
    assert {(case.size, case.p, case.threads, case.direction) for case in planned} == {
        (512 * KI, p, threads, None) for p in (0.1, 0.5) for threads in (1, 2)
    }


def test_who_does_it_with_a_right_answer(capsys):
    names = [contender.name for contender in contenders_for(STEP, [], Choice())]
    assert names == ["matrix products", BEST, "numpy textbook"]
    assert main(["bench", "--check", "--op", "transformer-step", "--threads", "1", "--p", "0.5"]) == 0
    assert "3 of 3 answers are valid" in capsys.readouterr().out


def test_without_scipy_numpy_has_no_error_function(monkeypatch):
    monkeypatch.setattr(transformer, "find_spec", lambda name: None)
    assert "numpy textbook" not in [one.name for one in contenders_for(STEP, [], Choice())]


def test_parameters_are_views_that_fill_the_array():
    flat = np.arange(float(sum(map(math.prod, shapes(8).values()))))
    views = split(flat, 8)
    assert {name: view.shape for name, view in views.items()} == shapes(8)
    assert np.array_equal(np.concatenate([view.ravel() for view in views.values()]), flat)


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_the_gradients_of_the_textbook_are_those_of_its_loss(p):
    """Central differences along a random direction, with the same masks; in float64, at a small network.

    A step of h leaves an error of the order of h**2, and one of rounding of epsilon / h: 1e-5 is between.
    """
    case, rng = Case("transformer_step", 8 * 16, "float64", direction=None), np.random.default_rng(3)
    start = Start(case, Data(case))
    start.batch, start.steps, start.features, start.heads = 2, 4, 16, 4
    start.shape = (2, 4, 16)
    start.x, start.target = start.x.reshape(8, 16), start.target.reshape(8, 16)
    count = sum(map(math.prod, shapes(16).values()))
    start.flat = rng.standard_normal(count) / 2
    direction, dx_direction = rng.standard_normal(count), rng.standard_normal((8, 16))
    x, flat, h = start.x, start.flat, 1e-5

    def loss(along):
        start.x, start.flat = x + along * dx_direction, flat + along * direction
        network = Textbook(start, p, erf)  # which draws the same masks again
        y, saved = network.forward()
        return *network.backward(y, saved), network.flat_gradients

    value, dx, gradients = loss(0.0)
    slope = (loss(h)[0] - loss(-h)[0]) / (2 * h)
    assert value > 0
    assert np.vdot(gradients, direction) + np.vdot(dx, dx_direction) == pytest.approx(slope, rel=1e-6)


def test_the_products_alone_do_as_many_multiplications(monkeypatch):
    """Three for each weight; seven for each attention, as fastdrop computes its scores twice."""
    done = []
    original = np.matmul

    def counted(left, right, **out):
        done.append(math.prod(left.shape) * right.shape[-1])
        return original(left, right, **out)

    monkeypatch.setattr(np, "matmul", counted)
    products(Start(STEP, Data(STEP)))[0]()
    linear = 3 * 256 * 12 * 256 * 256  # rows, and 3 + 1 + 4 + 4 squares of features
    attention = 7 * 2 * 128 * 128 * 256  # batch, steps twice, features of all heads
    assert sum(done) == 2 * (linear + attention)


@pytest.mark.parametrize("name", [BEST, "numpy textbook"])
def test_a_step_updates_by_the_gradients(name):
    """Without dropout a second loss is below the first by about the gradient's square."""
    case = Case("transformer_step", 64 * KI, p=1e-9, direction=None)
    job = next(c for c in contenders_for(case, [], Choice()) if c.name == name).build(case, Data(case))
    square = sum(np.square(array, dtype=np.float64).sum() for array in job.answer().others.values())
    first, second = job.run(), job.run()
    assert 0.5 < (first - second) / (0.01 * square) <= 1.05


def build(case, data, *, erf=erf, drop=None, changes=None, p=None, seeds=None):
    """The job of the textbook network with something wrong in it."""
    p = case.p if p is None or case.p == 0 else p
    network = Textbook(Start(case, data), p, lambda x: np.float32(erf(x)))
    if drop is not None and case.p:
        network._drop = functools.partial(drop, network._drop)

    def answer():
        if seeds is not None:
            network.rng = np.random.default_rng(seeds)
        y, saved = network.forward()
        _, dx = network.backward(y, saved)
        results = {"y": y, "dx": dx, **{name: array.copy() for name, array in network.gradients.items()}}
        for name, change in (changes or {}).items():
            results[name] = change(results[name])
        return Answer(results.pop("y"), results.pop("dx"), others=results)

    return Job(network.step, answer)


def tanh_instead(x):
    """An error function that makes of gelu the one by tanh."""
    t = x / math.sqrt(0.5)
    return np.tanh(math.sqrt(2 / math.pi) * (t + 0.044715 * t**3))


def only_wide(drop, x):
    """Dropout of hidden units, not of residuals."""
    return drop(x) if x.shape[-1] == 1024 else (x, np.ones_like(x))


def only_narrow(drop, x):
    """Dropout of residuals, not of hidden units."""
    return drop(x) if x.shape[-1] != 1024 else (x, np.ones_like(x))


def refusal(case, made):
    """Why an answer is refused."""
    data = Data(case)
    try:
        step_right(made)(case, data, made(case, data))
    except validity.InvalidAnswerError as error:
        return str(error)
    return None


SLIGHTLY = np.float32(1.001)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, None),
        *(
            ({"changes": {name: lambda a: a * SLIGHTLY}}, f"{name} is not that of the network")
            for name in ("y", "dx", *shapes(256))
        ),
        ({"changes": {"dx": lambda a: a.astype(np.float64)}}, "dx is float64"),
        ({"erf": tanh_instead}, "is not that of the network"),
        ({"p": 0.3}, "what dropout changes is another"),
        ({"drop": only_wide}, "what dropout changes is another"),
        ({"drop": only_narrow}, "what dropout changes is another"),
        ({"seeds": 5}, "two answers in a row are equal"),
    ],
)
def test_another_step_is_refused(wrong, words):
    case, made = Case("transformer_step", 64 * KI, p=0.5, direction=None), functools.partial(build, **wrong)
    reason = refusal(case, made)
    assert (reason is None) == (words is None), reason
    assert words is None or re.search(words, reason), reason


def test_a_step_that_does_not_learn_is_refused():
    def made(case, data):
        job = build(case, data)
        losses = iter(range(100))
        return Job(lambda: next(losses), job.answer)

    assert "the loss went from 0" in refusal(STEP, made)
