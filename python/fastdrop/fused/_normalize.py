# SPDX-License-Identifier: BSD-3-Clause
"""What layer norm and RMS norm have in common: how their operations are called."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from .. import _checks, _core
from .._checks import Array
from ..mask import Mask, state_and_scale
from ._rows import checked_gradient, overwrites, run_rows
from ._saved import SavedLayerNorm, SavedRMSNorm, check_apart, written_over

_NAMES = {
    "dropout_add_layer_norm": ("x", "residual", "weight", "bias", "x_bias"),
    "dropout_add_rms_norm": ("x", "residual", "weight", "x_bias"),
}


def normalize(
    operation: str,
    x: Any,
    operands: tuple[ArrayLike | None, ...],
    mask: Mask,
    training: bool,
    eps: float,
    out: Array | None,
    h_out: Any,
) -> tuple[Any, Array | None, Any]:
    """The results, what is saved as h, and the operands beside x as arrays.

    The first operand is the residual and the last one x_bias. Where nothing is dropped or added, h is x. So
    it is not made, unless the result is written over x and a backward pass may follow.
    """
    if type(eps) is not float or not 0.0 < eps < math.inf:
        eps = _checks.positive(eps, "eps")
    if h_out is False:  # which the core would take for a result that is not wanted
        raise TypeError("h_out must be a numpy.ndarray or None, not False")
    state, scale = state_and_scale(mask)
    h = h_out
    saves_x = True
    if h_out is None and operands[0] is None and operands[-1] is None and keeps_everything(mask):
        written = out is not None and overwrites(out, x)
        saves_x = not written
        h = None if written and training else False
    statistics = (None,) * (len(operands) - 2)  # mean and rstd, or rstd
    results = _core.run(operation, state, x, *operands, out, h, *statistics, scale, eps)
    if results is None:
        arguments = (x, *operands, out, h, *statistics, scale, eps)
        results, inputs = run_rows(operation, state, _NAMES[operation], *arguments)
        x, operands = inputs[0], tuple(inputs[1:])
    if h is not False:
        return results, results[1], operands
    return results, x if saves_x else None, operands


def keeps_everything(mask: Mask) -> bool:
    """Whether a mask changes nothing."""
    state, scale = state_and_scale(mask)
    return state.p == 0.0 and scale == 1.0 and state.bits is None


def normalize_backward(
    operation: str,
    dy: ArrayLike,
    saved: SavedLayerNorm | SavedRMSNorm,
    statistics: tuple[Array, ...],
    dh: ArrayLike | None,
    out: Array | None,
    wanted: tuple[bool, ...],
) -> tuple[Any, ...]:
    """The gradients; `wanted` says which are, from dresidual on."""
    h = saved.h
    if h is None:
        raise written_over("x", "a norm")
    if out is not None:
        check_apart(out, "saved.h", h)
    state, scale = state_and_scale(saved.mask)
    outputs = [None if is_wanted else False for is_wanted in wanted]
    arguments = (h, *statistics, saved.weight, dh, out, *outputs, scale)
    results = _core.run(operation, state, dy, *arguments)
    if results is None:
        dy = checked_gradient(dy, h)
        names = ("dy", "saved.h", *("saved.mean", "saved.rstd")[-len(statistics) :], "saved.weight", "dh")
        results, _ = run_rows(operation, state, names, dy, *arguments)
    gradients: tuple[Any, ...] = results
    return gradients
