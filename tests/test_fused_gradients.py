# SPDX-License-Identifier: BSD-3-Clause
"""The gradients of the fused functions are those of their results, by central differences in float64.

``L(v + h d) - L(v - h d) = 2 h <gradient, d> + h^3 / 3 L'''`` for an L'' at a place in between, so that the
bound is that of the third derivative along d, and of the rounding errors of both results and of the gradient
(`fused_formulas.py`). Values and steps are multiples of 2^-20 below 16: `v + h d` is exact.
"""

import numpy as np
import pytest

import fastdrop
import fused_formulas as formulas
from bounded import Bounded

SHAPE = ROWS, FEATURES = 67, 5
STEP = 2.0**-17
EPS = 2.0**-10


def multiples(seed, shape=SHAPE):
    """Normal numbers, rounded to multiples of 2^-20."""
    return np.round(np.random.default_rng(seed).standard_normal(shape) * 2**20) / 2**20


def directions(shape):
    """Three of multiples of 1/8, up to 1."""
    rng = np.random.default_rng(99)
    return [rng.integers(-8, 9, shape) / 8 for _ in range(3)]


def bounded(x):
    return Bounded(x, "float64")


def judge(loss, rounding, gradient, error, truncation, direction):
    """That a gradient, which is exact up to that error, is the slope of the loss along a direction.

    `loss` and `rounding` are pairs: at both ends of the step.
    """
    slope = (gradient.astype(np.longdouble) * direction).sum()
    bound = sum(rounding) + 2 * STEP * (error * abs(direction)).sum() + STEP**3 / 3 * truncation
    assert abs(loss[1] - loss[0] - 2 * STEP * slope) <= bound
    assert bound <= 2 * STEP * 1e-6 * (abs(gradient) * abs(direction)).sum()  # the bound says something


def moved(operands, name, direction):
    for sign in (-1, 1):
        yield {**operands, name: operands[name] + sign * STEP * direction}


def total(a, b):
    return (a.astype(np.longdouble) * b).sum()


# --- bias_dropout_add ---------------------------------------------------------------------------------

# Third derivatives: of gelu phi(t) (t^3 - 4 t), which is below 0.8; the other two are smaller or near it.
THIRD = {None: 0.0, "relu": 0.0, "gelu": 1.0, "gelu_tanh": 1.0, "silu": 1.0}


@pytest.mark.parametrize("activation", formulas.TEXTBOOK)
def test_third_derivatives_are_below_their_bound(activation):
    """A third difference is the third derivative somewhere between its ends, times the cube of the step."""
    grid = np.arange(-15 * 64, 15 * 64 + 1).astype(np.longdouble) / 64
    thirds = np.diff(formulas.TEXTBOOK[activation][0](grid), 3) * 64**3
    assert 0.2 < abs(thirds).max() < 0.9


@pytest.mark.parametrize("activation", THIRD)
@pytest.mark.parametrize("name", ["x", "bias", "residual"])
def test_bias_dropout_add(name, activation):
    operands = {"x": multiples(0), "bias": multiples(1, FEATURES), "residual": multiples(2)}
    if activation == "relu" and name != "residual":
        del operands["residual"]  # so that the backward pass reads y
    dy, mask = multiples(3), fastdrop.Mask(SHAPE, 0.5, seed=1)
    keep, scale = mask.to_numpy(), 2.0
    _, saved = fastdrop.bias_dropout_add(**operands, activation=activation, mask=mask)
    dx, dbias = fastdrop.bias_dropout_add_backward(dy, saved)
    gradient = {"x": dx, "bias": dbias, "residual": dy}[name]

    t = bounded(operands["x"]) + bounded(operands["bias"])
    assert abs(t.value).min() > 2 * STEP  # no step of relu's crosses 0
    exact = bounded(dy) * scale
    if activation == "relu":
        exact = exact.where(t.value > 0)
    elif activation is not None:
        exact = exact * formulas.derivative(t, activation)
    exact = exact.where(keep)
    error = {"x": exact, "bias": formulas.column_sums(exact), "residual": bounded(dy)}[name].error

    for direction in directions(operands[name].shape):
        loss, rounding = [], []
        for changed in moved(operands, name, direction):
            y, _ = fastdrop.bias_dropout_add(**changed, activation=activation, mask=mask)
            loss.append(total(y, dy))
            given = [bounded(changed.get(key, -0.0)) for key in ("x", "bias", "residual")]
            result = formulas.bias_dropout_add(*given, keep, scale, activation)
            rounding.append((result.error * abs(dy)).sum())
        along = np.broadcast_to(abs(direction) ** 3, SHAPE)
        truncation = 0.0 if name == "residual" else THIRD[activation] * (abs(dy) * scale * along)[keep].sum()
        judge(loss, rounding, gradient, error, truncation, direction)


# --- Norms --------------------------------------------------------------------------------------------


def third_of_norm(h, along, w, norm):
    """A bound of the third derivative of ``sum(w * xhat)`` where h moves along a direction.

    A row is ``xhat = sqrt(C) q / sqrt(r)`` with ``r = q^2 + C eps``, and q is h less its mean, or h. So q' =
    v is no longer than the direction. From ``|r'| <= 2 |v| sqrt(r)``, ``r'' <= 2 v^2`` and ``r''' = 0``, the
    derivatives of ``r^(-1/2)`` are at most ``|v| / r``, ``4 |v|^2 r^(-3/2)`` and ``24 |v|^3 r^(-2)``. Hence
    ``|(q r^(-1/2))'''| <= sqrt(r) 24 |v|^3 r^(-2) + 3 |v| 4 |v|^2 r^(-3/2) = 36 |v|^3 r^(-3/2)``. On the way
    q is at least as long as at the middle, less the step.
    """
    q = h - h.mean(-1, keepdims=True) if norm == "layer" else h
    length = np.sqrt((along**2).sum(-1))
    shortest = np.maximum(np.sqrt((q**2).sum(-1)) - STEP * length, 0)
    r = shortest**2 + FEATURES * EPS
    weights = np.sqrt(FEATURES * (w**2).sum(-1))
    return (weights * 36 * length**3 * r**-1.5).sum()


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("name", ["x", "residual", "weight", "bias", "x_bias"])
@pytest.mark.parametrize("with_dh", [False, True])
def test_norms(norm, name, with_dh):
    if norm == "rms" and name == "bias":
        return
    operands = {"x": multiples(0), "residual": multiples(1), "weight": multiples(2, FEATURES)}
    operands["x_bias"] = multiples(3, FEATURES)
    if norm == "layer":
        operands["bias"] = multiples(4, FEATURES)
    dy, dh = multiples(5), multiples(6) if with_dh else None
    mask = fastdrop.Mask(SHAPE, 0.5, seed=1)
    keep, scale = mask.to_numpy(), 2.0
    function = getattr(fastdrop, f"dropout_add_{norm}_norm")
    _, saved = function(**operands, mask=mask, eps=EPS)
    gradients = getattr(fastdrop, f"dropout_add_{norm}_norm_backward")(dy, saved, dh=dh)
    gradient = getattr(gradients, f"d{name}")

    def computed(given):
        """h, xhat, rstd and y with their errors."""
        wide = {key: bounded(value) for key, value in given.items()}
        h = formulas.bias_dropout_add(wide["x"], wide["x_bias"], wide["residual"], keep, scale, None)
        xhat, _, rstd = formulas.normalized(norm, h, EPS)
        y = xhat * wide["weight"]
        return h, xhat, rstd, y + wide["bias"] if norm == "layer" else y

    h, xhat, rstd, _ = computed(operands)
    own = formulas.through_norm(norm, bounded(dy) * bounded(operands["weight"]), xhat, rstd)
    dresidual = own if dh is None else bounded(dh) + own
    dx = (dresidual * scale).where(keep)
    error = {
        "x": dx,
        "residual": dresidual,
        "weight": formulas.column_sums(bounded(dy) * xhat),
        "bias": formulas.column_sums(bounded(dy)),
        "x_bias": formulas.column_sums(dx),
    }[name].error

    for direction in directions(operands[name].shape):
        loss, rounding = [], []
        for changed in moved(operands, name, direction):
            y, after = function(**changed, mask=mask, eps=EPS)
            bounds = computed(changed)
            loss.append(total(y, dy) + (0 if dh is None else total(after.h, dh)))
            off = (bounds[3].error * abs(dy)).sum()
            rounding.append(off + (0 if dh is None else (bounds[0].error * abs(dh)).sum()))
        along = np.broadcast_to(direction, SHAPE)
        along = along if name == "residual" else np.where(keep, scale * along, 0)
        is_linear = name in ("weight", "bias")
        third = 0.0 if is_linear else third_of_norm(h.value, along, dy * operands["weight"], norm)
        judge(loss, rounding, gradient, error, third, direction)
