# SPDX-License-Identifier: BSD-3-Clause
"""From the axes that a kind of dropout names to its noise shape."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from .. import _checks

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def remembered(rule: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """A rule about shapes with its last answers: a training step asks the same as the one before."""
    known = cast(Any, functools.lru_cache(maxsize=256, typed=True)(rule))  # typed: a bool is no axis

    @functools.wraps(rule)
    def asked(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Answer:
        try:
            answer: Answer = known(*arguments, **keywords)
        except TypeError:  # what cannot be looked up is refused by the rule
            return rule(*arguments, **keywords)
        return answer

    return asked


def not_none(**axes: int | None) -> dict[str, int]:
    """The axes that are not None, where that is allowed to say that there is none."""
    return {name: axis for name, axis in axes.items() if axis is not None}


def axes_by_index(ndim: int, **axes: int) -> dict[int, str]:
    """Index and name of every axis; two names for one axis are refused."""
    names: dict[int, str] = {}
    for name, value in axes.items():
        axis = _checks.axis(value, name, ndim)
        if axis in names:
            raise ValueError(f"{name} must not be {axis}, which is {names[axis]}")
        names[axis] = name
    return names


@remembered
def independent_along(shape: tuple[int, ...], **axes: int) -> tuple[int, ...]:
    """The noise shape with a decision for every index along these axes, shared along all the others."""
    independent = axes_by_index(len(shape), **axes)
    return tuple(length if axis in independent else 1 for axis, length in enumerate(shape))


@remembered
def shared_along(shape: tuple[int, ...], **axes: int) -> tuple[int, ...]:
    """The noise shape with a decision for every index along all the other axes."""
    shared = axes_by_index(len(shape), **axes)
    return tuple(1 if axis in shared else length for axis, length in enumerate(shape))
