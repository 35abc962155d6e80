# SPDX-License-Identifier: BSD-3-Clause
"""The mask of a fused operation: the next one, a given one, or one that keeps everything."""

from __future__ import annotations

import functools
from typing import Any

from .. import _checks
from .._checks import Probability
from .._states import whole_window
from .._values import scale_for
from .._windows import NoiseShape
from ..mask import Mask, broadcast_mask, evaluation_mask, new_mask, state_and_scale
from ..mask_generator import MaskGenerator, Rng, draw_mask, draw_state


def mask_for(
    shape: tuple[int, ...],
    p: Probability,
    rng: Rng,
    noise_shape: NoiseShape,
    mask: Mask | None,
    training: bool,
    name: str = "x",
) -> Mask:
    """What decides about the elements of an array of that shape and name."""
    if mask is None and noise_shape is None and shape and type(p) is float and 0.0 < p < 1.0:  # the fast way
        if not training:
            return keeps_all(shape)
        if type(rng) is MaskGenerator:
            return draw_mask(rng, p, shape)
    _check_axes(shape, name)
    if mask is not None:
        _check_given(mask, p, rng, noise_shape)
        fitting = _fitting(mask, shape, name)
        return fitting if training else keeps_all(shape)
    window = whole_window(shape, noise_shape, _checks.probability(p))
    if not training:
        return keeps_all(shape)
    return new_mask(draw_state(rng, window), scale_for(window.p, True))


def optional_p(p: Probability, mask: Mask | None) -> Probability:
    """p where its default is 0: what `mask_for` takes for left out, where a mask is given."""
    return _checks.DEFAULT_P if mask is not None and type(p) in (int, float) and p == 0 else p


def _check_axes(shape: tuple[int, ...], name: str = "x") -> None:
    if not shape:
        raise ValueError(f"{name} must have at least one axis, that of the features, not the shape ()")


def _check_given(mask: Any, p: Probability, rng: Rng, noise_shape: NoiseShape) -> None:
    if not isinstance(mask, Mask):
        is_array = isinstance(mask, list) or hasattr(type(mask), "__array__")
        remedy = "; make a mask of an array with fastdrop.Mask.from_array(keep, p)" if is_array else ""
        raise TypeError(f"mask must be a fastdrop.Mask, not {_checks.describe(mask)}{remedy}")
    given = {"p": p is not _checks.DEFAULT_P, "rng": rng is not None, "noise_shape": noise_shape is not None}
    for name, is_given in given.items():
        if is_given:
            raise ValueError(f"mask must not be given together with {name}, which says how to draw one")


def _fitting(mask: Mask, shape: tuple[int, ...], name: str) -> Mask:
    if mask.shape == shape:
        return mask
    repeated = broadcast_mask(mask, shape, name)
    if repeated.shape != shape:
        raise ValueError(f"mask must have the shape of {name}, {shape}, not {mask.shape}")
    return repeated


def keeps_everything(mask: Mask) -> bool:
    """Whether a mask changes nothing."""
    state, scale = state_and_scale(mask)
    return state.p == 0.0 and scale == 1.0 and state.bits is None


@functools.lru_cache(maxsize=1024)  # as in evaluation: the same few shapes at every call
def keeps_all(shape: tuple[int, ...], name: str = "x") -> Mask:
    """The mask of evaluation, of an array of that shape and name."""
    _check_axes(shape, name)
    return evaluation_mask(whole_window(shape, None, 0.0), True)
