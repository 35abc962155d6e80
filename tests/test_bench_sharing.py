# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's cases of shared decisions and stored masks: their shapes, and who is refused."""

import math
import re

import numpy as np
import pytest

import fastdrop
from fastdrop.bench import validity
from fastdrop.bench.cases import IMAGES, KI, MI, Case, Choice, Data, plan
from fastdrop.bench.contenders import contenders_for
from fastdrop.bench.contenders.sharing import contender, shapes
from fastdrop.bench.goals import STORED
from fastdrop.bench.runner import valid_jobs

CHANNEL, LOCKED = Case("channel_dropout", 64 * KI), Case("locked_dropout", 64 * KI)


@pytest.mark.parametrize(
    ("case", "shape", "noise_shape"),
    [
        (Case("channel_dropout", 64 * 256 * 14 * 14), (64, 256, 14, 14), (64, 256, 1, 1)),
        (Case("channel_dropout", 8 * 64 * 56 * 56), (8, 64, 56, 56), (8, 64, 1, 1)),
        (CHANNEL, (1, 256, 16, 16), (1, 256, 1, 1)),
        (Case("channel_dropout", 98), (1, 2, 7, 7), (1, 2, 1, 1)),
        (Case("channel_dropout", 7), (1, 7, 1, 1), (1, 7, 1, 1)),
        (Case("locked_dropout", MI), (64, 32, 512), (1, 32, 512)),
        (LOCKED, (64, 32, 32), (1, 32, 32)),
        (Case("locked_dropout", 7), (7, 1, 1), (1, 1, 1)),
    ],
    ids=str,
)
def test_shapes_come_from_the_size(case, shape, noise_shape):
    assert shapes(case) == (shape, noise_shape)
    assert math.prod(shape) == case.size


def test_quick_times_both_shapes_of_images():
    cases = plan(Choice(quick=True, kinds=("channel_dropout",)), processors=1)
    assert {shapes(case)[0] for case in cases} == set(IMAGES.values())


def dropout_with(noise):
    """A contender whose masks have the shape that `noise` makes of the right shape and noise shape."""

    def make(case, x, y, noise_shape):
        rng = np.random.default_rng(0)
        scale = x.dtype.type(1 / (1 - case.p))

        def run():
            keep = rng.random(noise(x.shape, noise_shape)) >= case.p
            return np.where(keep, x * scale, x.dtype.type(0))

        return run

    return contender("somebody", ("numpy", "1"), "a test", make)


def refusal(one, case):
    try:
        one.check(case, data := Data(case), one.build(case, data))
    except validity.InvalidAnswerError as error:
        return str(error)
    return None


@pytest.mark.parametrize("case", [CHANNEL, LOCKED], ids=str)
def test_shared_decisions_pass(case):
    assert refusal(dropout_with(lambda shape, noise_shape: noise_shape), case) is None


@pytest.mark.parametrize(
    ("case", "noise"),
    [
        (CHANNEL, lambda shape, noise_shape: shape),
        (CHANNEL, lambda shape, noise_shape: (*shape[:3], 1)),
        (CHANNEL, lambda shape, noise_shape: (1, 1, *shape[2:])),
        (LOCKED, lambda shape, noise_shape: shape),
        (LOCKED, lambda shape, noise_shape: (shape[0], 1, 1)),
    ],
)
def test_decisions_that_are_not_shared_are_refused(case, noise):
    reason = refusal(dropout_with(noise), case)
    assert reason is not None
    assert re.fullmatch(r"decisions of \(.*\) are not shared as \(.*\) says", reason), reason


@pytest.mark.parametrize(
    "noise",
    [
        lambda shape, noise_shape: (1, 1, shape[2]),
        lambda shape, noise_shape: (1, shape[1], 1),
        lambda shape, noise_shape: (1, 1, 1),
    ],
)
def test_decisions_that_are_shared_too_widely_are_refused(noise):
    """Too few to agree and to drop as often as as many decisions as there should be."""
    reason = refusal(dropout_with(noise), Case("locked_dropout", 64 * KI, p=0.5))
    assert reason is not None
    assert re.search("zeros where|are not independent", reason), reason


@pytest.mark.parametrize(("dropped", "right"), [(110, True), (40, False)])
def test_the_rate_of_zeros_is_that_of_channels(dropped, right):
    """110 of 256 channels at p = 0.5 are chance; the same share of 65,536 elements would not be."""

    def make(case, x, y, noise_shape):
        rng, channels = np.random.default_rng(0), math.prod(noise_shape)

        def run():
            keep = rng.permutation(np.arange(channels) >= dropped).reshape(noise_shape)
            return np.where(keep, x * x.dtype.type(2), x.dtype.type(0))

        return run

    case = Case("channel_dropout", 64 * KI, p=0.5)
    reason = refusal(contender("somebody", ("numpy", "1"), "a test", make), case)
    assert (reason is None) == right
    assert right or reason.startswith("40 zeros where 128 ")


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_stored_and_replayed_gradients_are_equal(p):
    """Judged by NumPy: all contenders but the floors have one mask, so one answer but for rounding."""
    case = Case("stored_masks", 4 * KI, p=p, direction="backward")
    data = Data(case)
    keep = fastdrop.Mask(case.size, p, seed=0).to_numpy()
    for one in contenders_for(case, [], Choice()):
        if one.family != "floor":
            answer = one.build(case, data).answer().y
            np.testing.assert_array_equal(answer != 0, keep, err_msg=one.name)
            np.testing.assert_allclose(answer, np.where(keep, data.x / (1 - p), 0), rtol=3e-7)


def test_stored_masks_are_stored(monkeypatch):
    """Without `Mask.from_array` only the contenders that are named after it fail."""

    def fail(*_):
        raise validity.InvalidAnswerError("no stored masks")

    case = Case("stored_masks", KI, direction="backward")
    data, built, failed = Data(case), [], []
    monkeypatch.setattr(fastdrop.Mask, "from_array", fail)
    for one in contenders_for(case, [], Choice()):
        try:
            one.build(case, data)
            built.append(one.name)
        except validity.InvalidAnswerError:
            failed.append(one.name)
    assert failed == [f"fastdrop {isa}{STORED}" for isa in fastdrop.isas()]
    assert built


@pytest.mark.parametrize("kind", ["channel_dropout", "locked_dropout", "stored_masks"])
def test_all_but_the_textbook_have_bfloat16(kind):
    case = Case(kind, 4 * KI, "bfloat16", direction="backward" if kind == "stored_masks" else "forward")
    everybody = contenders_for(case, [], Choice(quick=True))
    able = [one for one in everybody if case.dtype in one.dtypes]
    jobs, refused = valid_jobs(case, able)
    assert refused == []
    unable = {one.name for one in everybody} - set(jobs)
    assert unable == {"numpy bools" if kind == "stored_masks" else "numpy textbook"}
