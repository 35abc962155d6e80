# SPDX-License-Identifier: BSD-3-Clause
"""The end-to-end case: a training step of a NumPy network with one dropout or another, or with none."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import fastdrop

from .. import validity
from ..cases import Case, Choice, Data
from ..goals import NO_DROPOUT
from ..job import Answer, Job, fastdrop_with
from .contender import FASTDROP, NUMPY, Check, Contender

_SIZES = (784, 1024, 1024, 10)
_BATCH = 128
_LEARNING_RATE = 0.05
_LEARNING_STEPS = 10  # enough for the loss of one repeated batch to fall by far more than masks make it vary

Array = NDArray[Any]


class Layer(Protocol):
    """A dropout layer; `out` may be x, and what comes back need not be `out`."""

    def forward(self, x: Any, *, out: Any) -> Array: ...
    def backward(self, dy: Any, *, out: Any) -> Array: ...


class NoDropout:
    """Hands everything on."""

    def forward(self, x: Any, *, out: Any) -> Array:
        return x  # type: ignore[no-any-return]

    def backward(self, dy: Any, *, out: Any) -> Array:
        return dy  # type: ignore[no-any-return]


class TextbookDropout:
    """The line that most NumPy code has, with its mask of bool: products stay float32."""

    def __init__(self, p: float) -> None:
        self.p, self.rng = p, np.random.default_rng(0)

    def forward(self, x: Any, *, out: Any) -> Array:
        self.keep = self.rng.random(x.shape) >= self.p
        return x * self.keep / (1 - self.p)  # type: ignore[no-any-return]

    def backward(self, dy: Any, *, out: Any) -> Array:
        return dy * self.keep / (1 - self.p)  # type: ignore[no-any-return]


class Network:
    """Linear, ReLU and dropout twice, linear, softmax; gradient descent; every large array is reused."""

    def __init__(self, layers: list[Layer]) -> None:
        rng = np.random.default_rng(0)
        self.layers = layers
        self.x = rng.random((_BATCH, _SIZES[0]), np.float32)
        self.labels = rng.integers(0, _SIZES[-1], _BATCH)
        # He et al., "Delving deep into rectifiers" (2015): keeps the variance through ReLU layers.
        self.weights = [
            rng.standard_normal((rows, columns), np.float32) * np.float32(math.sqrt(2 / rows))
            for rows, columns in pairwise(_SIZES)
        ]
        self.gradients = [np.zeros_like(weight) for weight in self.weights]
        self.outputs = [np.zeros((_BATCH, columns), np.float32) for columns in _SIZES[1:]]
        self.slopes = [np.zeros((_BATCH, columns), np.float32) for columns in _SIZES[1:]]

    def step(self) -> float:
        """One step; the loss before it."""
        inputs = [self.x]
        for weight, output, layer in zip(self.weights, self.outputs, [*self.layers, None], strict=True):
            y = np.matmul(inputs[-1], weight, out=output)
            if layer is not None:
                y = layer.forward(np.maximum(y, 0, out=y), out=y)
                inputs.append(y)
        loss, dy = self._loss()
        for depth in (2, 1, 0):
            np.matmul(inputs[depth].T, dy, out=self.gradients[depth])
            if depth > 0:
                dx = np.matmul(dy, self.weights[depth].T, out=self.slopes[depth - 1])
                dy = self.layers[depth - 1].backward(dx, out=dx)
                # Where dropout put a zero into the output, its backward pass has put one into the slope.
                np.multiply(dy, inputs[depth] > 0, out=dy)
        for weight, gradient in zip(self.weights, self.gradients, strict=True):
            np.multiply(gradient, _LEARNING_RATE, out=gradient)
            np.subtract(weight, gradient, out=weight)
        return loss

    def _loss(self) -> tuple[float, Array]:
        logits, rows = self.outputs[-1], np.arange(_BATCH)
        probability = np.exp(logits - logits.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
        loss = -float(np.mean(np.log(probability[rows, self.labels])))
        probability[rows, self.labels] -= 1
        probability /= _BATCH
        return loss, probability


def train_steps(case: Case, choice: Choice) -> list[Contender]:
    """The network without dropout, which is the floor, and with each kind of it."""
    best = choice.isas[0]
    masks = fastdrop.MaskGenerator(0)

    def ours(p: float) -> Layer:
        return fastdrop.Dropout(p, rng=masks)

    contenders = [
        _contender(NO_DROPOUT, ("floor", np.__version__), lambda p: NoDropout(), best, case.threads),
        _contender(f"fastdrop {best}", FASTDROP, ours, best, case.threads),
        _contender("numpy textbook", NUMPY, TextbookDropout, best, case.threads),
    ]
    if case.threads > 1:
        contenders.insert(2, _contender(f"fastdrop {best}, 1 thread", FASTDROP, ours, best, 1))
    return contenders


def _contender(
    name: str, made_by: tuple[str, str], make: Callable[[float], Layer], isa: str, threads: int
) -> Contender:
    def build(case: Case, data: Data) -> Job:
        network = Network([make(case.p), make(case.p)])
        layer = network.layers[0]

        def answer() -> Answer:
            return Answer(layer.forward(data.x, out=data.y), layer.backward(data.dy, out=data.dx))

        return Job(network.step, answer, lambda: fastdrop_with(isa, threads))

    check = validity.copied if made_by[0] == "floor" else validity.dropped
    return Contender(name, *made_by, "one step of the same network", build, learns(check))


def learns(check: Check) -> Check:
    """The check of the layer, and that the network it stands in learns."""

    def both(case: Case, data: Data, job: Job) -> None:
        check(case, data, job)
        losses = [float(job.run()) for _ in range(_LEARNING_STEPS)]  # type: ignore[arg-type]
        if not losses[-1] < losses[0]:
            change = f"from {losses[0]} to {losses[-1]}"
            raise validity.InvalidAnswerError(f"the loss went {change} on one repeated batch")

    return both


CONTENDERS = {"train_step": train_steps}
