# SPDX-License-Identifier: BSD-3-Clause
"""Fused operations by other libraries, if you ask for them with --compare: what their users write."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from ..cases import Case, Choice, Data
from ..fused import EPS, FUSED, Operands
from ..fused_validity import right
from ..goals import JAX, TORCH
from ..job import Job, fused_passes
from .contender import NUMPYS_OWN, Contender
from .rivals import has_compiler, torch_threads


def hosts(case: Case, choice: Choice) -> list[Contender]:
    """Those that were asked for and are here."""
    return [
        *(_torches() if "torch" in choice.compared else []),
        *(_jaxes() if "jax" in choice.compared else []),
    ]


def _arguments(case: Case, data: Data, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """The operands by their names: first those that have a gradient, in the order of the gradients."""
    names = [name.removeprefix("d") for name in FUSED[case.kind].gradients]
    if "residual" not in names and FUSED[case.kind].has_residual:
        names.append("residual")
    operands = Operands(case, data)
    return {name: convert(getattr(operands, name)) for name in names}


def _torches() -> list[Contender]:
    torch = importlib.import_module("torch")

    def build(case: Case, data: Data, compiles: bool) -> Job:
        function = _torch_function(torch, case)
        if compiles:
            torch.compiler.reset()  # which gives up on a function after a few shapes
            function = torch.compile(function, dynamic=False)
        arguments = _arguments(case, data, torch.from_numpy)
        leaves, dy = list(arguments.values())[: len(FUSED[case.kind].gradients)], Operands(case, data).dy
        dy = torch.from_numpy(dy)
        for leaf in leaves:
            leaf.requires_grad_(case.direction != "forward")
        y: Any

        def forward() -> Any:
            nonlocal y
            results = function(**arguments)
            y = results[0]
            return results

        def backward() -> Any:
            return torch.autograd.grad(y, leaves, dy, retain_graph=case.direction == "backward")

        return fused_passes(
            case,
            forward,
            backward,
            to_numpy=lambda tensor: tensor.detach().numpy(),
            setting=lambda: torch_threads(torch, case.threads),
        )

    def contender(name: str, job: str, compiles: bool) -> Contender:
        made = functools.partial(build, compiles=compiles)
        return Contender(name, "torch", torch.__version__, job, made, right, NUMPYS_OWN)

    job = (
        "torch.nn.functional, eager, and autograd; new tensors in every call; no gradient recorded in forward"
    )
    compiled = [contender("torch.compile", "the same function, compiled", True)] if has_compiler() else []
    return [contender(TORCH, job, False), *compiled]


def _torch_function(torch: Any, case: Case) -> Callable[..., tuple[Any, ...]]:
    library, name, p = torch.nn.functional, FUSED[case.kind].activation, case.p
    activations = {
        None: lambda t: t,
        "relu": library.relu,
        "gelu": library.gelu,
        "gelu_tanh": functools.partial(library.gelu, approximate="tanh"),
        "silu": library.silu,
    }
    act = activations[name]

    def between(x: Any, bias: Any, residual: Any = None) -> tuple[Any]:
        d = library.dropout(act(x + bias), p)
        return (d if residual is None else residual + d,)

    def norm(x: Any, residual: Any, weight: Any, x_bias: Any, bias: Any = None) -> tuple[Any, Any]:
        h = residual + library.dropout(x + x_bias, p)
        if bias is None:
            return library.rms_norm(h, weight.shape, weight, EPS), h
        return library.layer_norm(h, weight.shape, weight, bias, EPS), h

    return norm if FUSED[case.kind].normalizes else between


def _jaxes() -> list[Contender]:
    jax = importlib.import_module("jax")

    def build(case: Case, data: Data) -> Job:
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        function, count = _jax_function(jax, case), len(FUSED[case.kind].gradients)
        arguments = _arguments(case, data, jax.numpy.asarray)
        names, values = list(arguments), list(arguments.values())
        dy, first_key = jax.numpy.asarray(Operands(case, data).dy), jax.random.key(0)

        def call(leaves: Any, others: Any, draws: Any) -> tuple[Any, Any]:
            y, *rest = function(
                jax.random.fold_in(first_key, draws), **dict(zip(names, (*leaves, *others), strict=True))
            )
            return y, rest

        @jax.jit  # type: ignore[untyped-decorator]
        def alone(leaves: Any, others: Any, draws: Any) -> Any:
            return (*call(leaves, others, draws), None)

        @jax.jit  # type: ignore[untyped-decorator]
        def recorded(leaves: Any, others: Any, draws: Any) -> Any:
            y, pullback, rest = jax.vjp(lambda *leaves: call(leaves, others, draws), *leaves, has_aux=True)
            return y, rest, pullback

        pull = jax.jit(lambda pullback, dy: pullback(dy))
        run, draws = alone if case.direction == "forward" else recorded, 0
        pullback: Any

        def forward() -> Any:
            nonlocal draws, pullback
            draws += 1
            y, rest, pullback = jax.block_until_ready(run(values[:count], values[count:], draws))
            return y, *rest

        def backward() -> Any:
            return jax.block_until_ready(pull(pullback, dy))

        return fused_passes(case, forward, backward)

    job = "jit, threefry keys; new arrays in every call; the gradient by jax.vjp, its two halves jitted alone"
    return [Contender(JAX, "jax", jax.__version__, job, build, right)]


def _jax_function(jax: Any, case: Case) -> Callable[..., tuple[Any, ...]]:
    numpy, p = jax.numpy, case.p
    activations = {
        None: lambda t: t,
        "relu": jax.nn.relu,
        "gelu": functools.partial(jax.nn.gelu, approximate=False),
        "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
        "silu": jax.nn.silu,
    }
    act = activations[FUSED[case.kind].activation]

    def dropout(key: Any, x: Any) -> Any:
        return numpy.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)

    def between(key: Any, x: Any, bias: Any, residual: Any = None) -> tuple[Any]:
        d = dropout(key, act(x + bias))
        return (d if residual is None else residual + d,)

    def norm(key: Any, x: Any, residual: Any, weight: Any, x_bias: Any, bias: Any = None) -> tuple[Any, Any]:
        h = residual + dropout(key, x + x_bias)
        if bias is None:
            return h * jax.lax.rsqrt(numpy.square(h).mean(-1, keepdims=True) + EPS) * weight, h
        centred = h - h.mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(numpy.square(centred).mean(-1, keepdims=True) + EPS) * weight + bias, h

    return norm if FUSED[case.kind].normalizes else between
