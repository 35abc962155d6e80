# SPDX-License-Identifier: BSD-3-Clause
"""What every operation means, in plain NumPy: the definition and the judge, which imports nothing else."""

from .dropout import (
    GENERATORS,
    Mask,
    ars4x32,
    counter_from,
    dropout,
    dropout_backward,
    keep,
    key_from,
    philox4x32,
    scale,
    threshold,
)
from .noise import (
    ALPHA_PRIME,
    COSINE,
    LOGARITHM,
    SINE,
    TWICE_LN_2,
    Noise,
    affine,
    alpha_applied,
    alpha_dropout,
    alpha_dropout_backward,
    cosine,
    feature_alpha_dropout,
    gaussian_dropout,
    gaussian_dropout_backward,
    normals,
    quarter_turns,
    radius,
    sine,
)
from .operations import OPERATIONS, computed_with, rounded, scaled, widened

__all__ = [
    "ALPHA_PRIME",
    "COSINE",
    "GENERATORS",
    "LOGARITHM",
    "OPERATIONS",
    "SINE",
    "TWICE_LN_2",
    "Mask",
    "Noise",
    "affine",
    "alpha_applied",
    "alpha_dropout",
    "alpha_dropout_backward",
    "ars4x32",
    "computed_with",
    "cosine",
    "counter_from",
    "dropout",
    "dropout_backward",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "gaussian_dropout_backward",
    "keep",
    "key_from",
    "normals",
    "philox4x32",
    "quarter_turns",
    "radius",
    "rounded",
    "scale",
    "scaled",
    "sine",
    "threshold",
    "widened",
]


def __dir__() -> list[str]:
    return __all__
