# SPDX-License-Identifier: BSD-3-Clause
"""Kinds, Monte Carlo and schedules refuse what is wrong: the argument, what came, what is wanted."""

import numpy as np
import pytest

import fastdrop as fd
from refusal import refuse

X = np.ones((2, 3, 4, 5), np.float32)


def test_axes():
    refuse(
        lambda: fd.channel_dropout(X, channel_axis=4),
        ValueError, "channel_axis must be an axis of an array of 4 axes, not 4",
    )  # fmt: skip
    refuse(
        lambda: fd.channel_dropout(X, channel_axis=0),
        ValueError,
        "channel_axis must not be 0, which is sample",
    )
    refuse(
        lambda: fd.channel_dropout(X, channel_axis=-4),
        ValueError,
        "channel_axis must not be 0, which is sample",
    )
    refuse(
        lambda: fd.channel_dropout(X, channel_axis=1.0), TypeError, "channel_axis must be an integer, not 1.0"
    )
    refuse(lambda: fd.locked_dropout(X, time_axis=-5), ValueError, "time_axis must be an axis", "-5")
    refuse(lambda: fd.LockedDropout(time_axis="0"), TypeError, "time_axis must be an integer")
    refuse(lambda: fd.LockedDropout(time_axis=4)(X), ValueError, "time_axis must be an axis", "4 axes, not 4")
    refuse(lambda: fd.drop_path(np.float32(1), 0.5), ValueError, "sample_axis must be an axis", "0 axes")
    refuse(lambda: fd.DropPath(sample_axis=True), TypeError, "sample_axis must be an integer, not True")
    refuse(lambda: fd.DropConnect(row_axis=0.5), TypeError, "row_axis must be an integer")
    refuse(lambda: fd.drop_connect(X, row_axis=7), ValueError, "row_axis must be an axis", "not 7")
    for call in (
        lambda: fd.locked_dropout(X, time_axis=None),
        lambda: fd.drop_path(X, sample_axis=None),
        lambda: fd.channel_dropout(X, channel_axis=None),
    ):
        with pytest.raises(TypeError, match="_axis must be an integer, not None"):
            call()
    for layer in (
        lambda: fd.LockedDropout(time_axis=0, noise_shape=(1,)),
        lambda: fd.DropPath(noise_shape=(1,)),
    ):
        with pytest.raises(TypeError, match="noise_shape"):
            layer()
    with pytest.raises(TypeError, match="time_axis"):
        fd.LockedDropout(0.5)


@pytest.mark.parametrize("call", [fd.embedding_dropout, fd.EmbeddingDropout(0.5)])
def test_tables(call):
    refuse(
        lambda: call(X),
        ValueError,
        "table must have the two axes (rows, columns), not the shape (2, 3, 4, 5)",
    )
    refuse(lambda: call(X[0, 0].astype(int)), TypeError, "table must be an array of", "asarray")


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (fd.Dropout1d(), "3 axes (N, C, L) of batched=True"),
        (fd.Dropout1d(batched=False), "2 axes (C, L) of batched=False"),
        (fd.Dropout2d(batched=False), "3 axes (C, H, W) of batched=False"),
        (fd.Dropout3d(channel_axis=-1), "5 axes (N, D, H, W, C) of batched=True"),
        (fd.DropBlock1d(block_size=2, channel_axis=2), "3 axes (N, L, C) of batched=True"),
        (fd.DropBlock2d(block_size=2, batched=False, channel_axis=2), "3 axes (H, W, C) of batched=False"),
    ],
)  # fmt: skip
def test_the_rank_is_the_stated_one(layer, names):
    """Also in evaluation: a network must not fail only when it is trained."""
    for training in (True, False):
        layer.train(training)
        refuse(lambda: layer(X), ValueError, f"x must have the {names}, not the shape (2, 3, 4, 5)")


@pytest.mark.parametrize("make", [fd.Dropout2d, lambda **options: fd.DropBlock2d(block_size=1, **options)])
def test_feature_maps(make):
    refuse(lambda: make(batched=1), TypeError, "batched must be a bool, not 1 of type int")
    refuse(lambda: make(channel_axis=0), ValueError, "channel_axis must not be 0 with batched=True")
    refuse(
        lambda: make(channel_axis=4), ValueError, "channel_axis must be an axis of an array of 4 axes, not 4"
    )
    refuse(lambda: make(batched=False, channel_axis=3), ValueError, "channel_axis must be an axis", "3 axes")
    refuse(lambda: make(p=2), ValueError, "p must be from 0 to 1")


def test_blocks():
    refuse(lambda: fd.DropBlock2d(block_size=0), ValueError, "block_size must be at least 1")
    refuse(lambda: fd.DropBlock2d(block_size=1.5), TypeError, "block_size must be an integer")
    wanted = "block_size must be at most 4, the length of axis 2, not 5"
    for training in (True, False):
        refuse(lambda: fd.drop_block(X, block_size=5, training=training), ValueError, wanted)  # noqa: B023
    refuse(lambda: fd.drop_block(X, block_size=2, channel_axis=0), ValueError, "channel_axis must not be 0")
    refuse(
        lambda: fd.drop_block(X, 0.5, block_size=2, keep_prob=0.5), ValueError, "keep_prob must not be given"
    )
    refuse(lambda: fd.drop_block(X, block_size=2, rng="a"), TypeError, "rng must be")
    rates = np.array([0.1, 0.2, 0.3])
    for call in (lambda: fd.drop_block(X, rates, block_size=2), lambda: fd.DropBlock2d(rates, block_size=2)):
        refuse(call, TypeError, "p must be one real number, not an array of the shape (3,)")


OUT = {
    "shape": (np.zeros((2, 3, 4, 6), np.float32), ValueError, "out must have the shape of x"),
    "dtype": (np.zeros(X.shape, np.float64), TypeError, "out must have the dtype of x"),
    "kind": ([1.0], TypeError, "out must be a numpy.ndarray"),
}


@pytest.mark.parametrize("wrong", OUT)
@pytest.mark.parametrize(
    "layer", [fd.Dropout2d(), fd.LockedDropout(time_axis=1), fd.DropPath(), fd.DropBlock2d(block_size=2)]
)
def test_out(layer, wrong):
    out, kind, text = OUT[wrong]
    refuse(lambda: layer(X, out=out), kind, text)
    assert not np.any(np.asarray(out) == 2)


def test_backward_needs_a_forward():
    refuse(
        lambda: fd.DropBlock1d(block_size=1).backward(X), ValueError, "backward needs the mask of a forward"
    )
    refuse(lambda: fd.DropPath().backward(X), ValueError, "backward needs the mask of a forward")


def test_unknown_keywords():
    for call in (fd.channel_dropout, fd.drop_path, fd.embedding_dropout, fd.drop_connect):
        with pytest.raises(TypeError, match="keyword"):
            call(X[0, 0], 0.5, noise=3)
    for make in (fd.Dropout2d, fd.DropPath, fd.EmbeddingDropout, fd.DropConnect):
        with pytest.raises(TypeError, match="keyword"):
            make(0.5, axis=3)


# --- Monte Carlo ----------------------------------------------------------------------------------


def answer(value):
    return lambda x, rng: np.asarray(value)


def test_mc_dropout():
    refuse(lambda: fd.mc_dropout(3, X, 5), TypeError, "fn must be a function of x and a MaskGenerator")
    refuse(lambda: fd.mc_dropout(answer(1.0), X, 0), ValueError, "samples must be at least 1")
    refuse(lambda: fd.mc_dropout(answer(1.0), X, 2.0), TypeError, "samples must be an integer")
    refuse(lambda: fd.mc_dropout(answer(1.0), X, 2, rng="a"), TypeError, "rng must be")
    refuse(
        lambda: fd.mc_dropout(answer([0.5, 0.5]), X, 2, class_axis=1),
        ValueError, "class_axis must be an axis of an array of 1 axes",
    )  # fmt: skip
    for logits in ([0.5, 0.6], [-0.5, 1.5], [np.nan, 1.0]):
        refuse(
            lambda: fd.mc_dropout(answer(logits), X, 2, class_axis=0),  # noqa: B023
            ValueError, "fn must return class probabilities", "softmax",
        )  # fmt: skip
    shapes = iter([(2, 3), (3,)])
    refuse(
        lambda: fd.mc_dropout(lambda x, rng: np.ones(next(shapes)), X, 2),
        ValueError, "fn must return the same shape each time, (2, 3), not (3,)",
    )  # fmt: skip
    result = fd.mc_dropout(answer(1.0), X, 2)
    refuse(lambda: result.generator(-1), ValueError, "sample must be at least 0")


# --- Schedules ------------------------------------------------------------------------------------


def test_schedules():
    refuse(lambda: fd.LinearSchedule(-0.1, 0.5, 10), ValueError, "start must be from 0 to 1")
    refuse(lambda: fd.LinearSchedule(0.1, np.zeros(2), 10), TypeError, "end must be one real number")
    refuse(lambda: fd.LinearSchedule(0.1, 1.5, 10), ValueError, "end must be from 0 to 1")
    refuse(lambda: fd.LinearSchedule(0.1, "0.5", 10), TypeError, "end must be a real number")
    refuse(lambda: fd.LinearSchedule(0.1, 0.5, 0), ValueError, "steps must be at least 1")
    refuse(lambda: fd.LinearSchedule(0.1, 0.5, 10)(-1), ValueError, "step must be at least 0")
    refuse(lambda: fd.CurriculumSchedule(1.1, 0.5), ValueError, "p must be from 0 to 1")
    refuse(lambda: fd.CurriculumSchedule(0.5, 0), ValueError, "rate must be above 0 and finite, not 0")
    refuse(lambda: fd.CurriculumSchedule(0.5, np.inf), ValueError, "rate must be above 0 and finite")
    refuse(lambda: fd.CurriculumSchedule(0.5, "1"), TypeError, "rate must be a real number")
    refuse(lambda: fd.CurriculumSchedule(0.5, 0.1)(1.5), TypeError, "step must be an integer")


def test_scheduler():
    drop = fd.Dropout(0.3)
    refuse(
        lambda: fd.Scheduler([drop], 0.5), TypeError, "schedule must be a function of the number of a step"
    )
    refuse(lambda: fd.Scheduler([drop], lambda step: 2.0), ValueError, "p must be from 0 to 1")
    assert drop.p == 0.3
    scheduler = fd.Scheduler([drop], lambda step: 0.1 * step)
    scheduler.step()
    for state in ({}, {"step_number": -1}, {"step_number": 11}):
        refuse(lambda: scheduler.load_state_dict(state), ValueError, "")  # noqa: B023
    refuse(lambda: scheduler.load_state_dict({"step_number": "1"}), TypeError, "state['step_number']")
    refuse(lambda: scheduler.load_state_dict(None), TypeError, "state must be a dict")
    assert (scheduler.step_number, drop.p) == (1, 0.1)


@pytest.mark.parametrize("answer", [None, (1.0, 2.0), "text", 1j], ids=repr)
def test_answers_that_are_none(answer):
    wanted = "fn must return an array of real numbers"
    refuse(lambda: fd.mc_dropout(lambda x, rng: answer, X, samples=2, rng=0), TypeError, wanted)


@pytest.mark.parametrize("layers", [[3], None, fd.Dropout()], ids=["number", "None", "layer"])
def test_layers_that_are_none(layers):
    refuse(lambda: fd.Scheduler(layers, lambda step: 0.5), TypeError, "layers must be an iterable of layers")
    refuse(
        lambda: fd.mc_dropout(lambda x, rng: x, X, samples=2, layers=layers),
        TypeError, "layers must be an iterable of layers",
    )  # fmt: skip


def test_a_scheduler_changes_all_layers_or_none():
    layers = [fd.Dropout(0.1), fd.GaussianDropout(0.1)]
    scheduler = fd.Scheduler(layers, lambda step: 0.2 + 0.8 * step)
    with pytest.raises(ValueError, match="p must be"):
        scheduler.step()  # Gaussian dropout has no p = 1
    assert [layer.p for layer in layers] == [0.2, 0.2]
