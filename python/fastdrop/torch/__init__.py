# SPDX-License-Identifier: BSD-3-Clause
"""fastdrop for PyTorch: dropout of tensors in CPU memory, with the names and meanings of `torch.nn`.

Nothing is imported from here unless you import ``fastdrop.torch``. docs/hosts/torch.md explains it.
"""

from .._installation import host_error

try:
    import torch  # noqa: F401
except ImportError as error:
    raise host_error("fastdrop.torch", "PyTorch", "torch") from error

from ._attention import scaled_dot_product_attention
from ._functional_mode import replace_functional
from ._hugging_face import register_attention
from ._replace import Replacement, replace_dropout
from .functional import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from .fused import bias_dropout_add, dropout_add_layer_norm, dropout_add_rms_norm
from .fused_modules import BiasDropoutAdd, DropoutAddLayerNorm, DropoutAddRMSNorm
from .masks import apply_mask, draw_mask
from .modules import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    FeatureAlphaDropout,
    MultiheadAttention,
)

__all__ = [
    "AlphaDropout",
    "BiasDropoutAdd",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "DropoutAddLayerNorm",
    "DropoutAddRMSNorm",
    "FeatureAlphaDropout",
    "MultiheadAttention",
    "Replacement",
    "alpha_dropout",
    "apply_mask",
    "bias_dropout_add",
    "draw_mask",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "dropout_add_layer_norm",
    "dropout_add_rms_norm",
    "feature_alpha_dropout",
    "register_attention",
    "replace_dropout",
    "replace_functional",
    "scaled_dot_product_attention",
]


def __dir__() -> list[str]:
    return __all__
