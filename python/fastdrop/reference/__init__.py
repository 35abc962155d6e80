# SPDX-License-Identifier: BSD-3-Clause
"""The definition of every fastdrop operation, in plain NumPy.

This package is the definition and the judge: the compiled core must agree with it bit for bit. It is written
to be read, imports NumPy and nothing else of fastdrop, and is slow on purpose. Its modules follow
``docs/stream.md`` (mask stream, version 1):

- ``dropout.py`` has sections 1 to 4 and 6: who is kept, and plain dropout;
- ``noise.py`` has sections 7 and 8: alpha dropout and Gaussian dropout;
- ``functions.py`` and ``logarithm.py`` have the functions of one value that fused operations apply;
- ``fused.py`` and ``softmax.py`` have the operations on whole rows, and ``sums.py`` their sums;
- ``operations.py`` has the arithmetic of all other results.
"""

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
from .functions import ACTIVATIONS, exponential, normal_cdf, sigmoid
from .fused import ACTIVATION_CODES, ROW_OPERATIONS
from .logarithm import natural_logarithm
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
from .softmax import SOFTMAX_OPERATIONS
from .sums import BLOCK_ROWS, PARTIAL_SUMS, column_sums, join_sums, row_sums

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_CODES",
    "ALPHA_PRIME",
    "BLOCK_ROWS",
    "COSINE",
    "GENERATORS",
    "LOGARITHM",
    "OPERATIONS",
    "PARTIAL_SUMS",
    "ROW_OPERATIONS",
    "SINE",
    "SOFTMAX_OPERATIONS",
    "TWICE_LN_2",
    "Mask",
    "Noise",
    "affine",
    "alpha_applied",
    "alpha_dropout",
    "alpha_dropout_backward",
    "ars4x32",
    "column_sums",
    "computed_with",
    "cosine",
    "counter_from",
    "dropout",
    "dropout_backward",
    "exponential",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "gaussian_dropout_backward",
    "join_sums",
    "keep",
    "key_from",
    "natural_logarithm",
    "normal_cdf",
    "normals",
    "philox4x32",
    "quarter_turns",
    "radius",
    "rounded",
    "row_sums",
    "scale",
    "scaled",
    "sigmoid",
    "sine",
    "threshold",
    "widened",
]


def __dir__() -> list[str]:
    return __all__
