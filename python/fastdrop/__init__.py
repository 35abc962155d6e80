# SPDX-License-Identifier: BSD-3-Clause
"""Dropout for arrays in CPU memory: one pass, no stored mask, the same mask everywhere."""

try:
    from ._core import __version__
except ImportError as error:
    from ._installation import import_error

    raise import_error(error) from error

from . import reference
from ._layer import Layer
from .config import get_num_threads, isa, isas, set_num_threads, show_config, use_isa
from .functional import dropout, dropout_backward
from .fused import (
    Attention,
    BiasDropoutAdd,
    DropoutAddLayerNorm,
    DropoutAddRMSNorm,
    LayerNorm,
    RMSNorm,
    attention,
    attention_backward,
    bias_dropout_add,
    bias_dropout_add_backward,
    cross_entropy,
    dropout_add_layer_norm,
    dropout_add_layer_norm_backward,
    dropout_add_rms_norm,
    dropout_add_rms_norm_backward,
    gelu,
    gelu_backward,
    join_sums,
    layer_norm,
    layer_norm_backward,
    log_softmax,
    log_softmax_backward,
    relu,
    relu_backward,
    rms_norm,
    rms_norm_backward,
    silu,
    silu_backward,
    softmax,
    softmax_backward,
    softmax_dropout,
    softmax_dropout_backward,
)
from .kinds import (
    AlphaDropout,
    DropBlock1d,
    DropBlock2d,
    DropConnect,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    DropPath,
    EmbeddingDropout,
    FeatureAlphaDropout,
    GaussianDropout,
    GaussianNoise,
    LockedDropout,
    alpha_dropout,
    alpha_dropout_backward,
    channel_dropout,
    drop_block,
    drop_connect,
    drop_path,
    embedding_dropout,
    feature_alpha_dropout,
    gaussian_dropout,
    gaussian_dropout_backward,
    locked_dropout,
)
from .layers import Dropout
from .mask import Mask
from .mask_generator import MaskGenerator
from .training import CurriculumSchedule, LayerList, LinearSchedule, MonteCarlo, Scheduler, mc_dropout

__all__ = [
    "AlphaDropout",
    "Attention",
    "BiasDropoutAdd",
    "CurriculumSchedule",
    "DropBlock1d",
    "DropBlock2d",
    "DropConnect",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "DropoutAddLayerNorm",
    "DropoutAddRMSNorm",
    "EmbeddingDropout",
    "FeatureAlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "Layer",
    "LayerList",
    "LayerNorm",
    "LinearSchedule",
    "LockedDropout",
    "Mask",
    "MaskGenerator",
    "MonteCarlo",
    "RMSNorm",
    "Scheduler",
    "__version__",
    "alpha_dropout",
    "alpha_dropout_backward",
    "attention",
    "attention_backward",
    "bias_dropout_add",
    "bias_dropout_add_backward",
    "channel_dropout",
    "cross_entropy",
    "drop_block",
    "drop_connect",
    "drop_path",
    "dropout",
    "dropout_add_layer_norm",
    "dropout_add_layer_norm_backward",
    "dropout_add_rms_norm",
    "dropout_add_rms_norm_backward",
    "dropout_backward",
    "embedding_dropout",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "gaussian_dropout_backward",
    "gelu",
    "gelu_backward",
    "get_num_threads",
    "isa",
    "isas",
    "join_sums",
    "layer_norm",
    "layer_norm_backward",
    "locked_dropout",
    "log_softmax",
    "log_softmax_backward",
    "mc_dropout",
    "reference",
    "relu",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "set_num_threads",
    "show_config",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softmax_dropout",
    "softmax_dropout_backward",
    "use_isa",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name == "reference_noise":
        raise AttributeError("fastdrop.reference_noise is now a part of fastdrop.reference", name=name)
    raise AttributeError(f"module 'fastdrop' has no attribute {name!r}", name=name)
