# SPDX-License-Identifier: BSD-3-Clause
"""Masks of NumPy for tensors, and masks of torch's generator for NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .. import _checks
from .._states import new_state, whole_window
from .._values import scale_for
from .._windows import NoiseShape
from ..mask import Mask, new_mask, state_and_scale
from ..mask_generator import MaskGenerator, draw_state
from ._apply import apply_state
from ._internals import is_in_backward_pass
from ._memory import check_tensor, is_ours, not_ours
from ._operators import GENERATOR, draw_key

if TYPE_CHECKING:
    from .._core import MaskState


def apply_mask(input: Tensor, mask: Mask, inplace: bool = False) -> Tensor:
    """`Mask.apply` for a tensor, with its gradient: NumPy's masks for torch's arrays.

    Parameters
    ----------
    input : Tensor of float16, bfloat16, float32 or float64
        Values in CPU memory, of the mask's shape.
    mask : Mask
        Any mask: of a `MaskGenerator`, a window, one of your own, or one whose p is an array.
    inplace : bool, default False
        Write the result over `input`.

    Returns
    -------
    Tensor
        ``round(x * s)`` where the mask keeps and ``+0.0`` where it drops.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, or code is compiled or traced, which a mask would be a
        constant of.

    Examples
    --------
    >>> import torch, fastdrop, fastdrop.torch
    >>> mask = fastdrop.MaskGenerator(0).mask((2, 3), 0.5)
    >>> x = torch.ones(2, 3)
    >>> bool((fastdrop.torch.apply_mask(x, mask).numpy() == mask.apply(x.numpy())).all())
    True
    """
    check_tensor(input)
    if not isinstance(mask, Mask):
        raise _checks.not_drawn(mask, "mask", "a fastdrop.Mask", isinstance(input, Mask))
    if not is_ours(input):
        raise not_ours("input must be", input)
    if tuple(input.shape) != mask.shape:
        raise ValueError(f"input must have the mask's shape {mask.shape}, not {tuple(input.shape)}")
    state, scale = state_and_scale(mask)
    return apply_state("dropout", input, state, (scale,), _checks.boolean(inplace, "inplace"))


def draw_mask(shape: int | Sequence[int], p: float = 0.5, *, noise_shape: NoiseShape = None) -> Mask:
    """The mask that the next call of `dropout` would draw from torch's generator, which it advances.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the tensor.
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1.
    noise_shape : sequence of int or None, optional
        As for `dropout`.

    Returns
    -------
    Mask
        For `apply_mask`, and for NumPy.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> x = torch.ones(2, 3)
    >>> _ = torch.manual_seed(0)
    >>> y = fastdrop.torch.dropout(x, 0.5)
    >>> _ = torch.manual_seed(0)
    >>> bool((fastdrop.torch.draw_mask((2, 3), 0.5).apply(x.numpy()) == y.numpy()).all())
    True
    """
    lengths, p = _checks.shape(shape), _checks.scalar_probability(p)
    window = whole_window(lengths, noise_shape, p)
    low, high = draw_key().tolist()
    return new_mask(new_state(GENERATOR, (low, high), 0, window), scale_for(window.p, True))


def next_state(rng: Any, input: Tensor, p: float, noise_shape: NoiseShape) -> MaskState:
    """The next mask of a `MaskGenerator`, unless it would be another one than in the forward pass."""
    check_generator(rng)
    if not is_ours(input):
        raise not_ours("rng needs", input)
    if is_in_backward_pass():
        raise RuntimeError(
            "rng would draw another mask while a backward pass computes a part of the forward pass again, as "
            "in torch.utils.checkpoint: leave rng out, because torch's generator is restored for that, or "
            "draw the mask outside with rng.mask and use fastdrop.torch.apply_mask"
        )
    return draw_state(rng, whole_window(tuple(input.shape), noise_shape, p))


def check_generator(rng: Any) -> None:
    if not isinstance(rng, MaskGenerator):
        wanted = "a fastdrop.MaskGenerator, or None for torch's generator"
        raise TypeError(f"rng must be {wanted}, not {_checks.describe(rng)}")
