# SPDX-License-Identifier: BSD-3-Clause
"""What the layers of all norms have in common: a weight and eps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _checks
from .._options import Option
from ._normalize import EPS
from ._parameters import Parameter, ParameterLayer


def zeros(**is_there: Any) -> dict[str, float]:
    """What the biases that are there begin as."""
    return {name: 0.0 for name, value in is_there.items() if _checks.boolean(value, name)}


class NormLayer(ParameterLayer):
    """A layer with a weight and eps."""

    __slots__ = ("_eps",)
    _eps: float
    _backward_function: Callable[..., Any]  # that gradients come from

    weight = Parameter("What the normalised values are multiplied by: one value for each feature.")
    eps = Option(_checks.positive, "What is added to the variance, or to the mean of squares.", usual=EPS)
