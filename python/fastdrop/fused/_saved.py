# SPDX-License-Identifier: BSD-3-Clause
"""What forward passes save for backward passes, and the gradients that these return."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from .._checks import Array
from .._outputs import shares_memory
from ..mask import Mask


class Saved:
    """The base of what is saved: references to arrays, no copies."""

    _function: str  # that returns it

    def __repr__(self) -> str:
        parts = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Mask):
                parts.append(f"{field.name}=<Mask of shape {_checks.abbreviate(value.shape)}>")
            elif isinstance(value, np.ndarray):
                parts.append(f"{field.name}=<{value.dtype} {_checks.abbreviate(value.shape)}>")
            elif value is not None:
                parts.append(f"{field.name}={_checks.abbreviate(value)}")
        return _checks.on_one_line(f"{type(self).__name__}(", parts, ")")


# A dataclass sets each field of a frozen instance by `object.__setattr__`, which would take a fifth of a call
# on 64 x 16 elements. So these write to the dict of the instance.


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SavedBiasDropoutAdd(Saved):
    """What `bias_dropout_add_backward` needs.

    Attributes
    ----------
    mask : Mask
        Who was kept, and the scale.
    activation : str or None
        As it was given.
    x : ndarray or None
        The caller's x, if the backward pass computes the activation's derivative from it.
    bias : ndarray or None
        The caller's bias.
    y : ndarray or None
        The result, if it says all: for relu without a residual.
    has_residual : bool
        Whether a residual was added. Its gradient is dy.
    """

    mask: Mask
    activation: str | None
    x: Array | None
    bias: Array | None
    y: Array | None
    has_residual: bool

    _function = "bias_dropout_add"

    def __init__(
        self,
        mask: Mask,
        activation: str | None,
        x: Array | None,
        bias: Array | None,
        y: Array | None,
        has_residual: bool,
    ) -> None:
        fields = self.__dict__
        fields["mask"], fields["activation"], fields["x"] = mask, activation, x
        fields["bias"], fields["y"], fields["has_residual"] = bias, y, has_residual


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SavedLayerNorm(Saved):
    """What `dropout_add_layer_norm_backward` and `layer_norm_backward` need.

    Attributes
    ----------
    mask : Mask
        Who was kept, and the scale.
    h : ndarray or None
        What was normalised: the residual and what was left of x; x itself, if nothing was dropped or added.
    mean, rstd : ndarray
        Of the rows of h: their mean, and 1 / sqrt(variance + eps). Of the shape ``x.shape[:-1]``, in float32
        for data of 16 bits.
    has_residual : bool
        Whether a residual was added.
    weight, bias, x_bias : ndarray or None
        The caller's parameters.
    """

    mask: Mask
    h: Array | None
    mean: Array
    rstd: Array
    has_residual: bool
    weight: Array | None
    bias: Array | None
    x_bias: Array | None

    _function = "dropout_add_layer_norm or layer_norm"

    def __init__(
        self,
        mask: Mask,
        h: Array | None,
        mean: Array,
        rstd: Array,
        has_residual: bool,
        weight: Array | None,
        bias: Array | None,
        x_bias: Array | None,
    ) -> None:
        fields = self.__dict__
        fields["mask"], fields["h"], fields["mean"], fields["rstd"] = mask, h, mean, rstd
        fields["weight"], fields["bias"], fields["x_bias"] = weight, bias, x_bias
        fields["has_residual"] = has_residual


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SavedRMSNorm(Saved):
    """What `dropout_add_rms_norm_backward` and `rms_norm_backward` need.

    Attributes
    ----------
    mask, h, has_residual, weight, x_bias
        As of `SavedLayerNorm`.
    rstd : ndarray
        Of the rows of h: 1 / sqrt(mean of squares + eps).
    """

    mask: Mask
    h: Array | None
    rstd: Array
    has_residual: bool
    weight: Array | None
    x_bias: Array | None

    _function = "dropout_add_rms_norm or rms_norm"

    def __init__(
        self,
        mask: Mask,
        h: Array | None,
        rstd: Array,
        has_residual: bool,
        weight: Array | None,
        x_bias: Array | None,
    ) -> None:
        fields = self.__dict__
        fields["mask"], fields["h"], fields["rstd"] = mask, h, rstd
        fields["weight"], fields["x_bias"], fields["has_residual"] = weight, x_bias, has_residual


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SavedSoftmaxDropout(Saved):
    """What `softmax_dropout_backward` needs.

    Attributes
    ----------
    mask : Mask
        Who was kept, and the scale of dropout.
    weights : ndarray
        The softmax, before dropout; y itself where nothing is dropped.
    scale : float
        What scores were multiplied by.
    """

    mask: Mask
    weights: Array
    scale: float

    _function = "softmax_dropout"

    def __init__(self, mask: Mask, weights: Array, scale: float) -> None:
        fields = self.__dict__
        fields["mask"], fields["weights"], fields["scale"] = mask, weights, scale


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SavedAttention(Saved):
    """What `attention_backward` needs.

    Attributes
    ----------
    query, key, value : ndarray
        The caller's.
    y : ndarray
        The result.
    lse : ndarray
        For every query the logarithm of the sum of ``exp(scores)``, of the shape ``(..., T)``, in float32 for
        data of 16 bits. It is infinite where a query may attend to nothing.
    mask : Mask
        Who was kept, of the shape ``(..., T, S)``.
    attn_mask : ndarray or None
        What was added to the scores, as a view of the mask's shape.
    is_causal : bool
        As it was given.
    scale : float
        What scores were multiplied by.
    """

    query: Array
    key: Array
    value: Array
    y: Array
    lse: Array
    mask: Mask
    attn_mask: Array | None
    is_causal: bool
    scale: float

    _function = "attention"


class AttentionGradients(NamedTuple):
    """What `attention_backward` returns."""

    dquery: Array
    dkey: Array
    dvalue: Array


class BiasDropoutAddGradients(NamedTuple):
    """What `bias_dropout_add_backward` returns. The gradient of the residual is dy."""

    dx: Array
    dbias: Array | None


class LayerNormGradients(NamedTuple):
    """What the backward passes of layer norm return: None for an operand that was absent."""

    dx: Array
    dresidual: Array | None
    dweight: Array | None
    dbias: Array | None
    dx_bias: Array | None


class RMSNormGradients(NamedTuple):
    """What the backward passes of RMS norm return: None for an operand that was absent."""

    dx: Array
    dresidual: Array | None
    dweight: Array | None
    dx_bias: Array | None


def check_saved(saved: Any, wanted: type[Saved], dy: Any) -> None:
    """That `saved` is what the forward pass returned."""
    if not isinstance(saved, wanted):
        needed = f"the {wanted.__name__} that {wanted._function} returned"
        remedy = "; take saved out of the result: y, saved = ..." if isinstance(saved, tuple) else ""
        if isinstance(dy, Saved):
            remedy = "; the arguments are swapped: write the gradient first and saved second"
        raise TypeError(f"saved must be {needed}, not {_checks.describe(saved)}{remedy}")


def written_over(name: str, needs: str) -> ValueError:
    """What to raise where a forward pass in evaluation wrote its result over an array that is needed."""
    return ValueError(
        f"saved must hold {name} for a backward pass with {needs}, but the forward pass wrote over it: call "
        f"it without out={name}"
    )


def check_apart(out: Any, name: str, array: Array | None, own: str = "out") -> None:
    """That `out` leaves alone what the backward pass reads: another one may read it, too."""
    if array is not None and isinstance(out, np.ndarray) and shares_memory(out, array):
        raise ValueError(f"{own} must not overlap {name}, which a backward pass reads")


def in_dtype_of(gradient: Array | None, parameter: Array | None) -> Array | None:
    """The gradient of a parameter in the parameter's dtype."""
    if gradient is None or parameter is None or gradient.dtype == parameter.dtype:
        return gradient
    with np.errstate(all="ignore"):
        return gradient.astype(parameter.dtype.newbyteorder("="))
