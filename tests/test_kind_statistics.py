# SPDX-License-Identifier: BSD-3-Clause
"""The definitions of PyTorch, Keras and others, in structure and in distribution.

Tails, bounds and the number of false alarms are those of test_statistics.py: there are fewer than 200 here.
"""

import numpy as np
import pytest
from scipy import stats

import fastdrop as fd
from fastdrop import reference
from tails import FALSE_ALARM, agreement_tail, binomial_tail, keep_probability

SEED = 20161104  # any number; chosen before the first run and not changed since

# Whose definition, our layer, the shape of an input, and the shape at which that definition draws its noise.
DEFINITIONS = {
    # torch/nn/functional.py and aten/src/ATen/native/Dropout.cpp: feature dropout draws (N, C, 1, ...)
    "torch.nn.Dropout1d": (fd.Dropout1d, {}, (64, 256, 5), (64, 256, 1)),
    "torch.nn.Dropout2d": (fd.Dropout2d, {}, (64, 256, 4, 3), (64, 256, 1, 1)),
    "torch.nn.Dropout3d": (fd.Dropout3d, {}, (64, 256, 2, 3, 2), (64, 256, 1, 1, 1)),
    # keras/src/layers/regularization/spatial_dropout.py
    "keras.layers.SpatialDropout1D": (fd.Dropout1d, {"channel_axis": -1}, (64, 5, 256), (64, 1, 256)),
    "keras.layers.SpatialDropout2D, channels_last": (
        fd.Dropout2d, {"channel_axis": -1}, (64, 4, 3, 256), (64, 1, 1, 256),
    ),
    "keras.layers.SpatialDropout2D, channels_first": (fd.Dropout2d, {}, (64, 256, 4, 3), (64, 256, 1, 1)),
    "keras.layers.SpatialDropout3D, channels_last": (
        fd.Dropout3d, {"channel_axis": -1}, (64, 2, 2, 3, 256), (64, 1, 1, 1, 256),
    ),
    "keras.layers.Dropout, noise_shape": (
        fd.Dropout, {"noise_shape": (None, 1, 256)}, (64, 5, 256), (64, 1, 256),
    ),
    # torchvision/ops/stochastic_depth.py, mode="row"; timm/layers/drop.py, drop_path
    "torchvision.ops.StochasticDepth": (fd.DropPath, {}, (16384, 2, 3), (16384, 1, 1)),
    # Merity's awd-lstm-lm: locked_dropout.py, embed_regularize.py, weight_drop.py (variational)
    "awd-lstm-lm LockedDropout": (fd.LockedDropout, {"time_axis": 0}, (7, 64, 256), (1, 64, 256)),
    "awd-lstm-lm embedded_dropout": (fd.EmbeddingDropout, {}, (16384, 3), (16384, 1)),
    "awd-lstm-lm WeightDrop": (fd.DropConnect, {}, (64, 256), (64, 256)),
    "awd-lstm-lm WeightDrop, variational": (fd.DropConnect, {"row_axis": 0}, (16384, 3), (16384, 1)),
}  # fmt: skip


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_layers_follow_the_definitions_of_others(name, p):
    make, options, shape, noise_shape = DEFINITIONS[name]
    layer = make(p, rng=SEED, **options)
    y = layer(np.ones(shape))
    # Structure: one value for all that share, 0 or the scale.
    cells = y[tuple(slice(None) if n > 1 else slice(1) for n in noise_shape)]
    assert cells.shape == noise_shape
    assert (y == np.broadcast_to(cells, shape)).all()
    assert layer.mask.noise_shape == noise_shape
    scale = 1 / (1 - p)
    assert set(np.unique(cells)) == {0.0, scale}
    # Distribution: the number kept is binomial, so the mean of y, which is to be that of x, and its
    # variance, which is to be p / (1 - p), lie between what the binomial's quantiles make of them.
    q = keep_probability(p)
    assert binomial_tail(int(np.count_nonzero(cells)), cells.size, q) >= FALSE_ALARM
    low, high = stats.binom(cells.size, q).ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2]) / cells.size
    rounding = 4 * y.size * 2.0**-53  # of sums of so many terms, relatively, in any order
    for mean in (y.mean(), 1.0):
        assert scale * low * (1 - rounding) <= mean <= scale * high * (1 + rounding)
    top = min(max(0.5, low), high)  # where the share kept times the share dropped is greatest
    least, most = (scale**2 * share for share in (min(low * (1 - low), high * (1 - high)), top * (1 - top)))
    for variance in (y.var(), p / (1 - p)):
        assert least * (1 - rounding) <= variance <= most * (1 + rounding)
    # Neighbours along every axis that does not share are strangers.
    keep = cells != 0
    for axis in (axis for axis, length in enumerate(noise_shape) if length > 1):
        pairs = np.moveaxis(keep, axis, 0)
        assert agreement_tail(pairs[::2], pairs[1::2], p) >= FALSE_ALARM


def test_noise_that_is_not_shared_is_seen():
    """The structural check can fail: element-wise dropout is not channel dropout."""
    y = fd.Dropout(0.5, rng=SEED)(np.ones((64, 256, 4)))
    assert (y != y[..., :1]).any()


# --- DropBlock ------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [1, 2, 3, 8])
def test_drop_block_drops_every_place_as_often_as_its_blocks_say(block_size):
    """A place is dropped unless all blocks over it are absent; samples and channels are independent."""
    p, side, maps = 0.2, 8, (64, 128)
    layer = fd.DropBlock2d(p, block_size=block_size, rng=SEED)
    layer(np.ones((*maps, side, side), np.float32))
    kept = layer.mask.to_numpy().sum(axis=(0, 1))
    gamma = p / block_size**2 * side**2 / (side - block_size + 1) ** 2  # equation 1 of the paper
    over = [min(i, side - block_size) - max(i - block_size + 1, 0) + 1 for i in range(side)]
    tails = [
        binomial_tail(int(kept[i, j]), maps[0] * maps[1], (1 - gamma) ** (over[i] * over[j]))
        for i in range(side)
        for j in range(side)
    ]
    assert min(tails) >= FALSE_ALARM


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_drop_block_keeps_the_mean_of_every_mask(p):
    """Not on average: the sum of what is kept, times the scale, is the number of elements.

    With u = 2**-53 and q the share kept, the share dropped errs by u, 1 less it by u (1 / q + 1) relatively,
    and the scale and the product by u more each.
    """
    for seed in range(20):
        y, mask = fd.drop_block(np.ones((4, 5, 9, 7)), p, block_size=3, rng=seed)
        kept = np.count_nonzero(y)
        assert mask.p == (y.size - kept) / y.size
        assert abs(kept * y.max() / y.size - 1) <= (y.size / kept + 3) * 2.0**-53


def test_drop_block_of_one_is_dropout():
    """A block of one element: gamma is p, exactly, and the places are the elements."""
    x = np.ones((4, 5, 9, 7))
    keep = fd.drop_block(x, 0.3, block_size=1, rng=SEED)[1].to_numpy()
    assert (keep == reference.Mask(x.shape, 0.3, seed=SEED).to_numpy()).all()
