# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's softmax and attention: shapes, who does them, and who is refused for another job."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

import fastdrop
from fastdrop.__main__ import main
from fastdrop.bench import validity
from fastdrop.bench.attention import SCALE, Heads, Scores, result_bytes, shape
from fastdrop.bench.attention_validity import attention_right, softmax_right
from fastdrop.bench.cases import KI, MI, Case, Choice, Data, plan
from fastdrop.bench.contenders import contenders_for
from fastdrop.bench.job import Answer, Job
from fastdrop.bench.kinds import KINDS

BEST = f"fastdrop {fastdrop.isas()[0]}"
ATTENTION, CAUSAL = (Case(kind, 64 * KI, direction="both") for kind in ("attention", "causal_attention"))
SOFTMAX = Case("softmax_dropout", 64 * KI, direction="backward")
NO_BITS = np.float32(1 + 1e-3)


@pytest.mark.parametrize(
    ("size", "batch_heads_steps_features"),
    [
        (2 * MI, (16, 4, 512, 64)),
        (MI, (1, 4, 4096, 64)),
        (64 * KI, (2, 4, 128, 64)),
        (KI, (1, 1, 16, 64)),
        (1000, (125, 1, 1, 8)),
        (7, (7, 1, 1, 1)),
    ],
)
def test_shapes_come_from_the_size(size, batch_heads_steps_features):
    assert shape(size) == batch_heads_steps_features
    case = Case("attention", size)
    assert Heads(case, Data(case)).query.shape == batch_heads_steps_features
    assert f"x of {batch_heads_steps_features}" in case.about()


def test_rows_of_scores():
    assert Scores(replace(SOFTMAX, size=MI), Data(replace(SOFTMAX, size=MI))).x.shape == (4096, 256)
    assert Scores(replace(SOFTMAX, size=100), Data(replace(SOFTMAX, size=100))).x.shape == (25, 4)


@pytest.mark.parametrize(
    ("direction", "moved"), [("forward", "scores y weights"), ("backward", "dy weights dscores")]
)
def test_what_softmax_must_move(direction, moved):
    assert KINDS["softmax_dropout"].moved(direction) == tuple(moved.split())


@pytest.mark.parametrize(
    ("kind", "direction", "arrays"),
    [
        ("softmax_dropout", "forward", 2),
        ("softmax_dropout", "backward", 1),
        ("attention", "forward", 1),
        ("causal_attention", "both", 4),
    ],
)
def test_outputs_and_gradients_are_as_large_as_x(kind, direction, arrays):
    assert result_bytes(Case(kind, 1000, direction=direction)) == arrays * 4000


def test_cases():
    planned = plan(Choice(kinds=("attention", "causal_attention")), processors=2)
    large = {(case.kind, case.direction, case.threads) for case in planned if case.size == 2 * MI}
    assert large == {
        (k, d, t) for k in ("attention", "causal_attention") for d in ("forward", "both") for t in (1, 2)
    }
    assert {(case.direction, case.threads) for case in planned if case.size == MI} == {("both", 1)}
    softmaxes = plan(Choice(kinds=("softmax_dropout",)), processors=2)
    assert {(case.size, case.p, case.threads) for case in softmaxes} == {
        (size, p, threads) for size in (64 * KI, MI, 16 * MI) for p, threads in ((0.1, 1), (0.5, 1), (0.1, 2))
    }
    assert {case.dtype for case in (*planned, *softmaxes)} == {"float32"}


def test_the_answers_of_everybody_here_are_valid(capsys):
    few = ["bench", "--check", "--sizes", "8Ki", "--p", "0.5", "--threads", "1"]
    assert main([*few, "--op", "softmax,attention"]) == 0
    lines = capsys.readouterr().out.splitlines()[:-1]
    names = ["softmax_dropout forward", "softmax_dropout backward"]
    names += [f"{causal}attention {way}" for causal in ("", "causal_") for way in ("forward", "both")]
    assert [line.split(",")[0] for line in lines] == names
    assert all(line.endswith("answers are valid") for line in lines)


def test_a_table_with_peaks(capsys):
    few = ["bench", "--quick", "--sizes", "1Ki", "--p", "0.5", "--threads", "1", "--direction", "forward"]
    assert main([*few, "--op", "attention"]) == 0
    shown = capsys.readouterr().out
    assert "peak MB" in shown
    assert re.search(rf"^  {BEST} +\S+ us +([\d.]+|-) ", shown, re.MULTILINE)


def names(case):
    return [contender.name for contender in contenders_for(case, [], Choice())]


def test_who_does_it():
    ours = [f"fastdrop {isa}" for isa in fastdrop.isas()]
    everybody = ["np.copyto", "memcpy of all bytes", *ours, "numpy textbook", "numpy best"]
    assert names(SOFTMAX) == everybody
    two = ["np.copyto", "memcpy of all bytes", BEST, f"{BEST}, 1 thread"]
    assert names(replace(SOFTMAX, threads=2)) == two
    assert (
        names(ATTENTION) == names(replace(CAUSAL, threads=2)) == ["matrix products", BEST, "numpy textbook"]
    )


@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize(("kind", "size"), [("attention", 64 * KI), ("causal_attention", 64 * KI)])
def test_the_products_alone_do_as_many_multiplications(monkeypatch, kind, size, direction):
    """Two forwards and five more backwards; of a causal one, for each row the block that it lies in."""
    done = []
    original = np.matmul

    def counted(left, right, **out):
        done.append(left.shape[0] * left.shape[1] * right.shape[1])
        return original(left, right, **out)

    monkeypatch.setattr(np, "matmul", counted)
    case = Case(kind, size, direction=direction)
    contenders_for(case, [], Choice())[0].build(case, Data(case)).run()
    batch, heads, steps, features = shape(size)
    seen = steps * steps if kind == "attention" else sum(64 * last for last in range(64, steps + 1, 64))
    assert sum(done) == (2 if direction == "forward" else 7) * batch * heads * seen * features


def refusal(check, case, job):
    """Why an answer is refused."""
    try:
        check(case, Data(case), job)
    except validity.InvalidAnswerError as error:
        return str(error)
    return None


def named(contender, case, data):
    return next(c for c in contenders_for(case, [], Choice()) if c.name == contender).build(case, data)


def changed(case, data, changes):
    """The job of textbook NumPy, with results replaced by functions of the results and the data."""
    answer = named("numpy textbook", case, data).answer

    def altered():
        got = answer()
        results = {"y": got.y, "dx": got.dx, **got.others}
        results |= {name: change(results, data) for name, change in changes.items()}
        results = {name: None if o is None else np.float32(o) for name, o in results.items()}
        return Answer(results.pop("y"), results.pop("dx"), others=results)

    return Job(altered, altered)


def softmax_of(x, scale=SCALE):
    e = np.exp(np.float64(x) * scale)
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"weights": lambda o, d: softmax_of(d.x.reshape(-1, 256), 1)}, "weights are not the softmax"),
        ({"weights": lambda o, d: o["weights"] * NO_BITS}, "weights are not the softmax"),
        ({"weights": lambda o, d: o["weights"][:-1]}, r"weights is float32 \(255, 256\), not float32"),
        ({"y": lambda o, d: o["y"] * 0.9}, "y is neither what is kept nor what is dropped"),
        ({"y": lambda o, d: o["y"] * NO_BITS}, "y is neither"),
        ({"y": lambda o, d: o["weights"] / 0.9}, "dx is not the gradient"),
        ({"y": lambda o, d: o["weights"] / 0.9, "dx": lambda o, d: None}, "0 zeros where"),
        ({"y": lambda o, d: np.repeat(o["weights"][:, :1], 256, 1) / 0.9}, "y is neither"),
        ({"dx": lambda o, d: o["dx"] * NO_BITS}, "dx is not the gradient"),
        ({"dx": lambda o, d: o["dx"] / SCALE}, "dx is not the gradient"),
        ({"dx": lambda o, d: o["dx"] + o["weights"] * np.float32(1e-3)}, "dx is not the gradient"),
    ],
)
def test_another_softmax_is_refused(changes, words):
    reason = refusal(softmax_right, SOFTMAX, changed(SOFTMAX, Data(SOFTMAX), changes))
    assert (reason is None) == (words is None), reason
    assert words is None or re.search(words, reason), reason


def test_a_softmax_with_the_same_mask_again_is_refused():
    case = replace(SOFTMAX, direction="forward")

    def run():
        return named("numpy textbook", case, Data(case)).answer()  # whose seed is 0 each time

    assert "two masks in a row agree" in refusal(softmax_right, case, Job(run, run))


@pytest.mark.parametrize("case", [ATTENTION, CAUSAL], ids=lambda case: case.kind)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        *(
            ({name: lambda o, d, name=name: o[name] * NO_BITS}, f"{name} is not that of attention")
            for name in ("y", "dquery", "dkey", "dvalue")
        ),
        ({"dquery": lambda o, d: o["dkey"]}, "dquery is not that of attention"),
        ({"y": lambda o, d: o["y"].reshape(-1)}, r"y is float32 \(65536,\), not float32"),
    ],
)
def test_another_attention_is_refused(case, changes, words):
    def build(case, data):
        return changed(case, data, changes)

    reason = refusal(attention_right(build), case, build(case, Data(case)))
    assert (reason is None) == (words is None), reason
    assert words is None or re.search(words, reason), reason


def test_attention_that_is_not_causal_is_refused():
    def build(case, data):
        return named("numpy textbook", replace(case, kind="attention"), data)

    assert "is not that of attention" in refusal(attention_right(build), CAUSAL, build(CAUSAL, Data(CAUSAL)))


class Dropping:
    """Attention whose dropout goes wrong, where there is any."""

    def __init__(self, p=0.1, scale=1 / 0.9, new_masks=True, same_mask=True):
        self.p, self.scale, self.new_masks, self.same_mask = p, scale, new_masks, same_mask

    def build(self, case, data):
        case = case if case.p == 0 else replace(case, p=self.p)
        job = named("numpy textbook", case, data)

        def answer():
            got = (job if self.new_masks else named("numpy textbook", case, data)).answer()
            factor = np.float32(1 if case.p == 0 else self.scale * (1 - self.p))
            others = got.others if self.same_mask or case.p == 0 else job.answer().others
            return Answer(got.y * factor, others={name: array * factor for name, array in others.items()})

        return Job(answer, answer)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Dropping(), None),
        (Dropping(p=1e-9, scale=1.0), "its mean square is another"),
        (Dropping(p=0.2, scale=1 / 0.8), "its mean square is another"),
        (Dropping(scale=1.0), "its mean is another"),
        (Dropping(new_masks=False), "two masks in a row agree"),
        (Dropping(same_mask=False), "dvalue is not by the mask of the forward pass"),
    ],
)
def test_attention_with_another_dropout_is_refused(wrong, words):
    job = wrong.build(ATTENTION, Data(ATTENTION))
    reason = refusal(attention_right(wrong.build), ATTENTION, job)
    assert (reason is None) == (words is None), reason
    assert words is None or re.search(words, reason), reason


def test_attention_that_drops_nothing_may_be_meant():
    def build(case, data):
        return named("numpy textbook", replace(case, p=0.0), data)

    job = build(ATTENTION, Data(ATTENTION))
    assert refusal(attention_right(build, drops=False), ATTENTION, job) is None
    assert math.isclose(Heads(ATTENTION, Data(ATTENTION)).scale, 1 / 8)
