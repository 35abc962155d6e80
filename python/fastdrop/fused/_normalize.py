# SPDX-License-Identifier: BSD-3-Clause
"""What layer norm and RMS norm have in common: eps, what is saved as h, and the backward call."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from .. import _checks, _core
from .._checks import Array
from ..mask import Mask, state_and_scale
from ._masks import keeps_everything
from ._rows import checked_gradient, overwrites, run_rows
from ._saved import SavedLayerNorm, SavedRMSNorm, check_apart, written_over

EPS = 1e-5  # the default, which is torch's for layer norm


def checked_eps(eps: Any) -> float:
    """What is added to a variance: above 0."""
    return eps if type(eps) is float and 0.0 < eps < math.inf else _checks.positive(eps, "eps")


def wanted_h(x: Array, is_sum: bool, mask: Mask, training: bool, out: Any, h_out: Any) -> Any:
    """What the core is asked for as h: an array, None for a new one, or False for none.

    Where nothing is dropped, and nothing added, h is x. So it is not made, unless the result is written over
    x and a backward pass may follow. `is_sum`: whether there is a residual or an x_bias.
    """
    if h_out is False:  # which the core would take for an h that is not wanted
        raise TypeError("h_out must be a numpy.ndarray or None, not False")
    if is_sum or h_out is not None or not keeps_everything(mask) or (training and overwrites(out, x)):
        return h_out
    return False


def saved_h(x: Array, out: Any) -> Array | None:
    """What is saved where no h was made: x, unless the result has been written over it."""
    return None if overwrites(out, x) else x


def normalize_backward(
    operation: str,
    dy: ArrayLike,
    saved: SavedLayerNorm | SavedRMSNorm,
    statistics: tuple[Array, ...],
    dh: ArrayLike | None,
    out: Array | None,
    dresidual_out: Array | None,
    *parameters: Array | None,
) -> tuple[Any, ...]:
    """The gradients of x, the residual and the parameters that there are."""
    h = saved.h
    if h is None:
        raise written_over("x", "a norm")
    if out is not None:
        check_apart(out, "saved.h", h)
    if dresidual_out is not None:
        if not saved.has_residual:
            raise ValueError("dresidual_out must be None after a forward pass without a residual")
        check_apart(dresidual_out, "saved.h", h, "dresidual_out")
    state, scale = state_and_scale(saved.mask)
    dresidual: Any = dresidual_out if saved.has_residual else False
    sums = [False if parameter is None else None for parameter in parameters]
    arguments = (h, *statistics, saved.weight, dh, out, dresidual, *sums, scale)
    results = _core.run(operation, state, dy, *arguments)
    if results is None:
        dy = checked_gradient(dy, h)
        names = ("dy", "saved.h", *("saved.mean", "saved.rstd")[-len(statistics) :], "saved.weight", "dh")
        results, _ = run_rows(operation, state, names, dy, *arguments)
    gradients: tuple[Any, ...] = results
    return gradients
