# SPDX-License-Identifier: BSD-3-Clause
"""Fused operations by NumPy: the lines that people write, and the fastest that it offers."""

import importlib
import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..cases import Case, Data, random_dtype
from ..fused import EPS, FUSED, Array, Operands
from ..fused_validity import right
from ..job import Job, fused_passes
from .contender import NUMPY, NUMPYS_OWN, Contender

_CUBE = 0.044715  # of gelu by tanh


def numpys(case: Case) -> list[Contender]:
    """NumPy's ways; none to gelu by the error function without SciPy, which has that function."""
    if FUSED[case.kind].activation == "gelu" and find_spec("scipy") is None:
        return []
    textbook = (
        "the formulas as they stand in textbooks: new arrays in every call, float64 where they make them"
    )
    best = "float32, out= everywhere, all arrays reused; sums over rows as products with ones"
    norm = FUSED[case.kind].normalizes
    ways = [
        ("numpy textbook", textbook, _textbook_norm if norm else _textbook),
        ("numpy best", best, _best_norm if norm else _best),
    ]
    if FUSED[case.kind].activation == "gelu":
        ways = [(name, f"{job}; scipy.special.erf", build) for name, job, build in ways]
    return [Contender(name, *NUMPY, job, build, right, NUMPYS_OWN) for name, job, build in ways]


def _erf(x: Any, **out: Any) -> Any:
    return importlib.import_module("scipy.special").erf(x, **out)


# Values and derivatives of the activations. NumPy's constants are float64, and so is what they touch.
_TEXTBOOK: dict[str | None, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    None: (lambda t: t, lambda t: 1),
    "relu": (lambda t: np.maximum(t, 0), lambda t: t > 0),
    "gelu": (
        lambda t: 0.5 * t * (1 + _erf(t / np.sqrt(2))),
        lambda t: 0.5 * (1 + _erf(t / np.sqrt(2))) + t * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi),
    ),
    "gelu_tanh": (
        lambda t: 0.5 * t * (1 + np.tanh(np.sqrt(2 / np.pi) * (t + _CUBE * t**3))),
        lambda t: _tanh_derivative(t, np.tanh(np.sqrt(2 / np.pi) * (t + _CUBE * t**3))),
    ),
    "silu": (
        lambda t: t / (1 + np.exp(-t)),
        lambda t: (1 + t * (1 - 1 / (1 + np.exp(-t)))) / (1 + np.exp(-t)),
    ),
}


def _tanh_derivative(t: Any, tanh: Any) -> Any:
    slope = np.sqrt(2 / np.pi) * (1 + 3 * _CUBE * t**2)
    return 0.5 * (1 + tanh) + 0.5 * t * (1 - tanh**2) * slope


def _textbook(case: Case, data: Data) -> Job:
    a, p, rng = Operands(case, data), case.p, np.random.default_rng(0)
    act, derivative = _TEXTBOOK[FUSED[case.kind].activation]
    keep: Any

    def forward() -> tuple[Array]:
        nonlocal keep
        keep = rng.random(a.x.shape) >= p
        d = act(a.x + a.bias) * keep / (1 - p)
        y = d if a.residual is None else a.residual + d
        return (y.astype(a.x.dtype, copy=False),)

    def backward() -> tuple[Array, Array]:
        dx = (a.dy * keep / (1 - p) * derivative(a.x + a.bias)).astype(a.x.dtype, copy=False)
        return dx, dx.sum(axis=0)

    return fused_passes(case, forward, backward)


def _textbook_norm(case: Case, data: Data) -> Job:
    a, p, rng = Operands(case, data), case.p, np.random.default_rng(0)
    centres = "dbias" in FUSED[case.kind].gradients
    keep: Any
    xhat: Any
    deviation: Any

    def forward() -> tuple[Array, Array]:
        nonlocal keep, xhat, deviation
        keep = rng.random(a.x.shape) >= p
        h = a.residual + (a.x + a.x_bias) * keep / (1 - p)
        if centres:
            deviation = np.sqrt(h.var(axis=-1, keepdims=True) + EPS)
            xhat = (h - h.mean(axis=-1, keepdims=True)) / deviation
            return xhat * a.weight + a.bias, h
        deviation = np.sqrt((h**2).mean(axis=-1, keepdims=True) + EPS)
        xhat = h / deviation
        return xhat * a.weight, h

    def backward() -> tuple[Array, ...]:
        g = a.dy * a.weight
        if centres:
            g -= g.mean(axis=-1, keepdims=True)
        # A mean over centred rows: xhat has mean 0, so that m1 does not change m2.
        dresidual = (g - xhat * (g * xhat).mean(axis=-1, keepdims=True)) / deviation
        dx = dresidual * keep / (1 - p)
        sums = (a.dy.sum(axis=0),) if centres else ()
        return dx, dresidual, (a.dy * xhat).sum(axis=0), *sums, dx.sum(axis=0)

    return fused_passes(case, forward, backward)


class _Scratch:
    """Arrays that are reused, and a mask of 0 and 1 / (1 - p)."""

    def __init__(self, case: Case, x: Array) -> None:
        self.rng, self.p, self.kind = np.random.default_rng(0), case.p, random_dtype(x.dtype)
        self.scale = x.dtype.type(1 / (1 - case.p))
        self.uniform = np.empty(x.shape, self.kind)
        self.mask, self.t, self.value, self.free = (np.empty_like(x) for _ in range(4))
        self.ones = np.ones(len(x), x.dtype)

    def draw(self) -> None:
        self.rng.random(out=self.uniform, dtype=self.kind)
        np.greater_equal(self.uniform, self.p, out=self.mask)
        np.multiply(self.mask, self.scale, out=self.mask)


def _best(case: Case, data: Data) -> Job:
    """The mask is kept; of the activation so is what its derivative begins with: Phi(t), tanh or sigma(t)."""
    a, name = Operands(case, data), FUSED[case.kind].activation
    s = _Scratch(case, a.x)
    mask, t, value, free = s.mask, s.t, s.value, s.free
    dbias = np.empty_like(a.bias)
    root, half_root = (a.x.dtype.type(c) for c in (math.sqrt(2 / math.pi), math.sqrt(0.5)))

    def activate() -> None:
        """Phi, or what stands for it, into `value`; its product with t into y."""
        if name == "gelu":
            np.multiply(t, half_root, out=value)
            _erf(value, out=value)
        elif name == "gelu_tanh":
            np.multiply(t, t, out=value)
            np.multiply(value, root * _CUBE, out=value)
            np.add(value, root, out=value)
            np.multiply(value, t, out=value)
            np.tanh(value, out=value)
        else:
            np.multiply(t, -1, out=value)
            np.exp(value, out=value)
            np.add(value, 1, out=value)
            np.divide(1, value, out=value)
        if name != "silu":
            np.add(value, 1, out=value)
            np.multiply(value, 0.5, out=value)
        np.multiply(t, value, out=a.y)

    def forward() -> tuple[Array]:
        s.draw()
        np.add(a.x, a.bias, out=a.y if name in (None, "relu") else t)
        if name == "relu":
            np.maximum(a.y, 0, out=a.y)
        elif name is not None:
            activate()
        np.multiply(a.y, mask, out=a.y)
        if a.residual is not None:
            np.add(a.y, a.residual, out=a.y)
        return (a.y,)

    def derive() -> None:
        """The derivative into `free`."""
        if name == "gelu":  # Phi + t * exp(-t * t / 2) / sqrt(2 pi)
            np.multiply(t, t, out=free)
            np.multiply(free, -0.5, out=free)
            np.exp(free, out=free)
            np.multiply(free, root / 2, out=free)
            np.multiply(free, t, out=free)
        elif name == "gelu_tanh":  # value + 2 t (1 - value) value * slope, as tanh = 2 value - 1
            np.multiply(t, t, out=free)
            np.multiply(free, 6 * root * _CUBE, out=free)
            np.add(free, 2 * root, out=free)
            np.multiply(free, t, out=free)
            np.multiply(free, value, out=free)
            np.subtract(1, value, out=a.dx)
            np.multiply(free, a.dx, out=free)
        else:  # sigma + t * (1 - sigma) * sigma
            np.subtract(1, value, out=free)
            np.multiply(free, t, out=free)
            np.multiply(free, value, out=free)
        np.add(free, value, out=free)

    def backward() -> tuple[Array, Array]:
        if name is None:
            np.multiply(a.dy, mask, out=a.dx)
        elif name == "relu":  # y is 0 also where an element was dropped
            np.greater(a.y, 0, out=free)
            np.multiply(free, s.scale, out=free)
            np.multiply(a.dy, free, out=a.dx)
        else:
            derive()
            np.multiply(free, mask, out=free)
            np.multiply(a.dy, free, out=a.dx)
        return a.dx, np.matmul(s.ones, a.dx, out=dbias)

    return fused_passes(case, forward, backward)


def _best_norm(case: Case, data: Data) -> Job:
    """The mask, xhat and 1 / deviation are kept."""
    a, centres = Operands(case, data), "dbias" in FUSED[case.kind].gradients
    s = _Scratch(case, a.x)
    mask, xhat, g, free = s.mask, s.t, s.value, s.free
    dweight, dbias, dx_bias = (np.empty_like(a.bias) for _ in range(3))
    part = np.full(a.x.shape[1], 1 / a.x.shape[1], a.x.dtype)  # a product with it is a mean
    mean, rstd = (np.empty(len(a.x), a.x.dtype) for _ in range(2))
    dresidual = np.empty_like(a.x)

    def forward() -> tuple[Array, Array]:
        s.draw()
        np.add(a.x, a.x_bias, out=a.h)
        np.multiply(a.h, mask, out=a.h)
        np.add(a.h, a.residual, out=a.h)
        centred = a.h
        if centres:
            np.matmul(a.h, part, out=mean)
            centred = np.subtract(a.h, mean[:, None], out=xhat)
        np.einsum("ij,ij->i", centred, centred, out=rstd)
        np.multiply(rstd, part[0], out=rstd)
        np.add(rstd, EPS, out=rstd)
        np.sqrt(rstd, out=rstd)
        np.divide(1, rstd, out=rstd)
        np.multiply(centred, rstd[:, None], out=xhat)
        np.multiply(xhat, a.weight, out=a.y)
        if centres:
            np.add(a.y, a.bias, out=a.y)
        return a.y, a.h

    def backward() -> tuple[Array, ...]:
        np.multiply(a.dy, a.weight, out=g)
        np.einsum("ij,ij->i", g, xhat, out=mean)
        np.multiply(mean, part[0], out=mean)
        np.multiply(xhat, mean[:, None], out=free)
        if centres:
            np.matmul(g, part, out=mean)
            np.subtract(g, mean[:, None], out=g)
        np.subtract(g, free, out=g)
        np.multiply(g, rstd[:, None], out=dresidual)
        np.multiply(dresidual, mask, out=a.dx)
        np.multiply(a.dy, xhat, out=free)
        np.matmul(s.ones, free, out=dweight)
        np.matmul(s.ones, a.dx, out=dx_bias)
        sums = (np.matmul(s.ones, a.dy, out=dbias),) if centres else ()
        return a.dx, dresidual, dweight, *sums, dx_bias

    return fused_passes(case, forward, backward)
