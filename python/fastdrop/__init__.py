# SPDX-License-Identifier: BSD-3-Clause
"""Dropout for arrays in CPU memory: one pass, no stored mask, the same mask everywhere."""

try:
    from ._core import __version__
except ImportError as error:
    raise ImportError(
        "fastdrop's compiled core is missing or cannot be loaded: install it with 'pip install "
        "fastdrop-kernels', or with 'pip install .' in a clone (this needs a C++17 compiler), and make sure "
        "that the unrelated file server 'fastdrop', which has the same import name, is not installed over it."
    ) from error

from . import reference, reference_noise
from .alpha import (
    AlphaDropout,
    FeatureAlphaDropout,
    alpha_dropout,
    alpha_dropout_backward,
    feature_alpha_dropout,
)
from .config import get_num_threads, isa, isas, set_num_threads, show_config, use_isa
from .functional import dropout, dropout_backward
from .gaussian import GaussianDropout, GaussianNoise, gaussian_dropout, gaussian_dropout_backward
from .layers import Dropout
from .mask import Mask
from .mask_generator import MaskGenerator

__all__ = [
    "AlphaDropout",
    "Dropout",
    "FeatureAlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "Mask",
    "MaskGenerator",
    "__version__",
    "alpha_dropout",
    "alpha_dropout_backward",
    "dropout",
    "dropout_backward",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "gaussian_dropout_backward",
    "get_num_threads",
    "isa",
    "isas",
    "reference",
    "reference_noise",
    "set_num_threads",
    "show_config",
    "use_isa",
]
