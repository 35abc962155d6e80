# SPDX-License-Identifier: BSD-3-Clause
"""How others do dropout. Those that are not installed are named, and left out."""

import contextlib
import importlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cases import Case, Choice, Data
from ..job import Job, Setting, passes
from .contender import NUMPYS_OWN, Contender
from .numpy import numpys, scaled_mask

MODULES = {"torch": "torch", "jax": "jax", "numba": "numba", "numpy": "numpy", "mkl": "mkl_random"}


def rivals(names: Sequence[str], threads: int) -> tuple[list[Contender], list[str]]:
    """The contenders of those families, and the families that are missing here."""
    found: list[Contender] = []
    missing: list[str] = []
    for name in names:
        if name == "jax":
            set_xla_threads(threads)
        try:
            module = importlib.import_module(MODULES[name])
        except ImportError:
            missing.append(name)
        else:
            found += _FAMILIES[name](module, threads)
    return found, missing


def set_xla_threads(threads: int) -> None:
    """One thread for XLA, or as many as it likes: it reads the number once, when it is loaded."""
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"


def jax_is_fair(case: Case, choice: Choice) -> bool:
    """Whether XLA has as many threads as the case: one, or the most that were asked for."""
    return case.threads == max(choice.threads, default=1)


def has_compiler() -> bool:
    """Whether torch.compile finds one: it takes that of CXX, or g++."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def _mkl(module: Any, _threads: int) -> list[Contender]:
    def build(case: Case, data: Data) -> Job:
        state = module.MKLRandomState(0, brng="PHILOX4X32X10")

        def draw(mask: NDArray[Any]) -> None:
            np.greater_equal(state.random_sample(case.size), case.p, out=mask)

        return scaled_mask(case, data, draw)

    job = "MKL's Philox uniforms in float64, a new array every call; NumPy for the rest, as in numpy best"
    return [Contender("mkl_random", "mkl", module.__version__, job, build)]


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
        return torch_passes(torch, dropout, case, data, lambda: torch_threads(torch, case.threads))

    job = "F.dropout and autograd; new tensors every call; no gradient recorded in forward alone"
    # Its bfloat16 is none of NumPy's, so that no array comes in.
    return [Contender("torch", "torch", torch.__version__, job, build, dtypes=NUMPYS_OWN)]


def torch_passes(torch: Any, dropout: Callable[..., Any], case: Case, data: Data, setting: Setting) -> Job:
    """A function of tensors forward, and its gradient backward."""
    x, dy = torch.from_numpy(data.x), torch.from_numpy(data.dy)
    x.requires_grad_(case.direction != "forward")
    keep_graph = case.direction == "backward"
    y: Any

    def forward() -> Any:
        nonlocal y
        y = dropout(x, case.p)
        return y

    def backward() -> Any:
        return torch.autograd.grad(y, x, dy, retain_graph=keep_graph)[0]

    return passes(case, forward, backward, to_numpy=lambda tensor: tensor.detach().numpy(), setting=setting)


@contextlib.contextmanager
def torch_threads(torch: Any, count: int) -> Iterator[None]:
    previous = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(previous)


def _jax(jax: Any, threads: int) -> list[Contender]:
    def build(case: Case, data: Data) -> Job:
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        key, p = jax.random.key(0), case.p
        x, dy = jax.numpy.asarray(data.x), jax.numpy.asarray(data.dy)

        @jax.jit  # type: ignore[untyped-decorator]
        def drop(x: Any, draws: Any) -> Any:
            keep = jax.random.bernoulli(jax.random.fold_in(key, draws), 1 - p, x.shape)
            return jax.numpy.where(keep, x / (1 - p), 0), keep

        @jax.jit  # type: ignore[untyped-decorator]
        def mask(dy: Any, keep: Any) -> Any:
            return jax.numpy.where(keep, dy / (1 - p), 0)

        draws = 0
        keep: Any

        def forward() -> Any:
            nonlocal draws, keep
            draws += 1
            y, keep = drop(x, draws)
            return y.block_until_ready()

        return passes(case, forward, lambda: mask(dy, keep).block_until_ready())

    pool = "one thread in every case" if threads == 1 else "as many threads as it likes"
    job = f"jit, threefry keys, {pool}; new arrays every call; mask kept as bool"
    return [Contender("jax", "jax", jax.__version__, job, build)]


_FAMILIES: dict[str, Callable[[Any, int], list[Contender]]] = {
    "numpy": lambda _module, _threads: numpys(),
    "mkl": _mkl,
    "numba": _numba,
    "torch": _torch,
    "jax": _jax,
}
