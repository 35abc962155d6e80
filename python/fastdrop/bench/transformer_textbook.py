# SPDX-License-Identifier: BSD-3-Clause
"""A transformer's step in NumPy as textbooks have it, in place where that is easy, and its products alone."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .transformer import EPS, LAYERS, LEARNING_RATE, Array, Parameters, Start, split


class Textbook:
    """The network, and a step of gradient descent; every array of a step is new. NumPy has no `erf`."""

    def __init__(self, start: Start, p: float, erf: Callable[[Array], Array]) -> None:
        self.start, self.p, self.rng, self.erf = start, p, np.random.default_rng(0), erf
        self.flat, self.flat_gradients = start.flat.copy(), np.zeros_like(start.flat)
        self.own, self.gradients = (split(flat, start.features) for flat in (self.flat, self.flat_gradients))

    def _drop(self, x: Array) -> tuple[Array, Array]:
        """What is left of x, and the mask, which holds the scale."""
        mask = (self.rng.random(x.shape, np.float32) >= self.p) * x.dtype.type(1 / (1 - self.p))
        return x * mask, mask

    def forward(self) -> tuple[Array, Any]:
        """The normalised rows after the last layer, and what the gradients need."""
        own, h, saved = self.own, self.start.x, []
        for layer in range(LAYERS):
            y, norm = _norm(h, *own[f"attention_norm_{layer}"])
            projected = y @ own[f"project_{layer}"]
            attended, attention = self._attention(projected)
            merged = attended @ own[f"merge_{layer}"] + own[f"merge_bias_{layer}"]
            dropped, merge_mask = self._drop(merged)
            h = h + dropped
            z, hidden_norm = _norm(h, *own[f"hidden_norm_{layer}"])
            before = z @ own[f"expand_{layer}"] + own[f"expand_bias_{layer}"]
            share = 0.5 * (1 + self.erf(before * math.sqrt(0.5)))  # of the normal distribution
            hidden, hidden_mask = self._drop(before * share)
            contracted = hidden @ own[f"contract_{layer}"] + own[f"contract_bias_{layer}"]
            dropped, contract_mask = self._drop(contracted)
            h = h + dropped
            first = (y, norm, attention, attended, merge_mask)
            saved.append((*first, z, hidden_norm, before, share, hidden, hidden_mask, contract_mask))
        y, norm = _norm(h, *own["last_norm"])
        return y, (saved, norm)

    def backward(self, y: Array, saved: Any) -> tuple[float, Array]:
        """The loss and the gradient of x; those of the parameters lie in `gradients`."""
        own, gradients = self.own, self.gradients
        layers, last_norm = saved
        dy = y - self.start.target
        loss = float(np.square(dy).sum()) / (2 * len(y))
        dh = self._norm_backward(dy / len(y), last_norm, "last_norm")
        for layer in reversed(range(LAYERS)):
            y, norm, attention, attended, merge_mask, *rest = layers[layer]
            z, hidden_norm, before, share, hidden, hidden_mask, contract_mask = rest
            dx = dh * contract_mask
            gradients[f"contract_bias_{layer}"][:] = dx.sum(axis=0)
            gradients[f"contract_{layer}"][:] = hidden.T @ dx
            dhidden = (dx @ own[f"contract_{layer}"].T) * hidden_mask
            density = np.exp(-0.5 * before * before) * (1 / math.sqrt(2 * math.pi))
            dhidden *= share + before * density
            gradients[f"expand_bias_{layer}"][:] = dhidden.sum(axis=0)
            gradients[f"expand_{layer}"][:] = z.T @ dhidden
            dz = dhidden @ own[f"expand_{layer}"].T
            dh = dh + self._norm_backward(dz, hidden_norm, f"hidden_norm_{layer}")
            dx = dh * merge_mask
            gradients[f"merge_bias_{layer}"][:] = dx.sum(axis=0)
            gradients[f"merge_{layer}"][:] = attended.T @ dx
            dprojected = self._attention_backward(dx @ own[f"merge_{layer}"].T, attention)
            gradients[f"project_{layer}"][:] = y.T @ dprojected
            dy = dprojected @ own[f"project_{layer}"].T
            dh = dh + self._norm_backward(dy, norm, f"attention_norm_{layer}")
        return loss, dh

    def step(self) -> float:
        """One step; the loss before it."""
        loss, _ = self.backward(*self.forward())
        self.flat -= LEARNING_RATE * self.flat_gradients
        return loss

    def _heads(self, rows: Array) -> Array:
        start = self.start
        size = start.features // start.heads
        return rows.reshape(start.batch, start.steps, -1, start.heads, size).transpose(2, 0, 3, 1, 4)

    def _attention(self, projected: Array) -> tuple[Array, Any]:
        query, key, value = self._heads(projected)
        weights = query @ key.swapaxes(-1, -2)
        weights *= 1 / math.sqrt(query.shape[-1])
        weights -= weights.max(axis=-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(axis=-1, keepdims=True)
        dropped, mask = self._drop(weights)
        attended = (dropped @ value).transpose(0, 2, 1, 3).reshape(len(projected), -1)
        return attended, (query, key, value, weights, dropped, mask)

    def _attention_backward(self, dattended: Array, saved: Any) -> Array:
        query, key, value, weights, dropped, mask = saved
        (dout,) = self._heads(dattended)
        dprojected = np.empty((len(dattended), 3 * dattended.shape[1]), dattended.dtype)
        dquery, dkey, dvalue = self._heads(dprojected)
        dvalue[:] = dropped.swapaxes(-1, -2) @ dout
        dscores = (dout @ value.swapaxes(-1, -2)) * mask
        dscores -= (dscores * weights).sum(axis=-1, keepdims=True)
        dscores *= weights
        dscores *= 1 / math.sqrt(query.shape[-1])
        dquery[:] = dscores @ key
        dkey[:] = dscores.swapaxes(-1, -2) @ query
        return dprojected

    def _norm_backward(self, dy: Array, saved: Any, name: str) -> Array:
        normal, inverse, weight = saved
        self.gradients[name][:] = (dy * normal).sum(axis=0), dy.sum(axis=0)
        g = dy * weight
        mean, along = g.mean(axis=-1, keepdims=True), (g * normal).mean(axis=-1, keepdims=True)
        return (g - mean - normal * along) * inverse  # type: ignore[no-any-return]


def _norm(x: Array, weight: Array, bias: Array) -> tuple[Array, Any]:
    normal = x - x.mean(axis=-1, keepdims=True)
    inverse = 1 / np.sqrt(np.square(normal).mean(axis=-1, keepdims=True) + EPS)
    normal *= inverse
    return normal * weight + bias, (normal, inverse, weight)


def products(start: Start) -> tuple[Callable[[], None], int]:
    """A call of a step's matrix products alone, and the bytes of its arrays."""
    own = split(start.flat, start.features)
    rows, features = start.x.shape
    arrays = {times: np.ones((3, rows, times * features), start.x.dtype) for times in (1, 3, 4)}
    weight_gradients: Parameters = {
        name: np.empty_like(array) for name, array in own.items() if array.ndim == 2
    }
    shape = (start.batch * start.heads, start.steps)
    heads = np.ones((7, *shape, features // start.heads), start.x.dtype)
    scores, dscores = np.ones((2, *shape, start.steps), start.x.dtype)
    query, key, value, dout, dquery, dkey, dvalue = heads
    linear = [
        (name, own[f"{name}_{layer}"], weight_gradients[f"{name}_{layer}"])
        for layer in range(LAYERS)
        for name in ("project", "merge", "expand", "contract")
    ]

    def run() -> None:
        for name, weight, gradient in linear:
            x, _, dx = arrays[weight.shape[0] // features]
            _, y, _ = arrays[weight.shape[1] // features]
            np.matmul(x, weight, out=y)
            np.matmul(x.T, y, out=gradient)
            np.matmul(y, weight.T, out=dx)
            if name == "project":  # its attention; the backward pass computes the scores again
                for _ in range(2):
                    np.matmul(query, key.swapaxes(1, 2), out=scores)
                np.matmul(scores, value, out=dout)
                np.matmul(dout, value.swapaxes(1, 2), out=dscores)
                np.matmul(scores.swapaxes(1, 2), dout, out=dvalue)
                np.matmul(dscores, key, out=dquery)
                np.matmul(dscores.swapaxes(1, 2), query, out=dkey)

    kept = sum(array.nbytes for array in (*arrays.values(), heads, scores, dscores))
    return run, kept
