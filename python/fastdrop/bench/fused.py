# SPDX-License-Identifier: BSD-3-Clause
"""The fused operations that are measured, and their arrays as matrices of rows and features."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import _core

if TYPE_CHECKING:
    from .cases import Case, Data

Array = NDArray[Any]

FEATURES, ROWS = 1024, 64  # of a matrix at the most and at the least, where the size allows
CALL = 64 * 16  # elements of a small call


@dataclass(frozen=True)
class Fused:
    """One way to use a fused operation: with all of its parameters."""

    about: str
    operation: str
    optional: tuple[str, ...]  # the operands that it has of those which are optional and as large as x
    activation: str | None = None
    normalizes: bool = False

    @property
    def has_residual(self) -> bool:
        return "residual" in self.optional

    @property
    def gradients(self) -> tuple[str, ...]:
        """The names of what the backward pass gives; the leading d taken away, those of the operands."""
        return tuple(operand.name for operand in _core.operations[f"{self.operation}_backward"].outputs)


_BIAS, _NORM = "bias_dropout_add", ("residual", "h", "dresidual")
FUSED = {
    "bias_relu": Fused("bias, relu and dropout", _BIAS, ("y",), "relu"),
    "bias_residual": Fused("bias, dropout and residual", _BIAS, ("residual",)),
    "bias_gelu": Fused("bias, gelu by the error function, and dropout", _BIAS, ("x",), "gelu"),
    "bias_gelu_tanh": Fused("bias, gelu by tanh, and dropout", _BIAS, ("x",), "gelu_tanh"),
    "bias_silu": Fused("bias, silu and dropout", _BIAS, ("x",), "silu"),
    "add_layer_norm": Fused(
        "bias, dropout, residual and layer norm", "dropout_add_layer_norm", _NORM, normalizes=True
    ),
    "add_rms_norm": Fused(
        "bias, dropout, residual and RMS norm", "dropout_add_rms_norm", _NORM, normalizes=True
    ),
}
EPS = 1e-5


def shape(size: int) -> tuple[int, int]:
    """Rows and features of so many elements."""
    features = math.gcd(size, min(FEATURES, max(size // ROWS, 1)))
    return size // features, features


class Operands:
    """The arrays of a case: matrices of x's shape, and parameters, the same for every contender."""

    def __init__(self, case: "Case", data: "Data") -> None:
        rows, features = shape(case.size)
        self.x, self.dy, self.y, self.dx = (
            flat.reshape(rows, features) for flat in (data.x, data.dy, data.y, data.dx)
        )
        self.residual: Any = None
        self.h: Any = None  # where to write it
        if FUSED[case.kind].has_residual:
            self.residual = data.residual.reshape(rows, features)
        if FUSED[case.kind].normalizes:
            self.h = data.h.reshape(rows, features)
        parameters = np.random.default_rng(1).standard_normal((3, features), np.float32)
        self.bias, self.weight, self.x_bias = parameters.astype(self.x.dtype)
