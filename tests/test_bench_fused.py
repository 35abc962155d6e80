# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's fused operations: what must be moved, who does them, and who is refused for another job."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

import fastdrop
from fastdrop.__main__ import main
from fastdrop.bench import validity
from fastdrop.bench.cases import KI, MI, Case, Choice, Data, plan
from fastdrop.bench.contenders import contenders_for, floors, fused_numpy
from fastdrop.bench.fused import CALL, EPS, FUSED, Operands, shape
from fastdrop.bench.fused_validity import right
from fastdrop.bench.job import Answer, Job
from fastdrop.bench.kinds import KINDS

NORMS = ["add_layer_norm", "add_rms_norm"]
BEST = f"fastdrop {fastdrop.isas()[0]}"


@pytest.mark.parametrize(
    ("kind", "direction", "moved"),
    [
        ("bias_relu", "forward", "x y"),
        ("bias_relu", "backward", "dy y dx"),
        ("bias_relu", "both", "x y dy y dx"),
        ("bias_residual", "forward", "x residual y"),
        ("bias_residual", "backward", "dy dx"),
        *((f"bias_{name}", "forward", "x y") for name in ("gelu", "gelu_tanh", "silu")),
        *((f"bias_{name}", "backward", "dy x dx") for name in ("gelu", "gelu_tanh", "silu")),
        *((norm, "forward", "x residual y h") for norm in NORMS),
        *((norm, "backward", "dy h dx dresidual") for norm in NORMS),
    ],
)
def test_what_must_be_moved(kind, direction, moved):
    """Judged by the formulas: what a pass reads and writes of the size of x."""
    case = Case(kind, 64 * KI, direction=direction)
    assert KINDS[kind].moved(direction) == tuple(moved.split())
    assert case.moved_bytes == len(moved.split()) * 64 * KI * 4
    assert case.about().endswith(f"moving {moved}")


@pytest.mark.parametrize(("kind", "direction"), [("bias_relu", "backward"), ("add_layer_norm", "forward")])
def test_the_floor_copies_as_many_bytes(monkeypatch, kind, direction):
    copied = []
    monkeypatch.setattr(floors, "memcpy_call", lambda to, source: copied.append((to, source)))
    case = Case(kind, 4 * KI, direction=direction)
    contenders_for(case, [], Choice())[1].build(case, Data(case))
    ((to, source),) = copied
    assert to.nbytes + source.nbytes == case.moved_bytes


@pytest.mark.parametrize(
    ("size", "rows_and_features"),
    [
        (64 * KI, (64, 1024)),
        (MI, (1024, 1024)),
        (16 * MI, (16 * KI, 1024)),
        (CALL, (64, 16)),
        (4 * KI, (64, 64)),
        (1000, (200, 5)),
        (7, (7, 1)),
    ],
)
def test_shapes_come_from_the_size(size, rows_and_features):
    assert shape(size) == rows_and_features


def test_fused_is_all_of_them(capsys):
    few = ["bench", "--check", "--quick", "--sizes", "1Ki", "--p", "0.5", "--threads", "1"]
    assert main([*few, "--op", "fused"]) == 0
    lines = capsys.readouterr().out.splitlines()[:-1]
    assert [line.split(",")[0] for line in lines] == [
        f"{kind} {direction}" for kind in FUSED for direction in ("forward", "backward")
    ]
    assert main([*few, "--op", "bias-relu,add-rms-norm", "--direction", "backward"]) == 0
    lines = capsys.readouterr().out.splitlines()[:-1]
    assert [line.split(",")[0] for line in lines] == ["bias_relu backward", "add_rms_norm backward"]


def test_sizes_probabilities_and_threads():
    cases = plan(Choice(quick=True, kinds=("bias_gelu",)), processors=2)
    assert {(case.size, case.p, case.threads) for case in cases} == {
        *((size, p, 1) for size in (64 * KI, MI, 16 * MI) for p in (0.1, 0.5)),
        *((size, 0.1, 2) for size in (64 * KI, MI, 16 * MI)),
        (CALL, 0.1, 1),
    }
    assert {case.dtype for case in cases} == {"float32"}
    assert not any(case.kind in FUSED for case in plan(Choice(quick=True, goals=True), processors=2))


def names(case, choice=None):
    return [contender.name for contender in contenders_for(case, [], choice or Choice())]


def test_two_threads_stand_beside_one():
    case = Case("bias_relu", MI, threads=2)
    assert names(case) == ["np.copyto", "memcpy of all bytes", BEST, f"{BEST}, 1 thread"]


@pytest.mark.parametrize("kind", FUSED)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_in_place_where_the_backward_pass_does_without_x(kind, direction):
    in_place = (kind, direction) == ("bias_relu", "forward")
    assert any("in place" in name for name in names(Case(kind, MI, direction=direction))) == in_place


def test_without_scipy_numpy_has_no_error_function(monkeypatch):
    monkeypatch.setattr(fused_numpy, "find_spec", lambda name: None)
    assert "numpy best" not in names(Case("bias_gelu", MI))
    assert "numpy best" in names(Case("bias_gelu_tanh", MI))


def test_no_other_library_unless_it_is_asked_for():
    assert {one.family for one in contenders_for(Case("bias_relu", MI), [], Choice())} == {
        "floor",
        "fastdrop",
        "numpy",
    }


def refusal(case, answer):
    """Why an answer is refused; `answer` makes it of the case's operands."""
    operands = Operands(case, data := Data(case))

    def run():
        return answer(operands)

    try:
        right(case, data, Job(run, run))
    except validity.InvalidAnswerError as error:
        return str(error)
    return None


def altered(case, **changes):
    """What NumPy's best gives, with outputs replaced by functions of the outputs and the operands."""
    data = Data(case)
    job = next(c for c in contenders_for(case, [], Choice()) if c.name == "numpy best").build(case, data)

    def answer(operands):
        got = job.answer()
        outputs = {"y": got.y, "dx": got.dx, **got.others}
        outputs |= {name: change(outputs, operands) for name, change in changes.items()}
        outputs = {name: None if o is None else o.astype(np.float32) for name, o in outputs.items()}
        return Answer(outputs.pop("y"), outputs.pop("dx"), others=outputs)

    return answer


def normalized(h, ddof):
    return (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True, ddof=ddof) + EPS)


def tanh_gelu(t):
    return 0.5 * t * (1 + np.tanh(math.sqrt(2 / math.pi) * (t + 0.044715 * t**3)))


RELU, GELU, RESIDUAL, NORM = (
    Case(kind, 64 * KI, p=0.1, direction="both")
    for kind in ("bias_relu", "bias_gelu", "bias_residual", "add_layer_norm")
)
RMS = replace(NORM, kind="add_rms_norm")
NO_BITS = np.float32(1 + 1e-5)  # 80 roundings: more than any of the bounds allow for


@pytest.mark.parametrize(
    ("case", "changes", "words"),
    [
        *((case, {}, None) for case in (RELU, GELU, RESIDUAL, NORM, RMS)),
        (RELU, {"y": lambda o, a: o["y"] * 0.9}, "y is neither what is kept nor what is dropped"),
        (RELU, {"y": lambda o, a: o["y"] * NO_BITS}, "y is neither"),
        (RELU, {"y": lambda o, a: np.where(o["y"] > 0, np.maximum(a.x, 0) / 0.9, 0)}, "y is neither"),
        (GELU, {"y": lambda o, a: np.where(o["y"] != 0, tanh_gelu(a.x + a.bias) / 0.9, 0)}, "y is neither"),
        (RESIDUAL, {"y": lambda o, a: o["y"] - a.residual}, "y is neither"),
        (NORM, {"h": lambda o, a: o["h"] - a.residual}, "h is neither"),
        (NORM, {"y": lambda o, a: normalized(o["h"], 1) * a.weight + a.bias}, "y is not the norm of h"),
        (NORM, {"y": lambda o, a: o["y"] - a.bias}, "y is not the norm of h"),
        (RMS, {"y": lambda o, a: normalized(o["h"], 0) * a.weight}, "y is not the norm of h"),
        (RELU, {"dx": lambda o, a: a.dy / 0.9}, "dx is not the gradient of this forward pass"),
        (RELU, {"dx": lambda o, a: o["dx"] * NO_BITS}, "dx is not the gradient"),
        (GELU, {"dx": lambda o, a: a.dy * (o["y"] != 0) / 0.9}, "dx is not the gradient"),
        (RESIDUAL, {"dx": lambda o, a: a.dy / 0.9}, "dx is not the gradient of this forward pass"),
        (RELU, {"dbias": lambda o, a: o["dbias"] * 2}, "dbias is not the sum"),
        (RELU, {"dbias": lambda o, a: o["dx"][:32].sum(0)}, "dbias is not the sum"),
        (NORM, {"dresidual": lambda o, a: a.dy}, "dresidual is not the gradient of the norm"),
        (NORM, {"dresidual": lambda o, a: o["dresidual"] + 1e-3}, "dresidual is not the gradient"),
        (NORM, {"dx": lambda o, a: o["dresidual"]}, "dx is not the gradient"),
        *(
            (NORM, {name: lambda o, a: a.weight}, f"{name} is not the sum")
            for name in ("dweight", "dbias", "dx_bias")
        ),
        (RELU, {"y": lambda o, a: o["y"][:, :-1]}, r"y is float32 \(64, 1023\), not float32 \(64, 1024\)"),
        (RELU, {"dbias": lambda o, a: o["dx"]}, r"dbias is float32 \(64, 1024\), not float32 \(1024,\)"),
    ],
)
def test_another_job_is_refused(case, changes, words):
    reason = refusal(case, altered(case, **changes))
    assert (reason is None) == (words is None), reason
    assert words is None or re.search(words, reason), reason


def relu_by(draw):
    """Bias, relu and dropout by those masks."""

    def answer(a):
        keep = draw(a.x.shape) >= 0.1
        return Answer(np.where(keep, np.maximum(a.x + a.bias, 0) * np.float32(1 / 0.9), np.float32(0)))

    return answer


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (RNG.random, None),
        (lambda shape: np.random.default_rng(0).random(shape), "two masks in a row agree"),
        (lambda shape: np.repeat(RNG.random((shape[0], shape[1] // 4)), 4, 1), "neighbours 1 apart agree"),
        (lambda shape: RNG.random(shape) + 0.02, "zeros where"),
    ],
)
def test_masks_that_are_not_random_are_refused(draw, words):
    reason = refusal(replace(RELU, direction="forward"), relu_by(draw))
    assert (reason is None) == (words is None), reason
    assert words is None or re.search(words, reason), reason
