# SPDX-License-Identifier: BSD-3-Clause
"""Softmax and dropout by other libraries, if you ask for them with --compare: what their users write."""

import functools
import importlib
from collections.abc import Sequence
from typing import Any

from ..attention import SCALE, Scores
from ..attention_validity import softmax_right
from ..cases import Case, Choice, Data
from ..goals import JAX, TORCH
from ..job import Job, saving_passes
from .contender import NUMPYS_OWN, Contender
from .rivals import has_compiler, jax_is_fair, torch_threads


def hosts(case: Case, choice: Choice) -> list[Contender]:
    """Those that were asked for and are here."""
    jaxes = _jaxes() if "jax" in choice.compared and jax_is_fair(case, choice) else []
    return [*(_torches() if "torch" in choice.compared else []), *jaxes]


def _torches() -> list[Contender]:
    torch = importlib.import_module("torch")
    library = torch.nn.functional

    def build(case: Case, data: Data, compiles: bool) -> Job:
        def function(x: Any) -> Any:
            weights = library.softmax(x * SCALE, -1)
            return library.dropout(weights, case.p), weights

        if compiles:
            torch.compiler.reset()  # which gives up on a function after a few shapes
            function = torch.compile(function, dynamic=False)
        a = Scores(case, data)
        x, dy = torch.from_numpy(a.x), torch.from_numpy(a.dy)
        x.requires_grad_(case.direction != "forward")

        def forward() -> tuple[Sequence[Any], Any]:
            y, weights = function(x)
            return (y, weights), y

        def backward(y: Any) -> Sequence[Any]:
            return torch.autograd.grad(y, x, dy, retain_graph=case.direction == "backward")  # type: ignore[no-any-return]

        return saving_passes(
            case,
            forward,
            backward,
            to_numpy=lambda tensor: tensor.detach().numpy(),
            setting=lambda: torch_threads(torch, case.threads),
            makes_results=True,
        )

    def contender(name: str, job: str, compiles: bool) -> Contender:
        made = functools.partial(build, compiles=compiles)
        return Contender(name, "torch", torch.__version__, job, made, softmax_right, NUMPYS_OWN)

    job = (
        "torch.nn.functional, eager, and autograd; new tensors in every call; no gradient recorded in forward"
    )
    compiled = [contender("torch.compile", "the same function, compiled", True)] if has_compiler() else []
    return [contender(TORCH, job, False), *compiled]


def _jaxes() -> list[Contender]:
    jax = importlib.import_module("jax")

    def build(case: Case, data: Data) -> Job:
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        a, p, first_key, draws = Scores(case, data), case.p, jax.random.key(0), 0
        x, dy = jax.numpy.asarray(a.x), jax.numpy.asarray(a.dy)

        def function(x: Any, draws: Any) -> Any:
            weights = jax.nn.softmax(x * SCALE, -1)
            keep = jax.random.bernoulli(jax.random.fold_in(first_key, draws), 1 - p, x.shape)
            return jax.numpy.where(keep, weights / (1 - p), 0), weights

        @jax.jit  # type: ignore[untyped-decorator]
        def recorded(x: Any, draws: Any) -> Any:
            return jax.vjp(lambda x: function(x, draws), x, has_aux=True)

        pull, alone = jax.jit(lambda pullback, dy: pullback(dy)), jax.jit(function)

        def forward() -> tuple[Sequence[Any], Any]:
            nonlocal draws
            draws += 1
            if case.direction == "forward":
                return jax.block_until_ready(alone(x, draws)), None
            y, pullback, weights = jax.block_until_ready(recorded(x, draws))
            return (y, weights), pullback

        def backward(pullback: Any) -> Sequence[Any]:
            return jax.block_until_ready(pull(pullback, dy))  # type: ignore[no-any-return]

        return saving_passes(case, forward, backward, makes_results=True)

    job = "jit, threefry keys; new arrays in every call; the gradient by jax.vjp, its two halves jitted alone"
    return [Contender(JAX, "jax", jax.__version__, job, build, softmax_right)]
