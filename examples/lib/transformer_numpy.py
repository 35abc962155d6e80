# SPDX-License-Identifier: BSD-3-Clause
"""The same transformer in textbook NumPy: formulas one by one, in place where this is easy.

The forward functions return their result and what the backward functions need. A row is what the network
knows at one character, as in ``lib/transformer.py``.
"""

import numpy as np
from scipy.special import erf

from .mlp import softmax_cross_entropy

EPSILON = 1e-5  # of the norms: PyTorch's, and fastdrop's


class TextbookTransformer:
    """A language model: from characters to logits of the next one at every place."""

    def __init__(self, sizes, parameters, p, seed):
        """Take the first parameters, which are copied."""
        self.sizes, self.p, self.rng = sizes, p, np.random.default_rng(seed)
        self.parameters, self.gradients = parameters.copy(), np.zeros_like(parameters)
        self.own, self.own_gradients = sizes.split(self.parameters), sizes.split(self.gradients)
        self.training = True

    def train(self, mode=True):
        """Switch dropout on, or off with ``mode=False``."""
        self.training = mode

    def forward(self, texts):
        """Return the logits, a row for each character of the texts, and remember what the backward needs."""
        batch_size, length = texts.shape
        own, self.layers = self.own, []
        x = own["characters"][texts] + own["places"][:length]
        x, self.mask = self.drop(x.reshape(texts.size, -1))
        for layer in range(self.sizes.layers):
            x, for_attention = self.attend(layer, x, batch_size)
            x, for_hidden = self.think(layer, x)
            self.layers.append((for_attention, for_hidden))
        self.y, self.norm = layer_norm(x, *own["norms"][-1])
        return np.matmul(self.y, own["logits"])

    def backward(self, texts, dlogits):
        """Fill ``self.gradients`` from the gradient of the logits."""
        own, gradients = self.own, self.own_gradients
        gradients["logits"][:] = np.matmul(self.y.T, dlogits)
        dy = np.matmul(dlogits, own["logits"].T)
        dx = layer_norm_backward(dy, self.norm, gradients["norms"][-1])
        for layer in reversed(range(self.sizes.layers)):
            for_attention, for_hidden = self.layers[layer]
            dx += self.think_backward(layer, dx, for_hidden)
            dx += self.attend_backward(layer, dx, for_attention)
        dx = drop_backward(dx, self.mask).reshape(*texts.shape, -1)
        gradients["places"][:] = dx.sum(axis=0)
        gradients["characters"][:] = 0
        np.add.at(gradients["characters"], texts, dx)

    def attend(self, layer, x, batch_size):
        """Add to x what attention finds; return what its gradient needs as well."""
        own = self.own
        y, norm = layer_norm(x, *own["norms"][2 * layer])
        projected = np.matmul(y, own["query_key_value"][layer])
        attended, saved = attention(projected, batch_size, self.sizes.heads, self.drop)
        out, mask = self.drop(linear(attended, own["merge"][layer]))
        out += x
        return out, (norm, y, saved, attended, mask)

    def attend_backward(self, layer, dout, saved):
        """Return the gradient of x, but for the part that comes through the residual."""
        own, gradients = self.own, self.own_gradients
        norm, y, saved, attended, mask = saved
        dout = drop_backward(dout, mask)
        dattended = linear_backward(dout, attended, own["merge"][layer], gradients["merge"][layer])
        dprojected = attention_backward(dattended, saved)
        gradients["query_key_value"][layer] = np.matmul(y.T, dprojected)
        dy = np.matmul(dprojected, own["query_key_value"][layer].T)
        return layer_norm_backward(dy, norm, gradients["norms"][2 * layer])

    def think(self, layer, x):
        """Add to x what the hidden layer computes; return what its gradient needs as well."""
        own = self.own
        y, norm = layer_norm(x, *own["norms"][2 * layer + 1])
        before = linear(y, own["expand"][layer])
        hidden, share = gelu(before)
        hidden, hidden_mask = self.drop(hidden)
        out, mask = self.drop(linear(hidden, own["contract"][layer]))
        out += x
        return out, (norm, y, before, share, hidden, hidden_mask, mask)

    def think_backward(self, layer, dout, saved):
        """Return the gradient of x, but for the part that comes through the residual."""
        own, gradients = self.own, self.own_gradients
        norm, y, before, share, hidden, hidden_mask, mask = saved
        dout = drop_backward(dout, mask)
        dhidden = linear_backward(dout, hidden, own["contract"][layer], gradients["contract"][layer])
        dbefore = gelu_backward(drop_backward(dhidden, hidden_mask), before, share)
        dy = linear_backward(dbefore, y, own["expand"][layer], gradients["expand"][layer])
        return layer_norm_backward(dy, norm, gradients["norms"][2 * layer + 1])

    def drop(self, x):
        """Drop from x."""
        return dropout(x, self.p if self.training else 0, self.rng)

    def gradient_step(self, texts, targets):
        """Fill ``self.gradients`` from a batch; return its mean loss."""
        loss, dlogits = softmax_cross_entropy(self.forward(texts), targets.ravel())
        self.backward(texts, dlogits)
        return loss


def dropout(x, p, rng):
    """Drop and scale, in place; return x and the mask, which holds the scale. p = 0 needs no mask.

    The mask is that of ``mlp.TextbookDropout``: cast once, so that what follows stays float32.
    """
    if p == 0:
        return x, None
    mask = ((rng.random(x.shape) >= p) / (1 - p)).astype(x.dtype)
    x *= mask
    return x, mask


def drop_backward(dy, mask):
    """Return the gradient of what `dropout` took."""
    return dy if mask is None else dy * mask


def linear(x, parameters):
    """Return x times the weight, plus the bias, which lies below it."""
    y = np.matmul(x, parameters[:-1])
    y += parameters[-1]
    return y


def linear_backward(dy, x, parameters, gradients):
    """Write the gradients of weight and bias; return that of x."""
    gradients[:-1] = np.matmul(x.T, dy)
    gradients[-1] = dy.sum(axis=0)
    return np.matmul(dy, parameters[:-1].T)


def layer_norm(x, weight, bias):
    """Return rows of mean 0 and variance 1, times the weight, plus the bias."""
    normal = x - x.mean(axis=1, keepdims=True)
    inverse = 1 / np.sqrt(np.square(normal).mean(axis=1, keepdims=True) + EPSILON)
    normal *= inverse
    return normal * weight + bias, (normal, inverse, weight)


def layer_norm_backward(dy, saved, gradients):
    """Write the gradients of weight and bias; return that of x."""
    normal, inverse, weight = saved
    gradients[0] = (dy * normal).sum(axis=0)
    gradients[1] = dy.sum(axis=0)
    dx = dy * weight
    mean, along = dx.mean(axis=1, keepdims=True), (dx * normal).mean(axis=1, keepdims=True)
    dx -= mean
    dx -= normal * along
    dx *= inverse
    return dx


def gelu(x):
    """Return x times the share of the normal distribution below it; and this share."""
    share = erf(x * 0.5**0.5)
    share += 1
    share *= 0.5
    return x * share, share


def gelu_backward(dy, x, share):
    """Return the gradient of x."""
    derivative = np.exp(x * x * -0.5)
    derivative *= (2 * np.pi) ** -0.5
    derivative *= x
    derivative += share
    derivative *= dy
    return derivative


def attention(projected, batch_size, heads, drop):
    """Return what each character takes from itself and those before it; all heads beside each other."""
    rows, width = projected.shape
    parts = projected.reshape(batch_size, -1, 3, heads, width // 3 // heads)
    query, key, value = parts.transpose(2, 0, 3, 1, 4)
    weights = np.matmul(query, key.swapaxes(-1, -2))
    weights *= query.shape[-1] ** -0.5
    weights[..., ~np.tri(weights.shape[-1], dtype=bool)] = -np.inf
    weights -= weights.max(axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=-1, keepdims=True)
    dropped, mask = drop(weights.copy())
    out = np.matmul(dropped, value).transpose(0, 2, 1, 3).reshape(rows, -1)
    return out, (query, key, value, weights, dropped, mask)


def attention_backward(dout, saved):
    """Return the gradient of `projected`."""
    query, key, value, weights, dropped, mask = saved
    batch_size, heads, length, size = query.shape
    dprojected = np.empty((batch_size, length, 3, heads, size), query.dtype)
    dquery, dkey, dvalue = dprojected.transpose(2, 0, 3, 1, 4)
    dout = dout.reshape(batch_size, length, heads, size).transpose(0, 2, 1, 3)
    dvalue[:] = np.matmul(dropped.swapaxes(-1, -2), dout)
    dscores = drop_backward(np.matmul(dout, value.swapaxes(-1, -2)), mask)
    dscores -= (dscores * weights).sum(axis=-1, keepdims=True)
    dscores *= weights
    dscores *= size**-0.5
    dquery[:] = np.matmul(dscores, key)
    dkey[:] = np.matmul(dscores.swapaxes(-1, -2), query)
    return dprojected.reshape(batch_size * length, -1)
