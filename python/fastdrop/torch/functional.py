# SPDX-License-Identifier: BSD-3-Clause
"""The functions, with the names, arguments and meanings of `torch.nn.functional`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .. import _checks
from .._values import scale_for
from .._windows import NoiseShape
from ..kinds.alpha import affine
from ..mask_generator import MaskGenerator
from ._apply import apply_drawn, apply_state
from ._memory import check_tensor, not_ours
from .masks import next_state


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    noise_shape: NoiseShape = None,
    rng: MaskGenerator | None = None,
) -> Tensor:
    """`torch.nn.functional.dropout`, in one pass.

    ``y = round(x * s)`` with probability ``1 - p`` and ``+0.0`` otherwise, where ``s = 1 / (1 - p)``, rounded
    once to the dtype. The mask is drawn again in the backward pass. Nothing is stored but its key.

    Parameters
    ----------
    input : Tensor of float16, bfloat16, float32 or float64
        Values, of any shape, in any layout, in CPU memory. The result is laid out as the input is, and the
        index of an element decides, not its address. Tensors of other devices, dtypes and layouts go to
        torch's own dropout.
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1.
    training : bool, default True
        False: the result is `input` itself.
    inplace : bool, default False
        Write the result over `input`.
    noise_shape : sequence of int or None, optional
        For every axis its length or None, or 1: one decision is shared along the whole axis.
    rng : MaskGenerator, optional
        Takes NumPy's masks instead of drawing from torch's generator. `torch.manual_seed`, checkpointing and
        `torch.compile` know nothing of it.

    Returns
    -------
    Tensor
        The result, or `input` itself if `training` is False or p is 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Notes
    -----
    Every call in training draws a key, 126 bits, from torch's generator for the CPU. So `torch.manual_seed`,
    `torch.random.fork_rng`, `torch.utils.checkpoint` and `torch.compile` mean what they mean for torch's own.
    The masks of a seed are other masks than torch's.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> _ = torch.manual_seed(0)
    >>> x = torch.ones(8, requires_grad=True)
    >>> y = fastdrop.torch.dropout(x, 0.5)
    >>> y.sum().backward()
    >>> bool((x.grad == y).all())
    True
    """
    if training is True and inplace is False and rng is None and type(p) is float and 0.0 < p < 1.0:
        # What `_draw` does too, 0.5 us later.
        result = apply_drawn("dropout", input, p, (1 / (1 - p),), noise_shape, inplace)
        if result is not None:
            return result
    return _draw(F.dropout, "dropout", input, p, training, inplace, noise_shape, rng)


def dropout1d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: MaskGenerator | None = None,
) -> Tensor:
    """`torch.nn.functional.dropout1d`: drops whole channels of (N, C, L) or (C, L).

    Parameters, results and errors are those of `dropout`. A tensor with another number of axes raises
    ValueError.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> y = fastdrop.torch.dropout1d(torch.ones(2, 3, 4))
    >>> bool((y == y[..., :1]).all())
    True
    """
    shared = _channels(input, 1)
    return _draw(F.dropout1d, "dropout", input, p, training, inplace, shared, rng)


def dropout2d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: MaskGenerator | None = None,
) -> Tensor:
    """`torch.nn.functional.dropout2d`: drops whole channels of (N, C, H, W).

    Parameters, results and errors are those of `dropout`. A tensor with three axes is taken as (N, C, L), as
    torch takes it, with a warning. A tensor with another number of axes raises ValueError.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> y = fastdrop.torch.dropout2d(torch.ones(2, 3, 4, 5))
    >>> bool((y == y[..., :1, :1]).all())
    True
    """
    shared = _channels(input, 2)
    if input.dim() == 3:
        warnings.warn(
            "dropout2d takes three axes as (N, C, L): call dropout1d if you mean that, and "
            "input.unsqueeze(0) if you mean (C, H, W)",
            stacklevel=2,
        )
        shared = (None, None, 1)
    return _draw(F.dropout2d, "dropout", input, p, training, inplace, shared, rng)


def dropout3d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    rng: MaskGenerator | None = None,
) -> Tensor:
    """`torch.nn.functional.dropout3d`: drops whole channels of (N, C, D, H, W) or (C, D, H, W).

    Parameters, results and errors are those of `dropout`. A tensor with another number of axes raises
    ValueError.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> y = fastdrop.torch.dropout3d(torch.ones(2, 3, 4, 5, 6))
    >>> bool((y == y[..., :1, :1, :1]).all())
    True
    """
    shared = _channels(input, 3)
    return _draw(F.dropout3d, "dropout", input, p, training, inplace, shared, rng)


def alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    rng: MaskGenerator | None = None,
) -> Tensor:
    """`torch.nn.functional.alpha_dropout`, for self-normalising networks.

    ``y = a x + b`` where an element is kept and ``a alpha' + b`` where it is dropped, with the constants of
    `fastdrop.alpha_dropout`. Parameters, results and errors are those of `dropout`, but `training` is False
    unless you set it, as in torch.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> y = fastdrop.torch.alpha_dropout(torch.zeros(1000), 0.5, training=True)
    >>> sorted(set(y.tolist()))
    [-0.7791939377784729, 0.7791939377784729]
    """
    return _draw(F.alpha_dropout, "alpha_dropout", input, p, training, inplace, None, rng)


def feature_alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    rng: MaskGenerator | None = None,
) -> Tensor:
    """`torch.nn.functional.feature_alpha_dropout`: `alpha_dropout` of whole channels of (N, C, ...).

    Parameters, results and errors are those of `alpha_dropout`. A tensor with fewer than two axes raises
    ValueError in training.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> y = fastdrop.torch.feature_alpha_dropout(torch.zeros(2, 3, 4), 0.5, training=True)
    >>> bool((y == y[..., :1]).all())
    True
    """
    check_tensor(input)
    if input.dim() < 2 and training:  # torch does not ask in evaluation
        raise ValueError(f"input must have two axes or more, (N, C, ...), not {input.dim()}")
    shared = (None, None) + (1,) * (input.dim() - 2)
    return _draw(F.feature_alpha_dropout, "alpha_dropout", input, p, training, inplace, shared, rng)


def _draw(
    torchs: Callable[..., Tensor],
    operation: str,
    input: Tensor,
    p: float,
    training: bool,
    inplace: bool,
    noise_shape: NoiseShape,
    rng: MaskGenerator | None,
) -> Tensor:
    """The operation of a kind of dropout; `torchs` is torch's own function for that kind."""
    # The core's checks are for what is wrong: compilers need not look into them.
    if type(p) is not float or not 0.0 <= p <= 1.0:
        p = _checks.scalar_probability(p)
    if training is not True and training is not False:
        training = _checks.boolean(training, "training")
    if inplace is not True and inplace is not False:
        inplace = _checks.boolean(inplace, "inplace")
    check_tensor(input)
    if not training or p == 0:
        return input
    constants: Any = affine(p) if operation == "alpha_dropout" else (scale_for(p, True),)
    if rng is not None:
        state = next_state(rng, input, p, noise_shape)
        return apply_state(operation, input, state, constants, inplace)
    result = apply_drawn(operation, input, p, constants, noise_shape, inplace)
    if result is not None:
        return result
    if torchs is F.dropout and noise_shape is not None:
        raise not_ours("noise_shape needs", input)
    return torchs(input, p, True, inplace)


def _channels(input: Tensor, spatial: int) -> NoiseShape:
    """The noise shape that shares a decision among the elements of a channel, which has so many axes."""
    check_tensor(input)
    if input.dim() not in (spatial + 1, spatial + 2):
        wanted = f"{spatial + 1} or {spatial + 2} axes"
        raise ValueError(f"input must have {wanted} for dropout{spatial}d, not {input.dim()}")
    return (None,) * (input.dim() - spatial) + (1,) * spatial
