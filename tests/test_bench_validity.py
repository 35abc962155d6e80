# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's eye for wrong answers: every contender passes, and nobody who does another job."""

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

import fastdrop
from fastdrop import reference
from fastdrop.bench import validity
from fastdrop.bench.cases import DTYPES, KI, Case, Choice, Data, plan
from fastdrop.bench.contenders import Contender, contenders_for, train_step
from fastdrop.bench.contenders.rivals import MODULES, rivals
from fastdrop.bench.job import Answer, Job
from fastdrop.bench.kinds import DIRECTIONS
from fastdrop.bench.runner import BenchError, valid_jobs

AVAILABLE, _MISSING = rivals(tuple(MODULES), threads=1)
SMALL_CASES = [
    replace(case, size=min(case.size, 4 * KI))
    for case in plan(Choice(check=True), processors=2)
    if case.kind not in ("train_step", "structured")
]
# What somebody may ask for with --dtype.
SMALL_CASES += [
    Case(kind, 4 * KI, dtype, direction=direction)
    for kind in ("alpha_dropout", "gaussian_dropout")
    for dtype in DTYPES
    for direction in DIRECTIONS
]


@pytest.mark.parametrize("case", dict.fromkeys(SMALL_CASES), ids=str)
def test_every_contender_gives_a_valid_answer(case):
    contenders = [one for one in contenders_for(case, AVAILABLE, Choice()) if case.dtype in one.dtypes]
    jobs, refused = valid_jobs(case, contenders)
    assert refused == []
    assert list(jobs) == [contender.name for contender in contenders]  # and no two share a name


@pytest.mark.slow
def test_every_training_step_is_valid():
    case = Case("train_step", 128 * 1024, p=0.5, direction=None)
    assert valid_jobs(case, contenders_for(case, [], Choice()))[1] == []


def test_the_training_step_follows_the_gradient():
    """Judged by the textbook's formulas; the same sums in the same order, so the numbers are equal."""
    layers = [fastdrop.Dropout(0.5, rng=seed) for seed in (1, 2)]
    network = train_step.Network(layers)
    before = [weight.copy() for weight in network.weights]
    network.step()
    scaled = [layer.mask.to_numpy() * np.float32(2) for layer in layers]

    h1 = np.maximum(network.x @ before[0], 0)
    d1 = h1 * scaled[0]
    h2 = np.maximum(d1 @ before[1], 0)
    d2 = h2 * scaled[1]
    logits = d2 @ before[2]
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    slope = (probability - np.eye(10, dtype=np.float32)[network.labels]) / np.float32(len(network.labels))
    slope2 = (slope @ before[2].T) * scaled[1] * (h2 > 0)
    slope1 = (slope2 @ before[1].T) * scaled[0] * (h1 > 0)
    gradients = [network.x.T @ slope1, d1.T @ slope2, d2.T @ slope]

    for weight, old, gradient in zip(network.weights, before, gradients, strict=True):
        np.testing.assert_array_equal(weight, old - gradient * np.float32(0.05))


KINDS_AND_DIRECTIONS = [
    *itertools.product(("dropout", "alpha_dropout", "gaussian_dropout"), DIRECTIONS),
    *itertools.product(("threads", "channel_dropout", "locked_dropout"), ("forward",)),
    ("stored_masks", "backward"),
    ("keep_mask", None),
]


@pytest.mark.parametrize(("kind", "direction"), KINDS_AND_DIRECTIONS)
def test_every_contender_runs_on_the_isa_and_threads_of_its_name(kind, direction):
    case = Case(kind, KI, "bool" if kind == "keep_mask" else "float32", threads=2, direction=direction)
    before = fastdrop.isa(), fastdrop.get_num_threads()
    ours = [one for one in contenders_for(case, [], Choice()) if one.family == "fastdrop"]
    assert {one.name.removesuffix(", 1 thread").split()[1] for one in ours} >= {fastdrop.isas()[0]}
    for contender in ours:
        with contender.build(case, Data(case)).setting():
            assert fastdrop.isa() == contender.name.removesuffix(", 1 thread").split()[1]
            assert fastdrop.get_num_threads() == (1 if "1 thread" in contender.name else 2)
        assert (fastdrop.isa(), fastdrop.get_num_threads()) == before


def dropout_by(x, keep, p, scale=1.0):
    return np.where(keep, x * x.dtype.type(scale / (1 - p)), 0).astype(x.dtype)


def fair(rng, case):
    return rng.random(case.size) >= case.p


def groups(width):
    """Masks in which `width` neighbours share one random number."""

    def keep(rng, case):
        return np.repeat(rng.random(case.size // width) >= case.p, width)

    return keep


def lanes(width):
    """Masks in which elements `width` apart share one random number."""

    def keep(rng, case):
        return np.tile(rng.random((case.size // (2 * width), 1, width)) >= case.p, (1, 2, 1)).ravel()

    return keep


def wrong(draw=fair, forward=dropout_by, backward=None):
    """An answer to a case by those masks and passes; the default ones make a right answer."""

    def build(case, data):
        rng = np.random.default_rng(0)

        def answer():
            keep = draw(rng, case)
            y = forward(data.x, keep, case.p)
            again = keep if backward is None else backward(rng, case)
            return Answer(y, dropout_by(data.dy, again, case.p) if case.direction == "both" else None)

        return Job(answer, answer)

    return Contender("somebody", "numpy", "1", "a test", build)


def refusal(contender, case):
    try:
        contender.check(case, data := Data(case), contender.build(case, data))
    except validity.InvalidAnswerError as error:
        return str(error)
    return None


CASE = Case("dropout", 64 * KI, p=0.1, direction="both")
WRONG = {
    "forgets the scale": (
        wrong(forward=lambda x, keep, p: x * keep),
        r"y is not 1.11111 \* x where it kept",
    ),
    "scale a little off": (
        wrong(forward=lambda x, keep, p: dropout_by(x, keep, p, 1 + 1e-6)),
        r"y is not 1.11111 \* x where it kept",
    ),
    "leaks where it drops": (
        wrong(forward=lambda x, keep, p: np.where(keep, x / x.dtype.type(1 - p), x)),
        r"y is not 1.11111 \* x where it kept",
    ),
    "one bit for four neighbours": (wrong(groups(4)), "neighbours 1 apart agree .* not independent"),
    "one bit for two neighbours": (wrong(groups(2)), "neighbours 1 apart agree"),
    "one bit for lanes 8 apart": (wrong(lanes(8)), "neighbours 8 apart agree"),
    "one bit for lanes 1024 apart": (wrong(lanes(1024)), "neighbours 1024 apart agree"),
    "p too small": (wrong(lambda rng, case: rng.random(case.size) >= 0.9 * case.p), "zeros where 6554"),
    "p in eighths": (wrong(lambda rng, case: rng.integers(0, 8, case.size) >= 1), "zeros where"),
    "drops nothing": (wrong(lambda rng, case: np.ones(case.size, bool)), "0 zeros where"),
    "drops everything": (wrong(lambda rng, case: np.zeros(case.size, bool)), "65536 zeros where"),
    "every tenth": (wrong(lambda rng, case: np.arange(case.size) % 10 > 0), "two masks in a row agree"),
    "the same mask every time": (
        wrong(lambda rng, case: np.random.default_rng(1).random(case.size) >= case.p),
        "two masks in a row agree",
    ),
    "a new mask for the gradient": (wrong(backward=fair), "dx is zero elsewhere than y"),
    "the gradient of everything": (
        wrong(backward=lambda rng, case: np.ones(case.size, bool)),
        "dx is zero elsewhere than y",
    ),
    "float64 for float32": (
        wrong(forward=lambda x, keep, p: (x * keep / (1 - p)).astype(np.float64)),
        "y is float64 .* not float32",
    ),
    "another shape": (
        wrong(forward=lambda x, keep, p: dropout_by(x, keep, p).reshape(2, -1)),
        r"y is float32 \(2, 32768\), not float32 \(65536,\)",
    ),
}  # fmt: skip


def test_a_right_answer_passes():
    assert refusal(wrong(), CASE) is None


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_refused(name):
    contender, words = WRONG[name]
    reason = refusal(contender, CASE)
    assert reason is not None
    assert re.search(words, reason), reason


def wrong_noise(scale=1.0, neighbours=1, again=lambda rng, noise: noise, seeds=None):
    """A contender of Gaussian dropout; the default values make a right one."""

    def build(case, data):
        deviation = scale * math.sqrt(case.p / (1 - case.p))
        rng = np.random.default_rng(0)

        def answer():
            source = rng if seeds is None else np.random.default_rng(seeds)
            noise = np.repeat(source.normal(1, deviation, case.size // neighbours), neighbours)
            y, dx = data.x * noise, data.dy * again(rng, noise)
            return Answer(y.astype(data.x.dtype), dx.astype(data.x.dtype))

        return Job(answer, answer)

    return Contender("somebody", "numpy", "1", "a test", build, validity.gaussian_dropped)


@pytest.mark.parametrize(
    ("contender", "words"),
    [
        (wrong_noise(), None),
        (wrong_noise(scale=1.1), "their variance"),
        (wrong_noise(neighbours=2), "neighbours 1 apart"),
        (wrong_noise(seeds=1), "two calls"),
        (wrong_noise(again=lambda rng, noise: rng.permutation(noise)), "dx has other factors than y"),
        (wrong_noise(again=lambda rng, noise: np.ones_like(noise)), "dx has other factors than y"),
    ],
)
def test_wrong_noise_is_refused(contender, words):
    reason = refusal(contender, Case("gaussian_dropout", 64 * KI, p=0.1, direction="both"))
    assert (reason is None) == (words is None)
    assert words is None or words in reason


def wrong_alpha(shift=1.0, becomes=1.0, slope=1.0, draw=fair):
    """A contender of alpha dropout whose constants are those that are right, times these factors."""

    def build(case, data):
        rng = np.random.default_rng(0)
        a, b, d = reference.affine(case.p)

        def answer():
            keep = draw(rng, case)
            y = np.where(keep, a * data.x + shift * b, becomes * d)
            dx = np.where(keep, slope * a * data.dy, 0)
            return Answer(y.astype(data.x.dtype), dx.astype(data.x.dtype))

        return Job(answer, answer)

    return Contender("somebody", "numpy", "1", "a test", build, validity.alpha_dropped)


@pytest.mark.parametrize(
    ("contender", "words"),
    [
        (wrong_alpha(), None),
        (wrong_alpha(shift=0.0), "y is not .* where it kept"),
        (wrong_alpha(becomes=0.0), "y is not .* where it kept"),
        (wrong_alpha(slope=1.01), r"dx is not [0-9.]* \* dy where it kept"),
        (wrong_alpha(draw=groups(2)), "neighbours 1 apart agree"),
        (wrong_alpha(draw=lambda rng, case: np.arange(case.size) % 10 > 0), "two masks in a row agree"),
    ],
)
def test_wrong_alpha_dropout_is_refused(contender, words):
    reason = refusal(contender, Case("alpha_dropout", 64 * KI, p=0.1, direction="both"))
    assert (reason is None) == (words is None)
    assert words is None or re.search(words, reason), reason


@pytest.mark.parametrize(("draw", "words"), [(fair, None), (groups(2), "neighbours 1 apart agree")])
def test_wrong_masks_are_refused(draw, words):
    def build(case, data):
        rng = np.random.default_rng(0)
        return Job(lambda: None, lambda: Answer(draw(rng, case)))

    case = Case("keep_mask", 64 * KI, "bool", direction=None)
    reason = refusal(Contender("somebody", "numpy", "1", "a test", build, validity.drawn), case)
    assert (reason is None) == (words is None)
    assert words is None or words in reason


def test_who_is_refused_is_named_and_not_timed():
    contenders = [*contenders_for(CASE, [], Choice(quick=True)), WRONG["forgets the scale"][0]]
    jobs, refused = valid_jobs(CASE, contenders)
    assert "somebody" not in jobs
    assert len(jobs) == len(contenders) - 1
    assert refused == [f"REFUSED, so not timed: somebody in {CASE}: y is not 1.11111 * x where it kept"]


def test_a_case_without_its_floor_is_not_measured():
    floor = contenders_for(CASE, [], Choice(quick=True))[0]
    broken = Contender(floor.name, "floor", "", "copies nothing", wrong().build, validity.copied)
    with pytest.raises(BenchError, match="without its floor"):
        valid_jobs(CASE, [broken, *contenders_for(CASE, [], Choice(quick=True))[1:]])


@pytest.mark.parametrize("count", [1, 64, 4096, 2**20, 2**24])
@pytest.mark.parametrize("mean", [1e-6, 0.1, 0.5, 0.82])
def test_bernsteins_bound_holds(count, mean):
    """Judged by the exact binomial tails."""
    allowed = validity.tolerance(count, mean)
    exact = scipy.stats.binom(count, mean)
    above = exact.sf(math.floor(count * mean + allowed))
    below = exact.cdf(math.ceil(count * mean - allowed) - 1)
    assert above + below <= 1e-12
