# SPDX-License-Identifier: BSD-3-Clause
"""A transformer in NumPy for speed: fastdrop does what stands between the matrix products.

A step makes no large array. All of them are made once, for the largest batch, and a smaller batch has their
first rows. A row is what the network knows at one character, so
a batch of texts is batch x length rows.

A sublayer returns its product as it comes from the matrix multiplication. Its bias, dropout, the residual and
the norm in front of the next sublayer are one pass over memory: `AddNorm`.
"""

import numpy as np

import fastdrop

from .mlp import Adam

# Parameters. With gradients, mean, square and scratch they are 320 KB, which a second-level cache holds.
CHUNK = 16 * 1024


class AddNorm:
    """``h = residual + dropout(x + x_bias)`` and its layer norm, ``y = norm(h)``."""

    def __init__(self, norm, norm_gradient, biases, buffers):
        """Take weight and bias of the norm, their gradients, and x_bias with its gradient, or two None."""
        (self.weight, self.bias), self.gradient = norm, norm_gradient
        self.x_bias, self.x_bias_gradient = biases
        self.buffers = buffers
        self.y, self.h = buffers.new(1), buffers.new(1)

    def forward(self, x, residual):
        """Return y and h."""
        y, self.saved = fastdrop.dropout_add_layer_norm(
            x,
            residual,
            self.weight,
            self.bias,
            x_bias=self.x_bias,
            out=self.y[: len(x)],
            h_out=self.h[: len(x)],
            **self.buffers.dropout,
        )
        return y, self.saved.h

    def backward(self, dy, dh):
        """Return the gradients of x, which lies where dy was, and of the residual."""
        dresidual = self.buffers.dh[: len(dy)] if self.saved.has_residual else None
        gradients = fastdrop.dropout_add_layer_norm_backward(
            dy, self.saved, dh=dh, out=dy, dresidual_out=dresidual
        )
        self.gradient[:] = gradients.dweight, gradients.dbias
        if self.x_bias is not None:
            self.x_bias_gradient[:] = gradients.dx_bias
        return gradients.dx, gradients.dresidual


class SelfAttention:
    """Characters look at those before them. Queries, keys and values are one product."""

    def __init__(self, parameters, gradients, heads, buffers):
        """Take the weights for queries, keys and values and for merging the heads, and their gradients."""
        self.weight, self.merge = parameters
        self.weight_gradient, self.merge_gradient = gradients
        self.heads, self.buffers = heads, buffers
        self.projected, self.attended = buffers.new(3), buffers.new(1)

    def split(self, rows, batch_size):
        """Return views of rows for each head: of the shape (parts, batch, heads, length, features)."""
        parts = rows.shape[1] // len(self.weight)
        return rows.reshape(batch_size, -1, parts, self.heads, len(self.weight) // self.heads).transpose(
            2, 0, 3, 1, 4
        )

    def forward(self, y, batch_size):
        """Return what goes to the residual, without its bias."""
        self.y, self.batch_size = y, batch_size
        projected, attended = self.projected[: len(y)], self.attended[: len(y)]
        np.matmul(y, self.weight, out=projected)
        (out,) = self.split(attended, batch_size)
        _, self.saved = fastdrop.attention(
            *self.split(projected, batch_size), is_causal=True, out=out, **self.buffers.dropout
        )
        return np.matmul(attended, self.merge, out=self.buffers.product[: len(y)])

    def backward(self, dx):
        """Write the gradients of the weights; return that of y, which lies where dx was."""
        dattended, dprojected = self.buffers.dattended[: len(dx)], self.buffers.dprojected[: len(dx)]
        np.matmul(self.attended[: len(dx)].T, dx, out=self.merge_gradient)
        np.matmul(dx, self.merge.T, out=dattended)
        (dout,) = self.split(dattended, self.batch_size)
        fastdrop.attention_backward(dout, self.saved, out=tuple(self.split(dprojected, self.batch_size)))
        np.matmul(self.y.T, dprojected, out=self.weight_gradient)
        return np.matmul(dprojected, self.weight.T, out=dx)


class Hidden:
    """Two products, with bias, GELU and dropout between them."""

    def __init__(self, parameters, gradients, buffers):
        """Take the first weight with its bias below it, and the second one; then their gradients."""
        (expand, self.contract), (expand_gradient, self.contract_gradient) = parameters, gradients
        self.expand, self.bias = expand[:-1], expand[-1]
        self.expand_gradient, self.bias_gradient = expand_gradient[:-1], expand_gradient[-1]
        self.buffers = buffers
        self.x, self.hidden = buffers.new(4), buffers.new(4)

    def forward(self, y, batch_size):
        """Return what goes to the residual, without its bias."""
        self.y = y
        x, hidden = self.x[: len(y)], self.hidden[: len(y)]
        np.matmul(y, self.expand, out=x)
        _, self.saved = fastdrop.bias_dropout_add(
            x, self.bias, activation="gelu", out=hidden, **self.buffers.dropout
        )
        return np.matmul(hidden, self.contract, out=self.buffers.product[: len(y)])

    def backward(self, dx):
        """Write the gradients of weights and bias; return that of y, which lies where dx was."""
        dhidden = self.buffers.dhidden[: len(dx)]
        np.matmul(self.hidden[: len(dx)].T, dx, out=self.contract_gradient)
        np.matmul(dx, self.contract.T, out=dhidden)
        _, self.bias_gradient[:] = fastdrop.bias_dropout_add_backward(dhidden, self.saved, out=dhidden)
        np.matmul(self.y.T, dhidden, out=self.expand_gradient)
        return np.matmul(dhidden, self.expand.T, out=dx)


class Buffers:
    """Memory of all layers, which the next one writes over, and dropout's options."""

    def __init__(self, rows, features, dtype, dropout):
        """Make the arrays."""
        self.rows, self.features, self.dtype, self.dropout = rows, features, dtype, dropout
        self.product, self.dattended, self.dh = self.new(1), self.new(1), self.new(1)
        self.dprojected, self.dhidden = self.new(3), self.new(4)

    def new(self, times):
        """Return a new array, so many times as wide as the network."""
        return np.empty((self.rows, times * self.features), self.dtype)


class Transformer:
    """A language model: from characters to logits of the next one at every place."""

    def __init__(self, sizes, parameters, p, seed, batch_size):
        """Take the first parameters, which are copied; `batch_size` texts are the most that it takes."""
        self.parameters, self.gradients = parameters.copy(), np.zeros_like(parameters)
        self.dropout = {"p": p, "rng": fastdrop.MaskGenerator(seed), "training": True}
        own, gradients = sizes.split(self.parameters), sizes.split(self.gradients)
        buffers = Buffers(batch_size * sizes.length, sizes.features, parameters.dtype, self.dropout)
        self.places, self.places_gradient = own["places"], gradients["places"]
        self.characters, self.characters_gradient = own["characters"], gradients["characters"]
        self.weight, self.weight_gradient = own["logits"], gradients["logits"]

        self.sublayers, biases = [], [(None, None)]
        for layer in range(sizes.layers):
            first, merge, expand, contract = (
                (own[name][layer], gradients[name][layer])
                for name in ("query_key_value", "merge", "expand", "contract")
            )
            self.sublayers += [
                SelfAttention((first[0], merge[0][:-1]), (first[1], merge[1][:-1]), sizes.heads, buffers),
                Hidden((expand[0], contract[0][:-1]), (expand[1], contract[1][:-1]), buffers),
            ]
            biases += [(value[-1], gradient[-1]) for value, gradient in (merge, contract)]
        norms = zip(own["norms"], gradients["norms"], biases, strict=True)
        self.norms = [AddNorm(*arrays, buffers) for arrays in norms]
        self.embedded = buffers.new(1)
        self.outputs, self.one_hot = np.empty((2, len(self.embedded), sizes.characters), parameters.dtype)

    def forward(self, texts):
        """Return the logits, a row for each character of the texts; the next call writes over them."""
        batch_size, length = texts.shape
        rows = self.embedded[: texts.size]
        np.take(self.characters, texts.ravel(), axis=0, out=rows, mode="clip")  # "raise" would make a copy
        whole = rows.reshape(batch_size, length, -1)
        whole += self.places[:length]
        y, h = self.norms[0].forward(rows, None)
        for sublayer, norm in zip(self.sublayers, self.norms[1:], strict=True):
            y, h = norm.forward(sublayer.forward(y, batch_size), h)
        return np.matmul(y, self.weight, out=self.outputs[: texts.size])

    def backward(self, texts, dlogits):
        """Fill ``self.gradients`` from the gradient of the logits."""
        y = self.norms[-1].y
        np.matmul(y.T, dlogits, out=self.weight_gradient)
        dy, dh = np.matmul(dlogits, self.weight.T, out=self.embedded), None
        for sublayer, norm in zip(self.sublayers[::-1], self.norms[:0:-1], strict=True):
            dx, dh = norm.backward(dy, dh)
            dy = sublayer.backward(dx)
        dx, _ = self.norms[0].backward(dy, dh)
        np.sum(dx.reshape(*texts.shape, -1), axis=0, out=self.places_gradient)
        np.equal(texts.reshape(-1, 1), np.arange(len(self.characters)), out=self.one_hot)
        np.matmul(self.one_hot.T, dx, out=self.characters_gradient)

    def gradient_step(self, texts, targets):
        """Fill ``self.gradients`` from a full batch; return its mean loss."""
        logits = self.forward(texts)
        loss, dlogits = fastdrop.cross_entropy(logits, targets.ravel(), out=logits)
        self.backward(texts, dlogits)
        return loss

    def train(self, mode=True):
        """Switch dropout on, or off with ``mode=False``."""
        self.dropout["training"] = mode


class ChunkedAdam:
    """`Adam`, on a chunk of the parameters at a time: all its passes find the chunk in the cache."""

    def __init__(self, parameters, gradients):
        """Take the flat arrays of a model."""
        scratch, self.chunks = np.empty_like(parameters[:CHUNK]), []
        for first in range(0, len(parameters), CHUNK):
            chunk = slice(first, first + CHUNK)
            self.chunks.append(Adam(parameters[chunk], gradients[chunk]))
            self.chunks[-1].scratch = scratch[: len(parameters[chunk])]

    def step(self, learning_rate):
        """Update the parameters from the gradients, in place."""
        for chunk in self.chunks:
            chunk.learning_rate = learning_rate
            chunk.step()
