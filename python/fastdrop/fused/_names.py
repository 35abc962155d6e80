# SPDX-License-Identifier: BSD-3-Clause
"""The activations by name."""

from __future__ import annotations

from typing import Any

from .. import _checks

# The core's numbers of them.
CODES = {None: 0.0, "relu": 1.0, "gelu": 2.0, "gelu_tanh": 3.0, "silu": 4.0}
NO_ACTIVATION, RELU, GELU, GELU_TANH, SILU = CODES.values()
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


def checked_activation(activation: Any, name: str) -> str | None:
    """The activation, for a layer; from a saved state it may be a string of another class."""
    if activation is None:
        return None
    if not isinstance(activation, str) or activation not in CODES:
        raise unknown_activation(activation)
    return str(activation)


def unknown_activation(activation: Any) -> Exception:
    names = ", ".join(map(repr, filter(None, CODES)))
    wanted = f"activation must be None or one of {names}, not {_checks.describe(activation)}"
    if callable(activation):
        return TypeError(f"{wanted}; write its name, or call it beside bias_dropout_add")
    if not isinstance(activation, str):
        return TypeError(wanted)
    name = activation.lower()
    meant = repr(name) if name in CODES else _OTHERS.get(name)
    return ValueError(wanted + (f"; write {meant}" if meant else ""))
