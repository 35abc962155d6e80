# SPDX-License-Identifier: BSD-3-Clause
"""The transformer of the examples in PyTorch is the one in NumPy."""

import sys
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))
try:
    import train_transformer as example
    from lib.transformer_numpy import TextbookTransformer
    from lib.transformer_sizes import Sizes
    from lib.transformer_torch import TorchTransformer
finally:
    sys.path.remove(str(EXAMPLES))

SIZES = Sizes(characters=7, layers=2, features=8, heads=2, length=6)


def networks(p=0.0):
    random = np.random.default_rng(0)
    flat = SIZES.first_parameters(random, np.float64)
    flat += 0.2 * random.standard_normal(flat.shape)
    return TorchTransformer(SIZES, flat, p, 1), TextbookTransformer(SIZES, flat, p, 1)


def test_losses_and_gradients_are_those_of_the_textbook():
    """In float64, whose rounding errors stay far below 1e-12 in so small a network."""
    texts, targets = np.random.default_rng(1).integers(0, SIZES.characters, (2, 3, SIZES.length))
    ours, textbook = networks()
    assert abs(ours.gradient_step(texts, targets) - textbook.gradient_step(texts, targets)) < 1e-13
    pairs = list(ours.module.pairs(textbook.own_gradients))
    assert sum(wanted.size for _, wanted in pairs) == textbook.gradients.size
    for parameter, wanted in pairs:
        assert abs(parameter.grad.numpy() - wanted).max() < 1e-13


def test_steps_agree_with_those_of_fastdrop():
    """Four digits of the loss, as the program promises, over three steps in float32 without dropout."""
    random = np.random.default_rng(0)
    sizes = Sizes(characters=30, layers=2, features=64)
    flat = sizes.first_parameters(random)
    made = [make(sizes, flat, 0.0, 3) for make in (example.make_torch, example.make_fastdrop)]
    for _ in range(3):
        texts, targets = random.integers(0, 30, (2, example.BATCH_SIZE, sizes.length))
        first, second = (network.model.gradient_step(texts, targets) for network in made)
        assert abs(first - second) < 5e-4
        for network in made:
            network.step(texts, targets)


def test_dropout_is_on_in_training_only():
    texts, _ = np.random.default_rng(1).integers(0, SIZES.characters, (2, 3, SIZES.length))
    network, _ = networks(0.5)
    assert not np.array_equal(network.forward(texts), network.forward(texts))
    network.train(False)
    assert np.array_equal(network.forward(texts), network.forward(texts))
