# SPDX-License-Identifier: BSD-3-Clause
"""The activations by name."""

from __future__ import annotations

from typing import Any

from .. import _checks

# The core's numbers of them.
_CODES = {None: 0.0, "relu": 1.0, "gelu": 2.0, "gelu_tanh": 3.0, "silu": 4.0}
NO_ACTIVATION, RELU, GELU, GELU_TANH, SILU = _CODES.values()
# What other libraries call them.
_OTHERS = {
    "swish": "'silu'",
    "linear": "None",
    "identity": "None",
    "none": "None",
    "gelu_new": "'gelu_tanh'",
    "gelu_fast": "'gelu_tanh'",
    "gelu_pytorch_tanh": "'gelu_tanh'",
}


def activation_code(activation: str | None) -> float:
    """What the core calls that activation."""
    try:
        return _CODES[activation]
    except (KeyError, TypeError):
        raise _unknown(activation) from None


def checked_activation(activation: Any, name: str) -> str | None:
    """The activation, for a layer; from a saved state it may be a string of another class."""
    activation_code(activation)
    return None if activation is None else str(activation)


def _unknown(activation: Any) -> Exception:
    names = ", ".join(map(repr, filter(None, _CODES)))
    wanted = f"activation must be None or one of {names}, not {_checks.describe(activation)}"
    if callable(activation):
        return TypeError(f"{wanted}; write its name, or call it beside bias_dropout_add")
    if not isinstance(activation, str):
        return TypeError(wanted)
    name = activation.lower()
    meant = repr(name) if name in _CODES else _OTHERS.get(name)
    return ValueError(wanted + (f"; write {meant}" if meant else ""))
