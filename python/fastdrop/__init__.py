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

from . import reference
from .config import get_num_threads, isa, isas, set_num_threads, show_config, use_isa
from .functional import dropout, dropout_backward
from .layers import Dropout
from .mask import Mask
from .mask_generator import MaskGenerator

__all__ = [
    "Dropout",
    "Mask",
    "MaskGenerator",
    "__version__",
    "dropout",
    "dropout_backward",
    "get_num_threads",
    "isa",
    "isas",
    "reference",
    "set_num_threads",
    "show_config",
    "use_isa",
]
