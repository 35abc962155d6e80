# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of PyTorch: dropout by itself, and in a training step of a transformer encoder."""

import contextlib
import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from .. import validity
from ..cases import ENCODER, Case, Choice, Data
from ..goals import FASTDROP_TORCH, NO_DROPOUT, TORCH
from ..job import Answer, Job, fastdrop_with
from .contender import FASTDROP, NUMPYS_OWN, Check, Contender
from .floors import floors
from .rivals import torch_passes, torch_threads
from .train_step import learns

_HEADS, _LAYERS, _HIDDEN, _CLASSES = 4, 2, 1024, 10
_LEARNING_RATE = 0.05


def _threads(isa: str, case: Case) -> Callable[[], Any]:
    """The threads of the case for torch and for fastdrop, and that instruction set."""
    torch = importlib.import_module("torch")

    @contextlib.contextmanager
    def setting() -> Iterator[None]:
        with torch_threads(torch, case.threads), fastdrop_with(isa, case.threads):
            yield

    return setting


def tensors(case: Case, choice: Choice) -> list[Contender]:
    """A call of a function, with the record that autograd keeps, and the gradient."""
    torch = importlib.import_module("torch")
    ours = importlib.import_module("fastdrop.torch").dropout
    theirs = torch.nn.functional.dropout
    best = choice.isas[0]

    def contender(name: str, made_by: tuple[str, str], function: Callable[..., Any]) -> Contender:
        def build(case: Case, data: Data) -> Job:
            return torch_passes(torch, function, case, data, _threads(best, case))

        job = f"{function.__module__}.{function.__name__}; new tensors every call; autograd only in both"
        return Contender(name, *made_by, job, build, dtypes=NUMPYS_OWN)

    return [
        *floors(),
        contender(FASTDROP_TORCH, FASTDROP, ours),
        contender(TORCH, ("torch", torch.__version__), theirs),
    ]


def encoder_steps(case: Case, choice: Choice) -> list[Contender]:
    """The encoder without dropout, which is the floor, and with fastdrop's and torch's."""
    torch = importlib.import_module("torch")
    best = choice.isas[0]

    def contender(
        name: str, made_by: tuple[str, str], p: float, replace: bool, check: Check = validity.dropped
    ) -> Contender:
        def build(case: Case, data: Data) -> Job:
            model, step = _training(torch, p)
            if replace:
                importlib.import_module("fastdrop.torch").replace_dropout(model)
            layer = model.layers[0].dropout
            x, dy = torch.from_numpy(data.x), torch.from_numpy(data.dy)

            def answer() -> Answer:
                leaf = x.clone().requires_grad_()
                y = layer(leaf) + 0  # a graph also where nothing is dropped
                (dx,) = torch.autograd.grad(y, leaf, dy)
                return Answer(y.detach().numpy(), dx.numpy())

            return Job(step, answer, _threads(best, case))

        job = "one step of the same encoder"
        return Contender(name, *made_by, job, build, learns(check), ("float32",))

    version = ("torch", torch.__version__)
    return [
        contender(NO_DROPOUT, ("floor", torch.__version__), 0.0, False, validity.copied),
        contender(FASTDROP_TORCH, FASTDROP, case.p, True),
        contender(TORCH, version, case.p, False),
    ]


def _training(torch: Any, p: float) -> tuple[Any, Callable[[], float]]:
    """An encoder, and a step of gradient descent that tells sequences apart; its result is the loss."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = torch.nn.TransformerEncoderLayer(ENCODER[-1], _HEADS, _HIDDEN, p, batch_first=True)
        model = torch.nn.TransformerEncoder(layer, _LAYERS)
        x = torch.randn(ENCODER)
        weight = torch.randn(ENCODER[-1], _CLASSES) / math.sqrt(ENCODER[-1])
        labels = torch.randint(_CLASSES, ENCODER[:1])
    optimizer = torch.optim.SGD(model.parameters(), lr=_LEARNING_RATE)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x).mean(1) @ weight, labels)
        loss.backward()
        optimizer.step()
        return loss.item()  # type: ignore[no-any-return]

    return model, step


CONTENDERS = {"torch": tensors, "torch_step": encoder_steps}
