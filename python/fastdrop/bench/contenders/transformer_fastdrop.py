# SPDX-License-Identifier: BSD-3-Clause
"""A transformer's step in NumPy with fastdrop, as a user who wants speed writes it: all arrays are reused.

The bias, dropout, residual and norm between two products are one pass over memory.
"""

from typing import Any

import numpy as np

import fastdrop

from ..transformer import LAYERS, LEARNING_RATE, Array, Start, split


class Transformer:
    """The network, and a step of gradient descent."""

    def __init__(self, start: Start, p: float) -> None:
        self.start, self.drop = start, dict[str, Any](p=p, rng=fastdrop.MaskGenerator(0))
        self.flat, self.flat_gradients = start.flat.copy(), np.zeros_like(start.flat)
        self.own, self.gradients = (split(flat, start.features) for flat in (self.flat, self.flat_gradients))
        self.kept_bytes = 0
        self.projected, self.attended, self.x, self.hidden = (
            [self._rows(times) for _ in range(LAYERS)] for times in (3, 1, 4, 4)
        )
        # What every norm writes: the last one's gradients go where its results are.
        self.y, self.h = ([self._rows(1) for _ in range(2 * LAYERS + 1)] for _ in range(2))
        self.product, self.dattended, self.dh = (self._rows(1) for _ in range(3))
        self.dprojected, self.dhidden = self._rows(3), self._rows(4)

    def _rows(self, times: int) -> Array:
        rows, features = self.start.x.shape
        array = np.zeros((rows, times * features), self.start.x.dtype)
        self.kept_bytes += array.nbytes
        return array

    def _heads(self, rows: Array) -> Any:
        """Views of rows: of the shape (parts, batch, heads, steps, features of a head)."""
        start = self.start
        parts = rows.shape[1] // start.features
        size = start.features // start.heads
        return rows.reshape(start.batch, start.steps, parts, start.heads, size).transpose(2, 0, 3, 1, 4)

    def forward(self) -> Array:
        """The normalised rows after the last layer."""
        own, h = self.own, self.start.x
        y, saved = fastdrop.layer_norm(h, *own["attention_norm_0"], out=self.y[0])
        self.norms: list[Any] = [saved]
        self.attentions: list[Any] = []
        self.activations: list[Any] = []
        for layer in range(LAYERS):
            np.matmul(y, own[f"project_{layer}"], out=self.projected[layer])
            (out,) = self._heads(self.attended[layer])
            _, saved_attention = fastdrop.attention(*self._heads(self.projected[layer]), out=out, **self.drop)
            product = np.matmul(self.attended[layer], own[f"merge_{layer}"], out=self.product)
            y, h = self._add_norm(product, h, f"merge_bias_{layer}", f"hidden_norm_{layer}")
            np.matmul(y, own[f"expand_{layer}"], out=self.x[layer])
            hidden, saved_activation = fastdrop.bias_dropout_add(
                self.x[layer],
                own[f"expand_bias_{layer}"],
                activation="gelu",
                out=self.hidden[layer],
                **self.drop,
            )
            product = np.matmul(hidden, own[f"contract_{layer}"], out=self.product)
            norm = f"attention_norm_{layer + 1}" if layer + 1 < LAYERS else "last_norm"
            y, h = self._add_norm(product, h, f"contract_bias_{layer}", norm)
            self.attentions.append(saved_attention)
            self.activations.append(saved_activation)
        return y

    def _add_norm(self, x: Array, residual: Array, x_bias: str, norm: str) -> tuple[Array, Any]:
        number = len(self.norms)
        y, saved = fastdrop.dropout_add_layer_norm(
            x,
            residual,
            *self.own[norm],
            x_bias=self.own[x_bias],
            out=self.y[number],
            h_out=self.h[number],
            **self.drop,
        )
        self.norms.append(saved)
        return y, saved.h

    def backward(self, y: Array) -> tuple[float, Array]:
        """The loss and the gradient of x; those of the parameters lie in `gradients`."""
        own, gradients, rows = self.own, self.gradients, len(y)
        dy = np.subtract(y, self.start.target, out=self.dattended)
        loss = float(np.vdot(dy, dy)) / (2 * rows)
        np.multiply(dy, 1 / rows, out=dy)
        dh: Array | None = None
        norm = "last_norm"
        for layer in reversed(range(LAYERS)):
            dx, dh = self._add_norm_backward(dy, dh, norm, f"contract_bias_{layer}")
            np.matmul(self.hidden[layer].T, dx, out=gradients[f"contract_{layer}"])
            dhidden = np.matmul(dx, own[f"contract_{layer}"].T, out=self.dhidden)
            _, gradients[f"expand_bias_{layer}"][:] = fastdrop.bias_dropout_add_backward(
                dhidden, self.activations[layer], out=dhidden
            )
            np.matmul(self.y[2 * layer + 1].T, dhidden, out=gradients[f"expand_{layer}"])
            dy = np.matmul(dhidden, own[f"expand_{layer}"].T, out=dx)

            dx, dh = self._add_norm_backward(dy, dh, f"hidden_norm_{layer}", f"merge_bias_{layer}")
            np.matmul(self.attended[layer].T, dx, out=gradients[f"merge_{layer}"])
            np.matmul(dx, own[f"merge_{layer}"].T, out=self.product)
            (dout,) = self._heads(self.product)
            fastdrop.attention_backward(dout, self.attentions[layer], out=tuple(self._heads(self.dprojected)))
            np.matmul(self.y[2 * layer].T, self.dprojected, out=gradients[f"project_{layer}"])
            dy = np.matmul(self.dprojected, own[f"project_{layer}"].T, out=dx)
            norm = f"attention_norm_{layer}"
        first = fastdrop.dropout_add_layer_norm_backward(dy, self.norms.pop(), dh=dh, out=dy)
        gradients[norm][:] = first.dweight, first.dbias
        return loss, first.dx

    def _add_norm_backward(self, dy: Array, dh: Array | None, norm: str, x_bias: str) -> tuple[Array, Any]:
        """The gradient of x, which lies where dy was, and that of the residual."""
        result = fastdrop.dropout_add_layer_norm_backward(
            dy, self.norms.pop(), dh=dh, out=dy, dresidual_out=self.dh
        )
        self.gradients[norm][:] = result.dweight, result.dbias
        self.gradients[x_bias][:] = result.dx_bias
        return result.dx, result.dresidual

    def step(self) -> float:
        """One step; the loss before it."""
        loss, _ = self.backward(self.forward())
        self.flat_gradients *= LEARNING_RATE
        self.flat -= self.flat_gradients
        return loss
