# SPDX-License-Identifier: BSD-3-Clause
"""The fused functions as modules, whose parameters have the names of `torch.nn.LayerNorm` and its kin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .. import _checks
from ..fused._names import checked_activation
from ..fused._normalize import EPS, checked_eps
from ..mask_generator import MaskGenerator
from .fused import bias_dropout_add, dropout_add_layer_norm, dropout_add_rms_norm
from .masks import check_generator


class _Fused(nn.Module):
    """What the modules have in common. Weights begin as ones, and biases as zeros."""

    def __init__(
        self,
        features: int,
        p: float,
        rng: MaskGenerator | None,
        has_parameters: dict[str, bool],
        device: Any,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.features = _checks.integer(features, "features", 1, _checks.INDEX_LIMIT)
        self.p = _checks.scalar_probability(p)
        self.rng = rng
        if rng is not None:
            check_generator(rng)
        for name, is_there in has_parameters.items():
            empty = None
            if _checks.boolean(is_there, name):
                empty = nn.Parameter(torch.empty(self.features, device=device, dtype=dtype))
            self.register_parameter(name, empty)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for name, parameter in self.named_parameters():
            nn.init.constant_(parameter, 1.0 if name == "weight" else 0.0)

    def extra_repr(self) -> str:
        options = [f"{name}={value}" for name, value in self._options().items()]
        if self.rng is not None:
            options.append(f"rng={self.rng}")
        return ", ".join([str(self.features), f"p={self.p}", *options])

    def _options(self) -> dict[str, Any]:
        raise NotImplementedError


class BiasDropoutAdd(_Fused):
    """`bias_dropout_add` as a module: ``module(x, residual)``.

    Parameters
    ----------
    features : int
        Length of the last axis of the input.
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1.
    activation : {None, "relu", "gelu", "gelu_tanh", "silu"}
        As for `bias_dropout_add`.
    bias : bool, default True
        Whether a bias is added first. It begins as zeros. A `torch.nn.Linear` before it needs none: load or
        move its bias to here.
    device, dtype : optional
        Of the parameters, as for modules of torch.
    rng : MaskGenerator, optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> module = fastdrop.torch.BiasDropoutAdd(8, 0.1, "gelu")
    >>> module
    BiasDropoutAdd(8, p=0.1, activation=gelu, bias=True)
    >>> x = torch.randn(4, 8)
    >>> module(x, residual=x).shape, list(module.state_dict())
    (torch.Size([4, 8]), ['bias'])
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        features: int,
        p: float = 0.5,
        activation: str | None = None,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        rng: MaskGenerator | None = None,
    ) -> None:
        super().__init__(features, p, rng, {"bias": bias}, device, dtype)
        self.activation = checked_activation(activation, "activation")

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return bias_dropout_add(
            x, self.bias, residual, self.p, self.training, activation=self.activation, rng=self.rng
        )

    def _options(self) -> dict[str, Any]:
        return {"activation": self.activation, "bias": self.bias is not None}


class _Norm(_Fused):
    """eps, and whether h is returned, too."""

    weight: nn.Parameter
    x_bias: nn.Parameter | None

    def __init__(
        self,
        features: int,
        p: float,
        eps: float,
        prenorm: bool,
        rng: MaskGenerator | None,
        has_biases: dict[str, bool],
        device: Any,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__(features, p, rng, {"weight": True, **has_biases}, device, dtype)
        self.eps = checked_eps(eps)
        self.prenorm = _checks.boolean(prenorm, "prenorm")

    def _arguments(self) -> dict[str, Any]:
        """What both functions take by name."""
        return {"x_bias": self.x_bias, "eps": self.eps, "prenorm": self.prenorm, "rng": self.rng}

    def _options(self) -> dict[str, Any]:
        biases = {name: p is not None for name, p in self._parameters.items() if name != "weight"}
        return {"eps": self.eps, **biases, "prenorm": self.prenorm}


class DropoutAddLayerNorm(_Norm):
    """`dropout_add_layer_norm` as a module: ``module(x, residual)``.

    The parameters `weight` and `bias` are those of `torch.nn.LayerNorm`, whose `state_dict` loads.

    Parameters
    ----------
    features : int
        Length of the last axis of the input.
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1.
    eps : float, default 1e-5
        What is added to the variance.
    bias : bool, default True
        Whether a bias is added to the normalised values.
    x_bias : bool, default False
        Whether a bias is added to x first, such as that of the layer before.
    prenorm : bool, default False
        Return h, too.
    device, dtype, rng : optional
        As for `BiasDropoutAdd`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> module = fastdrop.torch.DropoutAddLayerNorm(8, 0.1, prenorm=True)
    >>> _ = module.load_state_dict(torch.nn.LayerNorm(8).state_dict())
    >>> x = torch.randn(4, 8)
    >>> y, h = module(x, residual=x)
    >>> module
    DropoutAddLayerNorm(8, p=0.1, eps=1e-05, bias=True, x_bias=False, prenorm=True)
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        features: int,
        p: float = 0.5,
        eps: float = EPS,
        bias: bool = True,
        x_bias: bool = False,
        prenorm: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        rng: MaskGenerator | None = None,
    ) -> None:
        super().__init__(features, p, eps, prenorm, rng, {"bias": bias, "x_bias": x_bias}, device, dtype)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Any:
        return dropout_add_layer_norm(
            x, residual, self.weight, self.bias, self.p, self.training, **self._arguments()
        )


class DropoutAddRMSNorm(_Norm):
    """`dropout_add_rms_norm` as a module: ``module(x, residual)``.

    The parameter `weight` is that of `torch.nn.RMSNorm`, whose `state_dict` loads. Parameters and errors are
    those of `DropoutAddLayerNorm`; there is no bias.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> module = fastdrop.torch.DropoutAddRMSNorm(8, 0.1)
    >>> module(torch.randn(4, 8)).shape, list(module.state_dict())
    (torch.Size([4, 8]), ['weight'])
    """

    def __init__(
        self,
        features: int,
        p: float = 0.5,
        eps: float = EPS,
        x_bias: bool = False,
        prenorm: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        rng: MaskGenerator | None = None,
    ) -> None:
        super().__init__(features, p, eps, prenorm, rng, {"x_bias": x_bias}, device, dtype)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Any:
        return dropout_add_rms_norm(x, residual, self.weight, self.p, self.training, **self._arguments())
