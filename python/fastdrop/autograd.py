# SPDX-License-Identifier: BSD-3-Clause
"""Dropout for HIPS autograd: functions that it differentiates, of any order and in both modes."""

from __future__ import annotations

from typing import Any

try:
    from autograd.extend import defjvp, defvjp, primitive
except ImportError as error:
    from ._installation import host_error

    raise host_error("fastdrop.autograd", "HIPS autograd", "autograd") from error

from . import _checks
from ._states import Drawn
from .kinds import GaussianNoise
from .mask import Mask

__all__ = ["dropout", "gaussian_dropout"]


def dropout(x: Any, mask: Mask) -> Any:
    """Apply a mask: `Mask.apply` as a function that autograd differentiates.

    The mask is an argument, and is made outside. So every pass that autograd adds, also those of higher
    derivatives and of `autograd.checkpoint`, has the same mask, and nothing is stored for them.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values, of the mask's shape; a mask of your own is broadcast to them. Inside a function that autograd
        differentiates it is one of autograd's boxes.
    mask : Mask
        The mask, such as ``masks.mask(x.shape, 0.1)`` of a `MaskGenerator`, one for every call.

    Returns
    -------
    ndarray
        A new array of x's shape and dtype. Its derivative with respect to `x` is the mask, with its scale.

    Raises
    ------
    TypeError, ValueError
        If `mask` is no `Mask`, or an array does not fit.

    Examples
    --------
    >>> import autograd, autograd.numpy as np, fastdrop
    >>> from fastdrop.autograd import dropout
    >>> mask = fastdrop.Mask(4, 0.5, seed=1)
    >>> loss = lambda x: np.sum(dropout(x, mask) ** 2)
    >>> autograd.grad(loss)(np.arange(4.0))
    array([ 0.,  0.,  0., 24.])
    """
    if not isinstance(mask, Mask):
        raise _refusal(mask, "mask", "a fastdrop.Mask", "masks.mask(x.shape, p)")
    return _apply(x, mask)


def gaussian_dropout(x: Any, noise: GaussianNoise) -> Any:
    """Multiply by Gaussian noise: `GaussianNoise.apply` as a function that autograd differentiates.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values, of the noise's shape, or one of autograd's boxes.
    noise : GaussianNoise
        The noise, made outside, as the mask of `dropout` is.

    Returns
    -------
    ndarray
        A new array of x's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If `noise` is no `GaussianNoise`, or an array does not fit.

    Examples
    --------
    >>> import autograd, autograd.numpy as np, fastdrop
    >>> from fastdrop.autograd import gaussian_dropout
    >>> noise = fastdrop.GaussianNoise(3, 0.1, seed=1)
    >>> slope = autograd.elementwise_grad(gaussian_dropout)(np.ones(3), noise)
    >>> bool((slope == noise.apply(np.ones(3))).all())
    True
    """
    if not isinstance(noise, GaussianNoise):
        made = "fastdrop.GaussianNoise(x.shape, p, seed=seed, stream=step)"
        raise _refusal(noise, "noise", "a fastdrop.GaussianNoise", made)
    return _apply(x, noise)


@primitive  # type: ignore[untyped-decorator]
def _apply(x: Any, drawn: Mask | GaussianNoise) -> Any:
    return drawn.apply(x)


# It is linear in x. So every derivative is the function itself, with the same mask or noise.
defjvp(_apply, "same")
defvjp(_apply, lambda y, x, drawn: lambda dy: _apply(dy, drawn))


def _refusal(value: Any, name: str, wanted: str, made: str) -> TypeError:
    if isinstance(value, Drawn):
        remedy = (
            "; " + ("gaussian_dropout(x, noise)" if name == "mask" else "dropout(x, mask)") + " takes that"
        )
    elif hasattr(type(value), "__array__"):
        remedy = "; make a mask of an array with fastdrop.Mask.from_array(keep, p)" if name == "mask" else ""
    else:  # most likely p, or a source of masks: it would give every pass of autograd another mask
        remedy = f"; make it before the call, so that all passes share it: {made}"
    return TypeError(f"{name} must be {wanted}, not {_checks.describe(value)}{remedy}")
