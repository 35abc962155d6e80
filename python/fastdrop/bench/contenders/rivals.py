# SPDX-License-Identifier: BSD-3-Clause
"""How others do dropout. Those that are not installed are named, and left out."""

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cases import DTYPES, Case, Data, drawn
from ..job import Job
from .fastdrop import Contender, passes

MODULES = {"torch": "torch", "jax": "jax", "numba": "numba", "numpy": "numpy", "mkl": "mkl_random"}
NUMPYS_OWN = tuple(dtype for dtype in DTYPES if dtype != "bfloat16")


def rivals(names: Sequence[str], threads: int) -> tuple[list[Contender], list[str]]:
    """The contenders of those families, and the families that are missing here."""
    found: list[Contender] = []
    missing: list[str] = []
    for name in names:
        if name == "jax" and threads == 1:
            # XLA reads its number of threads once, when it is loaded, and from nowhere else.
            flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
        try:
            module = importlib.import_module(MODULES[name])
        except ImportError:
            missing.append(name)
        else:
            found += _FAMILIES[name](module, threads)
    return found, missing


def _numpy(_: Any, _threads: int) -> list[Contender]:
    textbook = (
        "x * (rng.random(x.shape) >= p) / (1 - p): new arrays every call, float64 random numbers; mask"
        " kept as bool"
    )
    best = "rng.random in float32 or float64, out= everywhere, all arrays reused; mask kept as floats, scaled"
    sixteen_bits = (
        "16 raw random bits an element, so p is rounded to 1/65536; arrays reused but for the bits; mask"
        " kept as floats, scaled"
    )
    rows = [
        ("numpy textbook", textbook, _textbook, NUMPYS_OWN),  # from bfloat16 it makes float32
        ("numpy best", best, _best, DTYPES),
        ("numpy 16 bits", sixteen_bits, _sixteen_bits, DTYPES),
    ]
    return [
        Contender(name, "numpy", np.__version__, job, build, dtypes=dtypes)
        for name, job, build, dtypes in rows
    ]


def _textbook(case: Case, data: Data) -> Job:
    rng = np.random.default_rng(0)
    x, dy, p = data.x, data.dy, case.p
    keep: NDArray[np.bool_]

    def forward() -> NDArray[Any]:
        nonlocal keep
        keep = rng.random(x.shape) >= p
        y: NDArray[Any] = x * keep / (1 - p)
        return y

    return passes(case, forward, lambda: dy * keep / (1 - p))


def _best(case: Case, data: Data) -> Job:
    rng = np.random.default_rng(0)
    uniform = np.empty(case.size, drawn(data.x.dtype))

    def draw(mask: NDArray[Any]) -> None:
        rng.random(out=uniform, dtype=drawn(data.x.dtype))
        np.greater_equal(uniform, case.p, out=mask)

    return _scaled_mask(case, data, draw)


def _sixteen_bits(case: Case, data: Data) -> Job:
    raw = np.random.SFC64(0).random_raw
    words, bound = -(-case.size // 4), round(case.p * 2**16)

    def draw(mask: NDArray[Any]) -> None:
        np.greater_equal(raw(words).view(np.uint16)[: case.size], bound, out=mask)

    return _scaled_mask(case, data, draw)


def _mkl(module: Any, _threads: int) -> list[Contender]:
    def build(case: Case, data: Data) -> Job:
        state = module.MKLRandomState(0, brng="PHILOX4X32X10")

        def draw(mask: NDArray[Any]) -> None:
            np.greater_equal(state.random_sample(case.size), case.p, out=mask)

        return _scaled_mask(case, data, draw)

    job = "MKL's Philox uniforms in float64, a new array every call; NumPy for the rest, as in numpy best"
    return [Contender("mkl_random", "mkl", module.__version__, job, build)]


def _scaled_mask(case: Case, data: Data, draw: Callable[[NDArray[Any]], None]) -> Job:
    """One multiplication a pass by a mask of 0 and 1 / (1 - p): the fastest that NumPy offers."""
    mask, scale = np.empty_like(data.x), data.x.dtype.type(1 / (1 - case.p))

    def forward() -> NDArray[Any]:
        draw(mask)
        np.multiply(mask, scale, out=mask)
        y: NDArray[Any] = np.multiply(data.x, mask, out=data.y)
        return y

    return passes(case, forward, lambda: np.multiply(data.dy, mask, out=data.dx))


def _numba(module: Any, _threads: int) -> list[Contender]:
    @module.njit  # type: ignore[untyped-decorator]
    def drop(x: Any, y: Any, keep: Any, p: Any, scale: Any) -> None:
        zero = x.dtype.type(0)
        for i in range(x.size):
            keep[i] = np.random.random() >= p  # noqa: NPY002 -- numba's own, compiled
            y[i] = x[i] * scale if keep[i] else zero

    @module.njit  # type: ignore[untyped-decorator]
    def mask(dy: Any, dx: Any, keep: Any, scale: Any) -> None:
        zero = dy.dtype.type(0)
        for i in range(dy.size):
            dx[i] = dy[i] * scale if keep[i] else zero

    def build(case: Case, data: Data) -> Job:
        keep, scale = np.empty(case.size, bool), data.x.dtype.type(1 / (1 - case.p))

        def forward() -> NDArray[Any]:
            drop(data.x, data.y, keep, case.p, scale)
            return data.y

        def backward() -> NDArray[Any]:
            mask(data.dy, data.dx, keep, scale)
            return data.dx

        return passes(case, forward, backward)

    job = "a compiled loop that draws and multiplies, on one thread; output reused; mask kept as bool"
    dtypes = ("float32", "float64")
    return [Contender("numba", "numba", module.__version__, job, build, dtypes=dtypes)]


def _torch(torch: Any, _threads: int) -> list[Contender]:
    dropout = importlib.import_module("torch.nn.functional").dropout

    def build(case: Case, data: Data) -> Job:
        x, dy = torch.from_numpy(data.x), torch.from_numpy(data.dy)
        x.requires_grad_(case.operation != "forward")
        keep_graph = case.operation == "backward"
        y: Any

        def forward() -> Any:
            nonlocal y
            y = dropout(x, case.p)
            return y

        def backward() -> Any:
            return torch.autograd.grad(y, x, dy, retain_graph=keep_graph)[0]

        return passes(
            case,
            forward,
            backward,
            to_numpy=lambda tensor: tensor.detach().numpy(),
            prepare=lambda: torch.set_num_threads(case.threads),
        )

    job = "F.dropout and autograd; new tensors every call; no gradient recorded in forward alone"
    # Its bfloat16 is none of NumPy's, so that no array comes in.
    return [Contender("torch", "torch", torch.__version__, job, build, dtypes=NUMPYS_OWN)]


def _jax(jax: Any, threads: int) -> list[Contender]:
    def build(case: Case, data: Data) -> Job:
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        key, p = jax.random.key(0), case.p
        x, dy = jax.numpy.asarray(data.x), jax.numpy.asarray(data.dy)

        @jax.jit  # type: ignore[untyped-decorator]
        def drop(x: Any, number: Any) -> Any:
            keep = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - p, x.shape)
            return jax.numpy.where(keep, x / (1 - p), 0), keep

        @jax.jit  # type: ignore[untyped-decorator]
        def mask(dy: Any, keep: Any) -> Any:
            return jax.numpy.where(keep, dy / (1 - p), 0)

        number = 0
        keep: Any

        def forward() -> Any:
            nonlocal number, keep
            number += 1
            y, keep = drop(x, number)
            return y.block_until_ready()

        return passes(case, forward, lambda: mask(dy, keep).block_until_ready())

    pool = "one thread in every case" if threads == 1 else "as many threads as it likes"
    job = f"jit, threefry keys, {pool}; new arrays every call; mask kept as bool"
    return [Contender("jax", "jax", jax.__version__, job, build)]


_FAMILIES: dict[str, Callable[[Any, int], list[Contender]]] = {
    "numpy": _numpy,
    "mkl": _mkl,
    "numba": _numba,
    "torch": _torch,
    "jax": _jax,
}
