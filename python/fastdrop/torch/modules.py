# SPDX-License-Identifier: BSD-3-Clause
"""The modules: torch's own classes, which draw from fastdrop."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from .. import _checks
from ..mask_generator import MaskGenerator
from . import functional
from ._attention import multi_head_attention_forward
from ._internals import with_names
from .masks import check_generator


class _Kind:
    """What the modules have in common. torch's class comes second, so that its other methods stay."""

    _function: ClassVar[Callable[..., Tensor]]
    p: float
    training: bool
    inplace: bool
    rng: MaskGenerator | None = None  # of the class, so that a replaced module needs no attribute of its own

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: MaskGenerator | None = None) -> None:
        super().__init__(_checks.scalar_probability(p), _checks.boolean(inplace, "inplace"))  # type: ignore[call-arg]
        if rng is not None:
            check_generator(rng)
            self.rng = rng

    def forward(self, input: Tensor) -> Tensor:
        return type(self)._function(input, self.p, self.training, self.inplace, rng=self.rng)

    def extra_repr(self) -> str:
        own: str = super().extra_repr()  # type: ignore[misc]
        return own if self.rng is None else f"{own}, rng={self.rng}"


class Dropout(_Kind, nn.Dropout):
    """`torch.nn.Dropout`, which calls `fastdrop.torch.dropout`.

    The module is a `torch.nn.Dropout` too. It has no parameters and no buffers, so that a `state_dict` stays
    what it was.

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1.
    inplace : bool, default False
        Write the result over the input.
    rng : MaskGenerator, optional
        Takes NumPy's masks instead of drawing from torch's generator.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> drop = fastdrop.torch.Dropout(0.1)
    >>> drop
    Dropout(p=0.1, inplace=False)
    >>> x = torch.ones(2, 3)
    >>> drop(x).shape, drop.eval()(x) is x
    (torch.Size([2, 3]), True)
    """

    _function = staticmethod(functional.dropout)


class Dropout1d(_Kind, nn.Dropout1d):
    """`torch.nn.Dropout1d`: drops whole channels of (N, C, L) or (C, L). Parameters are those of `Dropout`.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> fastdrop.torch.Dropout1d(0.1)(torch.ones(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    _function = staticmethod(functional.dropout1d)


class Dropout2d(_Kind, nn.Dropout2d):
    """`torch.nn.Dropout2d`: drops whole channels of (N, C, H, W). Parameters are those of `Dropout`.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> fastdrop.torch.Dropout2d(0.1)(torch.ones(2, 3, 4, 5)).shape
    torch.Size([2, 3, 4, 5])
    """

    _function = staticmethod(functional.dropout2d)


class Dropout3d(_Kind, nn.Dropout3d):
    """`torch.nn.Dropout3d`: drops whole channels of (N, C, D, H, W). Parameters are those of `Dropout`.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> fastdrop.torch.Dropout3d(0.1)(torch.ones(2, 3, 4, 5, 6)).shape
    torch.Size([2, 3, 4, 5, 6])
    """

    _function = staticmethod(functional.dropout3d)


class AlphaDropout(_Kind, nn.AlphaDropout):
    """`torch.nn.AlphaDropout`, for self-normalising networks. Parameters are those of `Dropout`.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> fastdrop.torch.AlphaDropout(0.1)(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """

    _function = staticmethod(functional.alpha_dropout)


class FeatureAlphaDropout(_Kind, nn.FeatureAlphaDropout):
    """`torch.nn.FeatureAlphaDropout`: `AlphaDropout` of whole channels. Parameters are those of `Dropout`.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> fastdrop.torch.FeatureAlphaDropout(0.1)(torch.ones(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    _function = staticmethod(functional.feature_alpha_dropout)


# What torch's module knows as F, with our attention. A mode around its `forward` would cost 50 us a call.
_F = SimpleNamespace(**vars(F) | {"multi_head_attention_forward": multi_head_attention_forward})


class MultiheadAttention(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention`, whose weights are dropped by fastdrop.

    Parameters, state and results are those of torch's class. Torch's kernels without T x T arrays do not take
    dropout on a CPU, so that both classes compute the weights as an array in training.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> attention = fastdrop.torch.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
    >>> x = torch.ones(4, 5, 8)
    >>> attention(x, x, x, need_weights=False)[0].shape
    torch.Size([4, 5, 8])
    """

    forward = with_names(nn.MultiheadAttention.forward, F=_F)
