# SPDX-License-Identifier: BSD-3-Clause
"""The fused layers of the tests, with every set of parameters that they may have."""

import numpy as np
import pytest

import fastdrop as fd
from arrays import same_bytes

SHAPE = ROWS, FEATURES = 7, 6
SEED = 2**64 + 5


def normal(seed, dtype="float32", shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


X, RESIDUAL, DY, DH = (normal(seed) for seed in range(4))

# A layer and the names of its parameters.
LAYERS = {
    "BiasDropoutAdd": (lambda **o: fd.BiasDropoutAdd(6, 0.3, **{"rng": SEED, **o}), {"bias"}),
    "BiasDropoutAdd, gelu": (
        lambda **o: fd.BiasDropoutAdd(6, 0.3, activation="gelu", **{"rng": SEED, **o}), {"bias"},
    ),
    "BiasDropoutAdd, p by feature": (
        lambda **o: fd.BiasDropoutAdd(6, np.linspace(0, 1, 6), activation="relu", **{"rng": SEED, **o}),
        {"bias"},
    ),
    "DropoutAddLayerNorm": (
        lambda **o: fd.DropoutAddLayerNorm(6, 0.3, **{"rng": SEED, **o}), {"weight", "bias"},
    ),
    "DropoutAddLayerNorm, all": (
        lambda **o: fd.DropoutAddLayerNorm(6, 0.3, eps=1e-3, x_bias=True, **{"rng": SEED, **o}),
        {"weight", "bias", "x_bias"},
    ),
    "DropoutAddLayerNorm, no bias": (
        lambda **o: fd.DropoutAddLayerNorm(6, 0.3, bias=False, **{"rng": SEED, **o}), {"weight"},
    ),
    "DropoutAddRMSNorm": (lambda **o: fd.DropoutAddRMSNorm(6, 0.3, **{"rng": SEED, **o}), {"weight"}),
    "DropoutAddRMSNorm, all": (
        lambda **o: fd.DropoutAddRMSNorm(6, 0.3, x_bias=True, **{"rng": SEED, **o}), {"weight", "x_bias"},
    ),
    "LayerNorm": (lambda rng=None, **o: fd.LayerNorm(6, **o), {"weight", "bias"}),
    "LayerNorm, no bias": (lambda rng=None, **o: fd.LayerNorm(6, bias=False, eps=1e-3, **o), {"weight"}),
    "RMSNorm": (lambda rng=None, **o: fd.RMSNorm(6, **o), {"weight"}),
}  # fmt: skip
RESIDUAL_LAYERS = [name for name in LAYERS if "Add" in name]
every_layer = pytest.mark.parametrize("name", LAYERS)
every_residual_layer = pytest.mark.parametrize("name", RESIDUAL_LAYERS)


def make(name, **options):
    """A layer whose parameters are not what they begin as."""
    layer = LAYERS[name][0](**options)
    for seed, parameter in enumerate(layer.parameters.values()):
        parameter[...] = normal(seed + 10, parameter.dtype, (FEATURES,))
    return layer


def results(layer, steps=2):
    """What the layer does in the next steps of a training: results and gradients."""
    found = []
    for _ in range(steps):
        y = layer(X)
        found += [y, layer.backward(DY), *layer.gradients.values()]
    return found


def all_same(first, second):
    assert len(first) == len(second)
    return all(map(same_bytes, first, second))
