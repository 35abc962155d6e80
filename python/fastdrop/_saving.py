# SPDX-License-Identifier: BSD-3-Clause
"""Saved states: JSON, NumPy's archives, pickle and HDF5 give the same state back in different types."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from . import _checks
from ._texts import complaint


def plain_state(value: Any) -> Any:
    """What a store gave back, as dicts, lists, numbers and strings. What is none of these stays as it is.

    A mapping may be an open file, an array may hold one value, and a string may be bytes.
    """
    if isinstance(value, Mapping):
        return {plain_state(key): plain_state(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [plain_state(entry) for entry in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if not hasattr(value, "__array__") or isinstance(value, np.ma.MaskedArray):  # whose mask would be lost
        return value
    try:
        content = np.asarray(value).tolist()  # of an array without axes its value
    except Exception as error:  # of any kind: `__array__` is code of others
        raise complaint(value, "state", "numbers, strings, lists and arrays of them", error) from error
    # Python has no number for a longdouble, and an array may hold any object.
    return content if content is value or isinstance(content, np.generic) else plain_state(content)


def check_state(state: Any, required: Set[str], optional: Set[str] = frozenset()) -> None:
    """That `state` is a dict with all of the required keys, and else none but optional ones."""
    given = optional & set(state) if isinstance(state, dict) else set()
    keys = required | given
    wanted = f"state must be a dict with the keys {sorted(keys)}"
    if not isinstance(state, dict):
        raise TypeError(f"{wanted}, not {_checks.describe(state)}")
    if set(state) != keys:
        raise ValueError(f"{wanted}, not {_checks.abbreviate(list(state))}")
