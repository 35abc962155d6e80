# SPDX-License-Identifier: BSD-3-Clause
"""The options of layers: declared once in a class, and thereby checked, shown, saved and restored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

import numpy as np

from . import _checks

Value = TypeVar("Value", covariant=True)

_ALWAYS_SHOWN = object()


class Option(Generic[Value]):
    """An attribute of a layer that is checked when it is set. The repr leaves out its usual value.

    The value stands in the layer's slot of the same name after an underscore.
    """

    def __init__(
        self, check: Callable[[Any, str], Value], doc: str, *, usual: object = _ALWAYS_SHOWN
    ) -> None:
        self._check, self.__doc__, self._usual = check, doc, usual

    def __set_name__(self, layer_class: type, name: str) -> None:
        self._name, self._slot = name, f"_{name}"

    @overload
    def __get__(self, layer: None, layer_class: type) -> Self: ...
    @overload
    def __get__(self, layer: object, layer_class: type) -> Value: ...
    def __get__(self, layer: object, layer_class: type) -> Any:
        return self if layer is None else getattr(layer, self._slot)

    def __set__(self, layer: object, value: Any) -> None:
        setattr(layer, self._slot, self._check(value, self._name))

    def show(self, layer: object) -> list[str]:
        """The option as a repr shows it, or nothing."""
        value = getattr(layer, self._slot)
        if isinstance(value, np.ndarray):
            return [f"{self._name}=array of shape {_checks.abbreviate(value.shape)}"]
        return [] if value == self._usual else [f"{self._name}={_checks.abbreviate(value)}"]


def declared_options(layer_class: type) -> dict[str, Option[Any]]:
    """The options of a class by name: p, then those of its own, then those of its base classes."""
    found: dict[str, Option[Any]] = {}
    for base in layer_class.__mro__:
        for name, value in vars(base).items():
            if isinstance(value, Option):
                found.setdefault(name, value)
    return {"p": found.pop("p"), **found}


def to_json(value: Any) -> Any:
    """The value of an option as JSON holds it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def p_from_json(value: Any) -> Any:
    """A list as the array that it stands for; anything else as it is, for the check of p to refuse."""
    try:
        return np.array(value) if isinstance(value, list) else value
    except ValueError:  # lists of different lengths
        return value
