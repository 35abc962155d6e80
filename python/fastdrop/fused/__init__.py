# SPDX-License-Identifier: BSD-3-Clause
"""What stands between two matrix products, in one pass: bias, activation, dropout, residual and norm."""

from ._saved import (
    BiasDropoutAddGradients,
    LayerNormGradients,
    RMSNormGradients,
    SavedBiasDropoutAdd,
    SavedLayerNorm,
    SavedRMSNorm,
)
from .activations import gelu, gelu_backward, relu, relu_backward, silu, silu_backward
from .bias_dropout_add import bias_dropout_add, bias_dropout_add_backward
from .bias_layer import BiasDropoutAdd
from .layer_norm import (
    dropout_add_layer_norm,
    dropout_add_layer_norm_backward,
    layer_norm,
    layer_norm_backward,
)
from .norm_layers import DropoutAddLayerNorm, DropoutAddRMSNorm
from .plain_norm_layers import LayerNorm, RMSNorm
from .rms_norm import dropout_add_rms_norm, dropout_add_rms_norm_backward, rms_norm, rms_norm_backward
from .sums import join_sums

__all__ = [
    "BiasDropoutAdd",
    "BiasDropoutAddGradients",
    "DropoutAddLayerNorm",
    "DropoutAddRMSNorm",
    "LayerNorm",
    "LayerNormGradients",
    "RMSNorm",
    "RMSNormGradients",
    "SavedBiasDropoutAdd",
    "SavedLayerNorm",
    "SavedRMSNorm",
    "bias_dropout_add",
    "bias_dropout_add_backward",
    "dropout_add_layer_norm",
    "dropout_add_layer_norm_backward",
    "dropout_add_rms_norm",
    "dropout_add_rms_norm_backward",
    "gelu",
    "gelu_backward",
    "join_sums",
    "layer_norm",
    "layer_norm_backward",
    "relu",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "silu",
    "silu_backward",
]


def __dir__() -> list[str]:
    return __all__
