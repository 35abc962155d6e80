# SPDX-License-Identifier: BSD-3-Clause
"""The dtypes that fastdrop computes with, and numbers of them that arithmetic treats specially."""

import ml_dtypes
import numpy as np

DTYPES = ["float16", ml_dtypes.bfloat16, "float32", "float64"]
HALVES = DTYPES[:2]


def special_values(size, dtype):
    """Normal numbers with, among them, everything that arithmetic treats specially."""
    info = ml_dtypes.finfo(dtype)
    quiet_nan = np.array([np.nan], dtype)
    odd = [np.inf, -np.inf, -0.0, 0.0, info.max, -info.max, info.tiny, info.smallest_subnormal]
    odd += [-info.smallest_subnormal, info.tiny / 3, 1 + info.eps]
    values = np.random.default_rng(size).standard_normal(size).astype(dtype)
    values[::5] = np.resize(np.array(odd, dtype), values[::5].shape)
    values[::17] = quiet_nan[0]
    return values
