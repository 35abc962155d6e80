# SPDX-License-Identifier: BSD-3-Clause
"""Attention by other libraries, if you ask for them with --compare: what their users write."""

import contextlib
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..attention import Heads
from ..attention_validity import attention_right
from ..cases import Case, Choice, Data
from ..goals import FASTDROP_TORCH, JAX, TORCH
from ..job import Job, fastdrop_with, saving_passes
from .contender import FASTDROP, NUMPYS_OWN, Contender
from .rivals import jax_is_fair, torch_threads

FORMULAS, NO_DROPOUT_AT_ALL = "torch, formulas", "torch, p = 0"


def hosts(case: Case, choice: Choice) -> list[Contender]:
    """Those that were asked for and are here."""
    jaxes = _jaxes() if "jax" in choice.compared and jax_is_fair(case, choice) else []
    return [*(_torches(choice.isas[0]) if "torch" in choice.compared else []), *jaxes]


def _torches(isa: str) -> list[Contender]:
    torch = importlib.import_module("torch")
    library = torch.nn.functional
    theirs = library.scaled_dot_product_attention
    ours = importlib.import_module("fastdrop.torch").scaled_dot_product_attention
    version = ("torch", torch.__version__)

    def formulas(q: Any, k: Any, v: Any, *, dropout_p: float, is_causal: bool) -> Any:
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        if is_causal:
            seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
            scores = scores.masked_fill(~seen, -math.inf)
        return library.dropout(library.softmax(scores, -1), dropout_p) @ v

    def contender(name: str, made_by: tuple[str, str], job: str, function: Callable[..., Any]) -> Contender:
        def build(case: Case, data: Data) -> Job:
            return _torch_job(torch, function, case, data, isa)

        return Contender(name, *made_by, job, build, attention_right(build), NUMPYS_OWN)

    new = "new tensors in every call; no gradient recorded in forward"
    return [
        contender(FASTDROP_TORCH, FASTDROP, f"fastdrop.torch.scaled_dot_product_attention; {new}", ours),
        contender(TORCH, version, f"F.scaled_dot_product_attention with dropout_p; {new}", theirs),
        contender(FORMULAS, version, f"matmul, F.softmax, F.dropout, matmul, eager; {new}", formulas),
        _without_dropout(torch, theirs, isa),
    ]


def _without_dropout(torch: Any, function: Callable[..., Any], isa: str) -> Contender:
    """What torch's own kernel takes where it drops nothing: it is another job, so it is a floor."""

    def build(case: Case, data: Data) -> Job:
        def without(*operands: Any, dropout_p: float, is_causal: bool) -> Any:
            return function(*operands, is_causal=is_causal)

        return _torch_job(torch, without, case, data, isa)

    def check(case: Case, data: Data, job: Job) -> None:
        attention_right(build, drops=False)(case, data, job)

    job = "F.scaled_dot_product_attention without dropout, by its fused kernel: another job"
    return Contender(NO_DROPOUT_AT_ALL, "floor", torch.__version__, job, build, check, NUMPYS_OWN)


def _torch_job(torch: Any, function: Callable[..., Any], case: Case, data: Data, isa: str) -> Job:
    a = Heads(case, data)
    leaves, dy = [torch.from_numpy(operand) for operand in a.operands], torch.from_numpy(a.dy)
    for leaf in leaves:
        leaf.requires_grad_(case.direction != "forward")

    def forward() -> tuple[Sequence[Any], Any]:
        y = function(*leaves, dropout_p=case.p, is_causal=a.is_causal)
        return (y,), y

    def backward(y: Any) -> Sequence[Any]:
        return torch.autograd.grad(y, leaves, dy)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def setting() -> Iterator[None]:
        with torch_threads(torch, case.threads), fastdrop_with(isa, case.threads):
            yield

    return saving_passes(
        case,
        forward,
        backward,
        to_numpy=lambda tensor: tensor.detach().numpy(),
        setting=setting,
        makes_results=True,
    )


def _jaxes() -> list[Contender]:
    jax = importlib.import_module("jax")

    def build(case: Case, data: Data) -> Job:
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        a, p, first_key, draws = Heads(case, data), case.p, jax.random.key(0), 0
        operands, dy = [jax.numpy.asarray(operand) for operand in a.operands], jax.numpy.asarray(a.dy)

        def function(draws: Any, q: Any, k: Any, v: Any) -> Any:
            scores = jax.numpy.einsum("bhtd,bhsd->bhts", q, k) * a.scale
            if a.is_causal:
                seen = jax.numpy.tri(scores.shape[-1], dtype=bool)
                scores = jax.numpy.where(seen, scores, -jax.numpy.inf)
            keep = jax.random.bernoulli(jax.random.fold_in(first_key, draws), 1 - p, scores.shape)
            weights = jax.numpy.where(keep, jax.nn.softmax(scores, -1) / (1 - p), 0)
            return jax.numpy.einsum("bhts,bhsd->bhtd", weights, v)

        @jax.jit  # type: ignore[untyped-decorator]
        def both(draws: Any, q: Any, k: Any, v: Any) -> Any:
            y, pullback = jax.vjp(lambda *operands: function(draws, *operands), q, k, v)
            return y, pullback(dy)

        call = jax.jit(function) if case.direction == "forward" else both

        def forward() -> tuple[Sequence[Any], Any]:
            nonlocal draws
            draws += 1
            results = jax.block_until_ready(call(draws, *operands))
            return ((results,), None) if case.direction == "forward" else (results[:1], results[1])

        def backward(gradients: Any) -> Sequence[Any]:
            return gradients  # type: ignore[no-any-return]

        return saving_passes(case, forward, backward, makes_results=True)

    job = "einsum, jax.nn.softmax, jax.random.bernoulli and jax.vjp under one jit; new arrays in every call"
    return [Contender(JAX, "jax", jax.__version__, job, build, attention_right(build))]
