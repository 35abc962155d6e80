# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of dropout: one file each, the function beside the layer."""

from .alpha import (
    AlphaDropout,
    FeatureAlphaDropout,
    alpha_dropout,
    alpha_dropout_backward,
    feature_alpha_dropout,
)
from .channel import Dropout1d, Dropout2d, Dropout3d, channel_dropout
from .drop_block import DropBlock1d, DropBlock2d, drop_block
from .drop_connect import DropConnect, drop_connect
from .drop_path import DropPath, drop_path
from .embedding import EmbeddingDropout, embedding_dropout
from .gaussian import GaussianDropout, GaussianNoise, gaussian_dropout, gaussian_dropout_backward
from .locked import LockedDropout, locked_dropout

__all__ = [
    "AlphaDropout",
    "DropBlock1d",
    "DropBlock2d",
    "DropConnect",
    "DropPath",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "EmbeddingDropout",
    "FeatureAlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "LockedDropout",
    "alpha_dropout",
    "alpha_dropout_backward",
    "channel_dropout",
    "drop_block",
    "drop_connect",
    "drop_path",
    "embedding_dropout",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "gaussian_dropout_backward",
    "locked_dropout",
]


def __dir__() -> list[str]:
    return __all__
