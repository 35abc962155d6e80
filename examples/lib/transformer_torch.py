# SPDX-License-Identifier: BSD-3-Clause
"""The same transformer in PyTorch, eager, as its users write it."""

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-5  # of the norms: PyTorch's default


class TorchTransformer:
    """A language model: from characters to logits of the next one at every place."""

    def __init__(self, sizes, parameters, p, seed):
        """Take the first parameters, which are copied. The seed is that of PyTorch's own generator."""
        torch.manual_seed(seed)
        self.sizes, self.p, self.training = sizes, p, True
        own = sizes.split(parameters)
        self.own = {name: [leaf(part) for part in own[name]] for name in self.names_by_layer()}
        for name in ("characters", "places", "logits"):
            self.own[name] = leaf(own[name])

    @staticmethod
    def names_by_layer():
        """Return the names of the parameters of which each layer has its own."""
        return "norms", "query_key_value", "merge", "expand", "contract"

    @property
    def leaves(self):
        """All parameters, for an optimiser."""
        return [
            tensor
            for value in self.own.values()
            for tensor in ([value] if isinstance(value, Tensor) else value)
        ]

    def train(self, mode=True):
        """Switch dropout on, or off with ``mode=False``."""
        self.training = mode

    def logits(self, texts):
        """Return the logits of an array of characters, a row for each of them."""
        texts, own = torch.from_numpy(texts), self.own
        batch_size, length = texts.shape
        x = F.embedding(texts, own["characters"]) + own["places"][:length]
        x = self.drop(x)
        for layer in range(self.sizes.layers):
            y = self.norm(x, 2 * layer)
            projected = y @ own["query_key_value"][layer]
            parts = projected.view(batch_size, length, 3, self.sizes.heads, -1)
            query, key, value = parts.permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(
                query, key, value, dropout_p=self.p if self.training else 0.0, is_causal=True
            )
            attended = attended.transpose(1, 2).reshape(batch_size, length, -1)
            x = x + self.drop(linear(attended, own["merge"][layer]))
            hidden = self.drop(F.gelu(linear(self.norm(x, 2 * layer + 1), own["expand"][layer])))
            x = x + self.drop(linear(hidden, own["contract"][layer]))
        return (self.norm(x, -1) @ own["logits"]).flatten(0, 1)

    def drop(self, x):
        """Drop from x."""
        return F.dropout(x, self.p, self.training)

    def norm(self, x, place):
        """Return the layer norm of x by the parameters of that place."""
        weight, bias = self.own["norms"][place]
        return F.layer_norm(x, weight.shape, weight, bias, EPSILON)

    def forward(self, texts):
        """Return the logits as an array."""
        with torch.no_grad():
            return self.logits(texts).numpy()

    def gradient_step(self, texts, targets):
        """Compute the gradients of a batch; return its mean loss."""
        for parameter in self.leaves:
            parameter.grad = None
        loss = F.cross_entropy(self.logits(texts), torch.from_numpy(targets).flatten())
        loss.backward()
        return loss.item()


class TorchAdam:
    """PyTorch's Adam, with the interface of the other two."""

    def __init__(self, model):
        """Take a model."""
        self.optimizer = torch.optim.Adam(model.leaves)

    def step(self, learning_rate):
        """Update the parameters from the gradients, in place."""
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.step()


def leaf(array):
    """Return a copy of an array as a parameter."""
    return torch.from_numpy(array.copy()).requires_grad_()


def linear(x, parameters):
    """Return x times the weight, plus the bias, which lies below it."""
    return F.linear(x, parameters[:-1].T, parameters[-1])
