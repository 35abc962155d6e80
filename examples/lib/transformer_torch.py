# SPDX-License-Identifier: BSD-3-Clause
"""The same transformer in PyTorch, eager, as its users write it."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """A layer: attention, then two products with GELU between them."""

    def __init__(self, sizes, p):
        """Make the parameters."""
        super().__init__()
        size, hidden = sizes.features, 4 * sizes.features
        self.heads, self.p = sizes.heads, p
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.merge, self.expand, self.contract = (
            nn.Linear(*both) for both in ((size, size), (size, hidden), (hidden, size))
        )

    def forward(self, x):
        """Return x and what the layer adds to it."""
        p = self.p if self.training else 0.0
        batch_size, length, size = x.shape
        projected = self.query_key_value(self.norm1(x))
        heads = projected.view(batch_size, length, 3, self.heads, size // self.heads)
        attended = F.scaled_dot_product_attention(*heads.permute(2, 0, 3, 1, 4), dropout_p=p, is_causal=True)
        attended = attended.transpose(1, 2).reshape(batch_size, length, size)
        x = x + F.dropout(self.merge(attended), p)
        hidden = F.dropout(F.gelu(self.expand(self.norm2(x))), p)
        return x + F.dropout(self.contract(hidden), p)


class TorchModule(nn.Module):
    """From characters to logits of the next one at every place."""

    def __init__(self, sizes, p):
        """Make the parameters."""
        super().__init__()
        self.p = p
        self.characters = nn.Embedding(sizes.characters, sizes.features)
        self.places = nn.Parameter(torch.empty(sizes.length, sizes.features))
        self.blocks = nn.ModuleList(Block(sizes, p) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(sizes.features)
        self.logits = nn.Linear(sizes.features, sizes.characters, bias=False)

    def forward(self, texts):
        """Return the logits, a row for each character of the texts."""
        x = self.characters(texts) + self.places[: texts.shape[1]]
        x = F.dropout(x, self.p, self.training)
        for block in self.blocks:
            x = block(x)
        return self.logits(self.norm(x)).flatten(0, 1)

    def pairs(self, parameters):
        """Give each parameter beside its part of such arrays as `Sizes.split` gives, turned as its own."""
        yield self.characters.weight, parameters["characters"]
        yield self.places, parameters["places"]
        norms = [norm for block in self.blocks for norm in (block.norm1, block.norm2)] + [self.norm]
        for norm, (weight, bias) in zip(norms, parameters["norms"], strict=True):
            yield norm.weight, weight
            yield norm.bias, bias
        for layer, block in enumerate(self.blocks):
            yield block.query_key_value.weight, parameters["query_key_value"][layer].T
            for name in ("merge", "expand", "contract"):
                linear, both = getattr(block, name), parameters[name][layer]
                yield linear.weight, both[:-1].T
                yield linear.bias, both[-1]
        yield self.logits.weight, parameters["logits"].T


class TorchTransformer:
    """`TorchModule` behind the functions that the other two transformers have."""

    def __init__(self, sizes, parameters, p, seed):
        """Take the first parameters, which are copied. The seed is that of PyTorch's own generator."""
        torch.manual_seed(seed)
        self.module = TorchModule(sizes, p).to(torch.from_numpy(parameters).dtype)
        with torch.no_grad():
            for own, first in self.module.pairs(sizes.split(parameters)):
                own.copy_(torch.from_numpy(first))

    def train(self, mode=True):
        """Switch dropout on, or off with ``mode=False``."""
        self.module.train(mode)

    @torch.no_grad()
    def forward(self, texts):
        """Return the logits as an array."""
        return self.module(torch.from_numpy(texts)).numpy()

    def gradient_step(self, texts, targets):
        """Compute the gradients of a batch; return its mean loss."""
        self.module.zero_grad()
        loss = F.cross_entropy(self.module(torch.from_numpy(texts)), torch.from_numpy(targets).flatten())
        loss.backward()
        return loss.item()


class TorchAdam:
    """PyTorch's Adam, with the interface of the other two."""

    def __init__(self, model):
        """Take a model."""
        self.optimizer = torch.optim.Adam(model.module.parameters())

    def step(self, learning_rate):
        """Update the parameters from the gradients, in place."""
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.step()
