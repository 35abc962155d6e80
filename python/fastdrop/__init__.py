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
from .dropblock import DropBlock1d, DropBlock2d, drop_block
from .functional import dropout, dropout_backward
from .gaussian import GaussianDropout, GaussianNoise, gaussian_dropout, gaussian_dropout_backward
from .kind_layers import DropConnect, DropPath, EmbeddingDropout, LockedDropout
from .kinds import channel_dropout, drop_connect, drop_path, embedding_dropout, locked_dropout
from .layers import Dropout
from .mask import Mask
from .mask_generator import MaskGenerator
from .montecarlo import MonteCarlo, mc_dropout
from .schedules import CurriculumSchedule, LinearSchedule, Scheduler
from .spatial import Dropout1d, Dropout2d, Dropout3d

__all__ = [
    "AlphaDropout",
    "CurriculumSchedule",
    "DropBlock1d",
    "DropBlock2d",
    "DropConnect",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "EmbeddingDropout",
    "FeatureAlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "LinearSchedule",
    "LockedDropout",
    "Mask",
    "MaskGenerator",
    "MonteCarlo",
    "Scheduler",
    "__version__",
    "alpha_dropout",
    "alpha_dropout_backward",
    "channel_dropout",
    "drop_block",
    "drop_connect",
    "drop_path",
    "dropout",
    "dropout_backward",
    "embedding_dropout",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "gaussian_dropout_backward",
    "get_num_threads",
    "isa",
    "isas",
    "locked_dropout",
    "mc_dropout",
    "reference",
    "reference_noise",
    "set_num_threads",
    "show_config",
    "use_isa",
]
