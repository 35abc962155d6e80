# SPDX-License-Identifier: BSD-3-Clause
"""What stands between two matrix products, in one pass: bias, activation, dropout, residual and norm."""

from ._saved import (
    AttentionGradients,
    BiasDropoutAddGradients,
    LayerNormGradients,
    RMSNormGradients,
    SavedAttention,
    SavedBiasDropoutAdd,
    SavedLayerNorm,
    SavedRMSNorm,
    SavedSoftmaxDropout,
)
from .activations import gelu, gelu_backward, relu, relu_backward, silu, silu_backward
from .attention import attention, attention_backward
from .attention_layer import Attention
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
from .softmax import cross_entropy, log_softmax, log_softmax_backward, softmax, softmax_backward
from .softmax_dropout import softmax_dropout, softmax_dropout_backward
from .sums import join_sums

__all__ = [
    "Attention",
    "AttentionGradients",
    "BiasDropoutAdd",
    "BiasDropoutAddGradients",
    "DropoutAddLayerNorm",
    "DropoutAddRMSNorm",
    "LayerNorm",
    "LayerNormGradients",
    "RMSNorm",
    "RMSNormGradients",
    "SavedAttention",
    "SavedBiasDropoutAdd",
    "SavedLayerNorm",
    "SavedRMSNorm",
    "SavedSoftmaxDropout",
    "attention",
    "attention_backward",
    "bias_dropout_add",
    "bias_dropout_add_backward",
    "cross_entropy",
    "dropout_add_layer_norm",
    "dropout_add_layer_norm_backward",
    "dropout_add_rms_norm",
    "dropout_add_rms_norm_backward",
    "gelu",
    "gelu_backward",
    "join_sums",
    "layer_norm",
    "layer_norm_backward",
    "log_softmax",
    "log_softmax_backward",
    "relu",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softmax_dropout",
    "softmax_dropout_backward",
]


def __dir__() -> list[str]:
    return __all__
