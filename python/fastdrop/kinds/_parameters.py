# SPDX-License-Identifier: BSD-3-Clause
"""What is dropped may be parameters of the model, which the next step needs whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._checks import Array


def check_not_overwritten(parameters: Array, out: Any, name: str) -> None:
    """That the result goes somewhere else."""
    # What NumPy has not settled in so many steps counts as sharing, as in `_checks.check_overlap`.
    if isinstance(out, np.ndarray) and np.may_share_memory(out, parameters, max_work=10_000):  # type: ignore[arg-type]
        effect = "what is dropped would be lost to the model"
        remedy = "leave out out=, or give another array"
        raise ValueError(f"out must not share memory with {name}, or else {effect}: {remedy}")
