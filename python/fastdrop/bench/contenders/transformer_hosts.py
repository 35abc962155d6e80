# SPDX-License-Identifier: BSD-3-Clause
"""A transformer's step by other libraries, if you ask for them with --compare: what their users write."""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..cases import Case, Choice, Data
from ..goals import FASTDROP_TORCH, JAX, TORCH
from ..job import Answer, Job, fastdrop_with
from ..transformer import EPS, LAYERS, LEARNING_RATE, Start, split
from ..transformer_validity import step_right
from .contender import FASTDROP, NUMPYS_OWN, Contender
from .rivals import jax_is_fair, torch_threads


def hosts(case: Case, choice: Choice) -> list[Contender]:
    """Those that were asked for and are here."""
    jaxes = _jaxes() if "jax" in choice.compared and jax_is_fair(case, choice) else []
    return [*(_torches(choice.isas[0]) if "torch" in choice.compared else []), *jaxes]


def _torches(isa: str) -> list[Contender]:
    torch = importlib.import_module("torch")
    ours = importlib.import_module("fastdrop.torch")

    def contender(name: str, made_by: tuple[str, str], job: str, library: Any) -> Contender:
        build = functools.partial(
            _torch_job,
            torch=torch,
            dropout=library.dropout,
            attention=library.scaled_dot_product_attention,
            isa=isa,
        )
        job = f"{job}; eager, autograd, torch.optim.SGD"
        return Contender(name, *made_by, job, build, step_right(build), NUMPYS_OWN)

    return [
        contender(FASTDROP_TORCH, FASTDROP, "the same with dropout and attention of fastdrop.torch", ours),
        contender(
            TORCH, ("torch", torch.__version__), "torch.nn.functional, attention too", torch.nn.functional
        ),
    ]


def _torch_job(
    case: Case,
    data: Data,
    *,
    torch: Any,
    dropout: Callable[..., Any],
    attention: Callable[..., Any],
    isa: str,
) -> Job:
    start, library, p = Start(case, data), torch.nn.functional, case.p
    size = start.features // start.heads
    own = {
        name: torch.from_numpy(view.copy()).requires_grad_()
        for name, view in split(start.flat, start.features).items()
    }
    x, target = torch.from_numpy(start.x).requires_grad_(), torch.from_numpy(start.target)
    optimizer = torch.optim.SGD(own.values(), lr=LEARNING_RATE)

    def norm(h: Any, name: str) -> Any:
        return library.layer_norm(h, h.shape[-1:], *own[name], EPS)

    def network() -> Any:
        h = x
        for layer in range(LAYERS):
            y = norm(h, f"attention_norm_{layer}")
            parts = (y @ own[f"project_{layer}"]).view(start.batch, start.steps, 3, start.heads, size)
            attended = attention(*parts.permute(2, 0, 3, 1, 4), dropout_p=p)
            merged = library.linear(
                attended.transpose(1, 2).reshape(len(x), -1),
                own[f"merge_{layer}"].T,
                own[f"merge_bias_{layer}"],
            )
            h = h + dropout(merged, p)
            y = norm(h, f"hidden_norm_{layer}")
            hidden = library.gelu(library.linear(y, own[f"expand_{layer}"].T, own[f"expand_bias_{layer}"]))
            hidden = dropout(hidden, p)
            out = library.linear(hidden, own[f"contract_{layer}"].T, own[f"contract_bias_{layer}"])
            h = h + dropout(out, p)
        return norm(h, "last_norm")

    def gradients() -> tuple[float, Any]:
        optimizer.zero_grad()
        x.grad = None
        y = network()
        loss = library.mse_loss(y, target, reduction="sum") / (2 * len(x))
        loss.backward()
        return loss.item(), y

    def step() -> float:
        loss, _ = gradients()
        optimizer.step()
        return loss

    def answer() -> Answer:
        _, y = gradients()
        others = {name: parameter.grad.numpy() for name, parameter in own.items()}
        return Answer(y.detach().numpy(), x.grad.numpy(), others=others)

    @contextlib.contextmanager
    def setting() -> Iterator[None]:
        with torch_threads(torch, case.threads), fastdrop_with(isa, case.threads):
            yield

    return Job(step, answer, setting)


def _jaxes() -> list[Contender]:
    jax = importlib.import_module("jax")
    build = functools.partial(_jax_job, jax=jax)
    job = "gradients and update under one jit; threefry keys; new arrays in every step"
    return [Contender(JAX, "jax", jax.__version__, job, build, step_right(build))]


def _jax_job(case: Case, data: Data, *, jax: Any) -> Job:
    jax.config.update("jax_enable_x64", case.dtype == "float64")
    jnp, start, p = jax.numpy, Start(case, data), case.p
    size = start.features // start.heads
    x, target = jnp.asarray(start.x), jnp.asarray(start.target)
    own = {name: jnp.array(view) for name, view in split(start.flat, start.features).items()}

    def norm(h: Any, parameters: Any) -> Any:
        centred = h - h.mean(-1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + EPS)
        return centred * inverse * parameters[0] + parameters[1]

    def network(own: Any, x: Any, key: Any) -> Any:
        keys = iter(jax.random.split(key, 4 * LAYERS))

        def dropout(x: Any) -> Any:
            return jnp.where(jax.random.bernoulli(next(keys), 1 - p, x.shape), x / (1 - p), 0)

        h = x
        for layer in range(LAYERS):
            y = norm(h, own[f"attention_norm_{layer}"])
            parts = (y @ own[f"project_{layer}"]).reshape(start.batch, start.steps, 3, start.heads, size)
            query, key, value = parts.transpose(2, 0, 3, 1, 4)
            weights = dropout(jax.nn.softmax(query @ key.swapaxes(-1, -2) * size**-0.5, -1))
            attended = (weights @ value).transpose(0, 2, 1, 3).reshape(len(x), -1)
            h = h + dropout(attended @ own[f"merge_{layer}"] + own[f"merge_bias_{layer}"])
            y = norm(h, own[f"hidden_norm_{layer}"])
            hidden = jax.nn.gelu(y @ own[f"expand_{layer}"] + own[f"expand_bias_{layer}"], approximate=False)
            h = h + dropout(dropout(hidden) @ own[f"contract_{layer}"] + own[f"contract_bias_{layer}"])
        return norm(h, own["last_norm"])

    def loss(own: Any, x: Any, key: Any) -> tuple[Any, Any]:
        y = network(own, x, key)
        return jnp.square(y - target).sum() / (2 * len(x)), y

    gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    first_key, draws = jax.random.key(0), 0

    @jax.jit  # type: ignore[untyped-decorator]
    def update(own: Any, x: Any, draws: Any) -> Any:
        (value, _), (slopes, dx) = gradients(own, x, jax.random.fold_in(first_key, draws))
        return value, {name: own[name] - LEARNING_RATE * slopes[name] for name in own}, dx

    @jax.jit  # type: ignore[untyped-decorator]
    def answered(own: Any, x: Any, draws: Any) -> Any:
        (_, y), (slopes, dx) = gradients(own, x, jax.random.fold_in(first_key, draws))
        return y, dx, slopes

    def step() -> float:
        nonlocal own, draws
        draws += 1
        value, own, _ = jax.block_until_ready(update(own, x, draws))
        return float(value)

    def answer() -> Answer:
        nonlocal draws
        draws += 1
        y, dx, slopes = jax.tree.map(np.asarray, answered(own, x, draws))
        return Answer(y, dx, others=slopes)

    # New parameters and the gradient of x; the others of that size are XLA's own.
    return Job(step, answer, result_bytes=start.flat.nbytes + start.x.nbytes)
