# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of dropout: how to make its layer, an input's shape, and what it does, said by the reference."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import fastdrop
from fastdrop import reference

SEED, P = 11, 0.3


@dataclass(frozen=True)
class Kind:
    make: Callable  # (p, rng) -> layer
    shape: tuple
    noise_shape: tuple | None  # None: `define` says it in full
    function: Callable | None  # (x, p, rng=, training=, out=) -> (y, mask)
    inverted: bool = True
    define: Callable | None = None  # (x, p) -> what the layer makes of x with its first mask
    define_backward: Callable | None = None  # None: the same of dy
    largest_p: float = 1.0

    @staticmethod
    def drawn(layer):
        """The mask or the noise of the layer's last forward pass."""
        return layer.noise if isinstance(layer, fastdrop.GaussianDropout) else layer.mask

    def defined(self, x, p=P, direction="forward"):
        if direction == "backward" and self.define_backward:
            return self.define_backward(x, p)
        if self.define:
            return self.define(x, p)
        options = {"noise_shape": self.noise_shape, "inverted": self.inverted}
        return reference.Mask(x.shape, p, seed=SEED, **options).apply(x)


def blocks(block_size, own):
    """DropBlock's definition: a loop over the first corners, by algorithm 1 of Ghiasi, Lin and Le (2018)."""

    def define(x, p):
        side = [1 if axis in own else block_size for axis in range(x.ndim)]
        places = [length - b + 1 for length, b in zip(x.shape, side, strict=True)]
        space = [axis for axis in range(x.ndim) if axis not in own]
        whole = math.prod(x.shape[axis] for axis in space)
        gamma = p * (whole / (block_size ** len(space) * math.prod(places[axis] for axis in space)))
        keep = np.ones(x.shape, bool)
        for corner in np.argwhere(~reference.Mask(places, gamma, seed=SEED).to_numpy()):
            keep[tuple(slice(first, first + b) for first, b in zip(corner, side, strict=True))] = False
        share = np.count_nonzero(~keep) / keep.size
        return reference.Mask.from_array(keep, share if share < 1 else 0.0).apply(x)

    return define


def partial(function, **fixed):
    return lambda x, p, **options: function(x, p, **fixed, **options)


fd = fastdrop
RATES = np.array([0.0, 0.5, 1.0, 1.0])
CHANNELS = RATES[:, np.newaxis, np.newaxis]
# The layers that have a mask.
MASK_LAYERS = {
    "Dropout": Kind(lambda p, rng: fd.Dropout(p, rng=rng), (5, 7), (5, 7), fd.dropout),
    "Dropout, noise_shape": Kind(
        lambda p, rng: fd.Dropout(p, noise_shape=(None, 1, None), rng=rng),
        (5, 3, 7), (5, 1, 7), partial(fd.dropout, noise_shape=(5, 1, 7)),
    ),
    "Dropout, not inverted": Kind(
        lambda p, rng: fd.Dropout(p, inverted=False, rng=rng),
        (5, 7), (5, 7), partial(fd.dropout, inverted=False), inverted=False,
    ),
    "Dropout, keep_prob": Kind(
        lambda p, rng: fd.Dropout(keep_prob=1 - p, rng=rng),
        (5, 7), None, lambda x, p, **options: fd.dropout(x, keep_prob=1 - p, **options),
        define=lambda x, p: reference.Mask(x.shape, 1 - (1 - p), seed=SEED).apply(x),
    ),
    "Dropout, p by column": Kind(
        lambda p, rng: fd.Dropout(p * RATES, rng=rng),
        (5, 4), None, lambda x, p, **options: fd.dropout(x, p * RATES, **options),
        define=lambda x, p: reference.Mask(x.shape, p * RATES, seed=SEED).apply(x),
    ),
    "Dropout1d": Kind(lambda p, rng: fd.Dropout1d(p, rng=rng), (3, 4, 5), (3, 4, 1), fd.channel_dropout),
    "Dropout1d, unbatched": Kind(
        lambda p, rng: fd.Dropout1d(p, batched=False, rng=rng),
        (6, 5), (6, 1), partial(fd.channel_dropout, channel_axis=0, sample_axis=None),
    ),
    "Dropout2d": Kind(
        lambda p, rng: fd.Dropout2d(p, rng=rng), (3, 4, 5, 3), (3, 4, 1, 1), fd.channel_dropout
    ),
    "Dropout2d, p by channel": Kind(
        lambda p, rng: fd.Dropout2d(p * CHANNELS, rng=rng),
        (3, 4, 2, 3), None, lambda x, p, **options: fd.channel_dropout(x, p * CHANNELS, **options),
        define=lambda x, p: reference.Mask(
            x.shape, p * CHANNELS, noise_shape=(3, 4, 1, 1), seed=SEED
        ).apply(x),
    ),
    "Dropout2d, channels last": Kind(
        lambda p, rng: fd.Dropout2d(p, channel_axis=-1, rng=rng),
        (3, 5, 3, 4), (3, 1, 1, 4), partial(fd.channel_dropout, channel_axis=-1),
    ),
    "Dropout3d": Kind(
        lambda p, rng: fd.Dropout3d(p, rng=rng), (2, 5, 2, 3, 4), (2, 5, 1, 1, 1), fd.channel_dropout
    ),
    "LockedDropout, (T, N, F)": Kind(
        lambda p, rng: fd.LockedDropout(p, time_axis=0, rng=rng),
        (6, 3, 5), (1, 3, 5), partial(fd.locked_dropout, time_axis=0),
    ),
    "LockedDropout, (N, T, F)": Kind(
        lambda p, rng: fd.LockedDropout(p, time_axis=1, rng=rng),
        (3, 6, 5), (3, 1, 5), partial(fd.locked_dropout, time_axis=1),
    ),
    "DropPath": Kind(lambda p, rng: fd.DropPath(p, rng=rng), (12, 3, 4), (12, 1, 1), fd.drop_path),
    "DropPath, not inverted": Kind(
        lambda p, rng: fd.DropPath(p, inverted=False, rng=rng),
        (12, 3, 4), (12, 1, 1), partial(fd.drop_path, inverted=False), inverted=False,
    ),
    "DropPath, sample_axis=1": Kind(
        lambda p, rng: fd.DropPath(p, sample_axis=1, rng=rng),
        (3, 9, 4), (1, 9, 1), partial(fd.drop_path, sample_axis=1),
    ),
    "EmbeddingDropout": Kind(
        lambda p, rng: fd.EmbeddingDropout(p, rng=rng), (13, 4), (13, 1), fd.embedding_dropout
    ),
    "DropConnect": Kind(lambda p, rng: fd.DropConnect(p, rng=rng), (6, 7), (6, 7), fd.drop_connect),
    "DropConnect, by rows": Kind(
        lambda p, rng: fd.DropConnect(p, row_axis=1, rng=rng),
        (4, 9), (1, 9), partial(fd.drop_connect, row_axis=1),
    ),
    "DropBlock1d": Kind(
        lambda p, rng: fd.DropBlock1d(p, block_size=3, rng=rng),
        (2, 3, 13), None, partial(fd.drop_block, block_size=3), define=blocks(3, own=(0, 1)),
    ),
    "DropBlock2d": Kind(
        lambda p, rng: fd.DropBlock2d(p, block_size=2, rng=rng),
        (2, 3, 6, 5), None, partial(fd.drop_block, block_size=2), define=blocks(2, own=(0, 1)),
    ),
    "DropBlock2d, channels last": Kind(
        lambda p, rng: fd.DropBlock2d(p, block_size=3, channel_axis=3, rng=rng),
        (2, 6, 5, 3), None, partial(fd.drop_block, block_size=3, channel_axis=-1),
        define=blocks(3, own=(0, 3)),
    ),
}  # fmt: skip


class OwnMask:
    """A user's own bits, through the functions; here those of a mask that the reference knows."""

    def __init__(self, p):
        self.p = p

    def forward(self, x, *, out=None):
        keep = reference.Mask(x.shape, self.p, seed=SEED).to_numpy()
        self.mask = fd.Mask.from_array(keep, self.p)
        return self.mask.apply(x, out=out)

    def backward(self, dy, *, out=None):
        return fd.dropout_backward(dy, self.mask, out=out)


def alpha(function):
    """Both passes of alpha dropout by the reference's function."""
    return {
        "define": lambda x, p: function(x, p, rng=SEED)[0],
        "define_backward": lambda dy, p: reference.alpha_dropout_backward(dy, function(dy, p, rng=SEED)[1]),
    }


# All layers: those, and what does more than to scale and to drop.
LAYERS = MASK_LAYERS | {
    "AlphaDropout": Kind(
        lambda p, rng: fd.AlphaDropout(p, rng=rng),
        (5, 7), None, fd.alpha_dropout, **alpha(reference.alpha_dropout),
    ),
    "FeatureAlphaDropout": Kind(
        lambda p, rng: fd.FeatureAlphaDropout(p, rng=rng),
        (3, 4, 5), None, fd.feature_alpha_dropout, **alpha(reference.feature_alpha_dropout),
    ),
    "GaussianDropout": Kind(
        lambda p, rng: fd.GaussianDropout(p, rng=rng),
        (5, 7), None, fd.gaussian_dropout, largest_p=1 - 2.0**-53,
        define=lambda x, p: reference.gaussian_dropout(x, p, rng=SEED)[0],
    ),
}  # fmt: skip
OWN_MASK = {"Mask.from_array": Kind(lambda p, rng: OwnMask(p), (5, 7), (5, 7), None)}
MASKS = MASK_LAYERS | OWN_MASK
KINDS = LAYERS | OWN_MASK
