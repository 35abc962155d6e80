# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of JAX, under jit."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..cases import Case, Choice, Data
from ..goals import FASTDROP_JAX, JAX
from ..job import Answer, Job, fastdrop_with
from .contender import FASTDROP, Contender
from .floors import floors


def arrays(case: Case, choice: Choice) -> list[Contender]:
    """A jitted function of x and a key, or of its gradient too: a new key for every call."""
    jax = importlib.import_module("jax")
    ours = importlib.import_module("fastdrop.jax").dropout
    best = choice.isas[0]

    def theirs(x: Any, p: float, key: Any) -> Any:
        return jax.numpy.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)

    def contender(name: str, made_by: tuple[str, str], function: Callable[..., Any]) -> Contender:
        def build(case: Case, data: Data) -> Job:
            jax.config.update("jax_enable_x64", case.dtype == "float64")
            x, dy = jax.numpy.asarray(data.x), jax.numpy.asarray(data.dy)

            @jax.jit  # type: ignore[untyped-decorator]
            def forward(x: Any, dy: Any, key: Any, draws: Any) -> Any:
                return (function(x, case.p, jax.random.fold_in(key, draws)),)

            @jax.jit  # type: ignore[untyped-decorator]
            def both(x: Any, dy: Any, key: Any, draws: Any) -> Any:
                y, pullback = jax.vjp(lambda x: function(x, case.p, jax.random.fold_in(key, draws)), x)
                return y, *pullback(dy)

            key, draws = jax.random.key(0), 0

            def run() -> Any:
                nonlocal draws
                draws += 1
                call = forward if case.direction == "forward" else both
                return jax.block_until_ready(call(x, dy, key, draws))

            return Job(
                run, lambda: Answer(*map(np.asarray, run())), lambda: fastdrop_with(best, case.threads)
            )

        job = "jit, threefry keys; new arrays every call; in both, jax.vjp"
        return Contender(name, *made_by, job, build)

    return [
        *floors(),
        contender(FASTDROP_JAX, FASTDROP, ours),
        contender(JAX, ("jax", jax.__version__), theirs),
    ]


CONTENDERS = {"jax": arrays}
