# SPDX-License-Identifier: BSD-3-Clause
"""The probability of dropping as a function of the training step.

A mask remembers the p that it was made with, so a backward pass, or a replay, after the next step is right.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .. import _checks, _core
from .._layer import Layer
from .._saving import check_state, plain_state
from ._layers import list_of_layers


@dataclass(frozen=True)
class LinearSchedule:
    """`p` from one value to another in a straight line, and constant from then on.

    ``p(step) = start * (1 - t) + end * t`` with ``t = min(step / steps, 1)``. DropBlock's paper does this.

    Parameters
    ----------
    start, end : float
        Probability of dropping at step 0, and from step `steps` on.
    steps : int
        How many steps it takes, at least 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in a call, if `step` is.

    Examples
    --------
    >>> import fastdrop
    >>> p = fastdrop.LinearSchedule(0.0, 0.5, steps=100)
    >>> p(0), p(50), p(1000)
    (0.0, 0.25, 0.5)
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        # As Python's numbers: arithmetic with a float16 would stay one.
        object.__setattr__(self, "start", _checks.scalar_probability(self.start, "start"))
        object.__setattr__(self, "end", _checks.scalar_probability(self.end, "end"))
        object.__setattr__(self, "steps", _checks.integer(self.steps, "steps", 1, _checks.INDEX_LIMIT))

    def __call__(self, step: int) -> float:
        """The probability of dropping at that step."""
        done = min(_checks.integer(step, "step", 0, _checks.INDEX_LIMIT) / self.steps, 1.0)
        # At both ends exact.
        return _core.with_subnormals(lambda: self.start * (1.0 - done) + self.end * done)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        _init(self, state)


@dataclass(frozen=True)
class CurriculumSchedule:
    """`p` from 0 up to its final value, first fast and then ever slower (curriculum dropout).

    ``p(step) = p * (1 - exp(-rate * step))``: training starts with the easy task, without noise [1]_.

    Parameters
    ----------
    p : float
        The final probability of dropping.
    rate : float
        How fast, above 0. The paper takes 10 / (number of steps of the training), which ends within
        ``exp(-10)``, or 1 in 22,000, of the final value.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in a call, if `step` is.

    References
    ----------
    .. [1] Morerio, Cavazza, Volpi, Vidal and Murino, "Curriculum Dropout", ICCV 2017.

    Examples
    --------
    >>> import fastdrop
    >>> p = fastdrop.CurriculumSchedule(0.5, rate=10 / 1000)
    >>> p(0), round(p(100), 3), round(p(1000), 3)
    (0.0, 0.316, 0.5)
    """

    p: float
    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", _checks.scalar_probability(self.p))
        object.__setattr__(self, "rate", _checks.positive(self.rate, "rate"))

    def __call__(self, step: int) -> float:
        """The probability of dropping at that step."""
        number = _checks.integer(step, "step", 0, _checks.INDEX_LIMIT)
        return _core.with_subnormals(lambda: self.p * -math.expm1(-self.rate * number))

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        _init(self, state)


def _init(schedule: LinearSchedule | CurriculumSchedule, state: Mapping[str, Any]) -> None:
    """What a pickle holds is checked as the arguments of the constructor are."""
    check_state(state, {field.name for field in fields(schedule)})
    schedule.__init__(**state)  # type: ignore[misc]


class Scheduler:
    """Sets `p` of layers, step by step.

    Parameters
    ----------
    layers : iterable of Layer
        The layers; their `p` is that of step 0 from now on.
    schedule : callable
        From the number of a step to the probability of dropping: `LinearSchedule`, `CurriculumSchedule` or
        any function.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, or what `schedule` returns is no probability.

    Attributes
    ----------
    step_number : int
        How often `step` was called.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.Dropout(rng=0)
    >>> scheduler = fastdrop.Scheduler([drop], fastdrop.LinearSchedule(0.0, 0.5, steps=100))
    >>> for _ in range(100):
    ...     y = drop(np.ones(8, np.float32))
    ...     scheduler.step()
    >>> drop.p, drop.mask.p  # the mask remembers its own
    (0.5, 0.495)
    """

    def __init__(self, layers: Iterable[Layer], schedule: Callable[[int], float]) -> None:
        self.layers = list_of_layers(layers)
        self.schedule = _checked_schedule(schedule)
        self._set(0)

    def _set(self, step_number: int) -> None:
        p = self.schedule(step_number)
        for layer in self.layers:
            copy.copy(layer).p = p  # one layer may refuse it: then all stay as they were
        for layer in self.layers:
            layer.p = p
        self.step_number = step_number

    def step(self) -> None:
        """Go on to the next step: call it after each step of the training."""
        self._set(self.step_number + 1)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        check_state(state, {"layers", "schedule", "step_number"})
        number = _checks.integer(state["step_number"], "state['step_number']", 0, _checks.INDEX_LIMIT)
        self.layers, self.schedule = list_of_layers(state["layers"]), _checked_schedule(state["schedule"])
        self.step_number = number  # the layers have the p of that step

    def state_dict(self) -> dict[str, Any]:
        """The number of the step, for a checkpoint; the schedule and the layers are the program's."""
        return {"step_number": self.step_number}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned.

        Parameters
        ----------
        state : mapping
            What `state_dict` returned, or what a store made of it, as for `Dropout`.

        Raises
        ------
        TypeError, ValueError
            If `state` is not what `state_dict` returns; nothing is changed then.
        """
        state = plain_state(state)
        check_state(state, {"step_number"})
        self._set(_checks.integer(state["step_number"], "state['step_number']", 0, _checks.INDEX_LIMIT))

    def __repr__(self) -> str:
        parts = [f"{len(self.layers)} layers", repr(self.schedule), f"step_number={self.step_number}"]
        return _checks.on_one_line("<Scheduler ", parts, ">")


def _checked_schedule(schedule: Any) -> Callable[[int], float]:
    if not callable(schedule):
        given = _checks.describe(schedule)
        raise TypeError(f"schedule must be a function of the number of a step, not {given}")
    checked: Callable[[int], float] = schedule
    return checked
