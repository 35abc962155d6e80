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
        self.may_be_none = usual is None

    def __set_name__(self, layer_class: type, name: str) -> None:
        self._name, self._slot = name, f"_{name}"

    @overload
    def __get__(self, layer: None, layer_class: type) -> Self: ...
    @overload
    def __get__(self, layer: object, layer_class: type) -> Value: ...
    def __get__(self, layer: object, layer_class: type) -> Any:
        return self if layer is None else getattr(layer, self._slot)

    def __set__(self, layer: object, value: Any) -> None:
        self.restore(layer, value)

    def restore(self, layer: object, value: Any) -> None:
        """Set this option alone, whatever goes with it: what a pickle holds is checked as well."""
        setattr(layer, self._slot, self._check(value, self._name))

    def show(self, layer: object) -> list[str]:
        """The option as a repr shows it, or nothing."""
        value = getattr(layer, self._slot)
        if isinstance(value, np.ndarray):
            return [f"{self._name}=array of shape {_checks.abbreviate(value.shape)}"]
        return [] if value == self._usual else [f"{self._name}={_checks.abbreviate(value)}"]

    def to_state(self, layer: object) -> Any:
        """The option as a saved state holds it: None is left out there."""
        return getattr(layer, self._slot)

    def from_state(self, value: Any) -> Any:
        """What to set, from what `to_state` returned; what is wrong is left to the check."""
        return value


class ProbabilityOption(Option[Value]):
    """A probability, which a state holds as a number or as lists of them."""

    def to_state(self, layer: object) -> Any:
        value = getattr(layer, self._slot)
        return value.tolist() if isinstance(value, np.ndarray) else value

    def from_state(self, value: Any) -> Any:
        try:
            return np.array(value) if isinstance(value, list) else value
        except ValueError:  # lists of different lengths
            return value


def declared_options(layer_class: type) -> dict[str, Option[Any]]:
    """The options of a class by name: p and keep_prob, then those of its own, then of its base classes."""
    found: dict[str, Option[Any]] = {}
    for base in layer_class.__mro__:
        for name, value in vars(base).items():
            if isinstance(value, Option):
                found.setdefault(name, value)
    first: dict[str, Option[Any]] = {name: found.pop(name) for name in ("p", "keep_prob") if name in found}
    return {**first, **found}
