# SPDX-License-Identifier: BSD-3-Clause
"""The fused functions: what stands between two matrix products, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .. import _checks
from .._windows import NoiseShape
from ..fused._names import CODES, unknown_activation
from ..fused._normalize import EPS, checked_eps
from ..mask import Mask
from ..mask_generator import MaskGenerator
from ._fused_apply import apply_fused
from ._rows import COMPUTE


def bias_dropout_add(
    x: Tensor,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    p: float = _checks.DEFAULT_P,
    training: bool = True,
    *,
    activation: str | None = None,
    noise_shape: NoiseShape = None,
    rng: MaskGenerator | None = None,
    mask: Mask | None = None,
) -> Tensor:
    """Add a bias, apply an activation, drop, scale and add a residual, in one pass.

    ``residual + F.dropout(act(x + bias), p, training)``, with the bits of `fastdrop.bias_dropout_add`. An
    operand that is left out changes nothing. Nothing is saved for the backward pass but operands and the key
    of the mask: without an activation nothing else at all.

    Parameters
    ----------
    x : Tensor of float16, bfloat16, float32 or float64
        Values of the shape ``(..., features)`` in CPU memory. Tensors of other devices, dtypes and layouts go
        to torch's own functions.
    bias : Tensor, optional
        One value for each feature, of x's dtype or float32.
    residual : Tensor, optional
        What is added at the end, of x's shape. If its dtype is another one, the result has the dtype that
        torch gives to their sum.
    p : float, default 0.5
        Probability of dropping an element, from 0 to 1.
    training : bool, default True
        False: nothing is dropped or scaled, and nothing is drawn.
    activation : {None, "relu", "gelu", "gelu_tanh", "silu"}
        "gelu" is ``F.gelu(t)``, by the error function; "gelu_tanh" is ``F.gelu(t, approximate="tanh")``.
    noise_shape, rng : optional
        As for `dropout`.
    mask : Mask, optional
        A mask to use instead of drawing one, as of `fastdrop.MaskGenerator.mask`: `p`, `noise_shape` and
        `rng` must then be left out. A mask of your own (`Mask.from_array`) is broadcast to x.

    Returns
    -------
    Tensor
        A new tensor in C order.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or dtype, or out of range.
    RuntimeError
        If its gradient is differentiated again: `torch.func` does that, in torch's own operations.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> x, bias = torch.randn(4, 8, requires_grad=True), torch.zeros(8, requires_grad=True)
    >>> y = fastdrop.torch.bias_dropout_add(x, bias, torch.randn(4, 8), 0.1, activation="gelu")
    >>> y.sum().backward()
    >>> x.grad.shape, bias.grad.shape
    (torch.Size([4, 8]), torch.Size([8]))
    """
    try:
        code = CODES[activation]
    except (KeyError, TypeError):
        raise unknown_activation(activation) from None

    def compose(drop: Callable[[Tensor], Tensor], x: Tensor, bias: Any, residual: Any, _: float) -> Any:
        dropped = drop(_ACTIVATIONS[activation](_sum(_wide(x), bias)))
        return (_sum(dropped, residual).to(x.dtype),)

    operands, dropping = (x, bias, residual), (p, training, noise_shape, rng, mask)
    return apply_fused("bias_dropout_add", operands, code, dropping, compose)[0]


def dropout_add_layer_norm(
    x: Tensor,
    residual: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    p: float = _checks.DEFAULT_P,
    training: bool = True,
    *,
    x_bias: Tensor | None = None,
    eps: float = EPS,
    prenorm: bool = False,
    noise_shape: NoiseShape = None,
    rng: MaskGenerator | None = None,
    mask: Mask | None = None,
) -> Any:
    """Drop, scale, add a residual and normalise the last axis, in one pass.

    ``y = F.layer_norm(h, features, weight, bias, eps)`` with ``h = residual + F.dropout(x + x_bias, p,
    training)``, with the bits of `fastdrop.dropout_add_layer_norm`. h, its mean and its deviation are saved
    for the backward pass; the mask is not, but its key.

    Parameters
    ----------
    x : Tensor of float16, bfloat16, float32 or float64
        As for `bias_dropout_add`.
    residual : Tensor, optional
        What is added to what is left of x, as for `bias_dropout_add`.
    weight, bias : Tensor, optional
        What the normalised values are multiplied by, and what is added then: one value for each feature, of
        x's dtype or float32.
    p, training
        As for `bias_dropout_add`.
    x_bias : Tensor, optional
        What is added to x first, such as the bias of the layer before: one value for each feature.
    eps : float, default 1e-5
        What is added to the variance, above 0.
    prenorm : bool, default False
        Return h, too: networks that normalise first (pre-norm) add to it next.
    noise_shape, rng, mask : optional
        As for `bias_dropout_add`.

    Returns
    -------
    Tensor, or two of them
        y, or y and h with `prenorm`, in C order. h is x itself, not a copy, where nothing is dropped or
        added.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for `bias_dropout_add`.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> norm, x, residual = torch.nn.LayerNorm(8), torch.randn(4, 8), torch.randn(4, 8)
    >>> y, h = fastdrop.torch.dropout_add_layer_norm(
    ...     x, residual, norm.weight, norm.bias, 0.1, eps=norm.eps, prenorm=True
    ... )
    >>> torch.allclose(y, norm(h), atol=1e-6)
    True
    """

    def normalize(h: Tensor, weight: Any, bias: Any, eps: float) -> Tensor:
        return F.layer_norm(h, h.shape[-1:], _wide(weight), _wide(bias), eps)

    operands, dropping = (x, residual, weight, bias, x_bias), (p, training, noise_shape, rng, mask)
    return _norm("dropout_add_layer_norm", operands, eps, dropping, prenorm, normalize)


def dropout_add_rms_norm(
    x: Tensor,
    residual: Tensor | None = None,
    weight: Tensor | None = None,
    p: float = _checks.DEFAULT_P,
    training: bool = True,
    *,
    x_bias: Tensor | None = None,
    eps: float = EPS,
    prenorm: bool = False,
    noise_shape: NoiseShape = None,
    rng: MaskGenerator | None = None,
    mask: Mask | None = None,
) -> Any:
    """Drop, scale, add a residual and divide the last axis by its root mean square, in one pass.

    ``y = F.rms_norm(h, features, weight, eps)`` with h as for `dropout_add_layer_norm`. Parameters, results
    and errors are those of `dropout_add_layer_norm`; there is no bias. torch's own default of eps is another
    one: that of the dtype, ``torch.finfo(x.dtype).eps``.

    Examples
    --------
    >>> import torch, fastdrop.torch
    >>> x, weight = torch.randn(4, 8), torch.ones(8)
    >>> fastdrop.torch.dropout_add_rms_norm(x, None, weight, 0.1).shape
    torch.Size([4, 8])
    """

    def normalize(h: Tensor, weight: Any, eps: float) -> Tensor:
        return F.rms_norm(h, h.shape[-1:], _wide(weight), eps)

    operands, dropping = (x, residual, weight, x_bias), (p, training, noise_shape, rng, mask)
    return _norm("dropout_add_rms_norm", operands, eps, dropping, prenorm, normalize)


def _norm(
    operation: str,
    operands: tuple[Tensor | None, ...],
    eps: Any,
    dropping: tuple[Any, ...],
    prenorm: Any,
    normalize: Callable[..., Tensor],
) -> Any:
    if prenorm is not True and prenorm is not False:
        prenorm = _checks.boolean(prenorm, "prenorm")

    def compose(
        drop: Callable[[Tensor], Tensor], x: Tensor, residual: Any, *others: Any
    ) -> tuple[Tensor, Tensor]:
        *parameters, x_bias, eps = others
        h = _sum(drop(_sum(_wide(x), x_bias)), residual).to(x.dtype)
        return normalize(_wide(h), *parameters, eps).to(x.dtype), h

    y, h = apply_fused(operation, operands, checked_eps(eps), dropping, compose)
    return (y, h) if prenorm else y


# --- Compositions, whose steps are in the dtype that the core computes with ------------------------


def _same(x: Tensor) -> Tensor:
    return x


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


_ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: _same,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": F.silu,
}


def _wide(tensor: Any) -> Any:
    return tensor if tensor is None else tensor.to(COMPUTE.get(tensor.dtype, tensor.dtype))


def _sum(x: Tensor, addend: Tensor | None) -> Tensor:
    return x if addend is None else x + _wide(addend)
