# SPDX-License-Identifier: BSD-3-Clause
"""Values and numbers of users: as texts of errors and reprs show them, and what they are."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

_LINE_LENGTH = 110  # characters; as in pyproject.toml


def abbreviate(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # a broken __repr__, or an integer of more digits than Python prints
        text = object.__repr__(value)
    text = " ".join(line.strip() for line in text.splitlines())
    return text if len(text) <= 60 else text[:57] + "..."


def on_one_line(begin: str, parts: list[str], end: str) -> str:
    """A repr of those parts. The last of them give way to "..." if they do not all fit."""
    text = begin + ", ".join(parts) + end
    shown = len(parts)
    while len(text) > _LINE_LENGTH and shown:
        shown -= 1
        text = begin + ", ".join([*parts[:shown], "..."]) + end
    return text


def describe(value: object) -> str:
    return f"{abbreviate(value)} of type {type(value).__name__}"


def complaint(value: object, name: str, wanted: str, error: Exception) -> TypeError:
    """What to raise where a method of a value, which is code of others, has raised."""
    return TypeError(f"{name} must be {wanted}, not {describe(value)}: {str(error) or type(error).__name__}")


def is_real(value: object) -> bool:
    # Floats first: asking an abstract base class costs as much as a small dropout.
    if type(value) is float:
        return True
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def plain_number(value: Any) -> Any:
    """The number that a subclass of float or int holds, whatever its own methods say; others as they are."""
    if issubclass(type(value), float):
        return float.__float__(value)
    return int.__index__(value) if issubclass(type(value), int) else value
