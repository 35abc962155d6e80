# SPDX-License-Identifier: BSD-3-Clause
"""The layers of a model at once: modes and states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, overload

from .. import _checks
from .._layer import Layer, try_state
from .._saving import check_state, plain_state
from ._layers import list_of_layers


class LayerList(Sequence[Layer]):
    """The layers of a model, to switch, to save and to restore them together.

    It is a sequence: `Scheduler` and `mc_dropout` take it as their `layers`.

    Parameters
    ----------
    layers : iterable of Layer
        The layers, in an order that stays the same from one checkpoint to the next.

    Raises
    ------
    TypeError
        If `layers` is no iterable of layers.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> masks = fastdrop.MaskGenerator(0)
    >>> layers = fastdrop.LayerList([fastdrop.Dropout(0.2, rng=masks), fastdrop.DropPath(0.1, rng=masks)])
    >>> x = np.ones((4, 8), np.float32)
    >>> with layers.evaluation():
    ...     layers[0](x) is x
    True
    >>> layers[0].training
    True
    >>> state = layers.state_dict()  # for a checkpoint
    >>> layers.load_state_dict(state)
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self._layers = list_of_layers(layers)

    def __len__(self) -> int:
        return len(self._layers)

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> LayerList: ...
    def __getitem__(self, index: int | slice) -> Layer | LayerList:
        found = self._layers[index]
        return LayerList(found) if isinstance(found, list) else found

    def train(self, mode: bool = True) -> Self:
        """Set `training` of all layers.

        Parameters
        ----------
        mode : bool, default True
            What to set: a bool, or the integer 0 or 1.

        Returns
        -------
        LayerList
            This one.

        Raises
        ------
        TypeError
            If `mode` is neither; no layer is changed then.
        """
        training = _checks.boolean(mode, "training")
        for layer in self:
            layer.training = training
        return self

    def eval(self) -> Self:
        """Set `training` of all layers to False. Returns this list."""
        return self.train(False)

    @contextmanager
    def evaluation(self) -> Iterator[Self]:
        """Nothing is dropped in the body of ``with layers.evaluation():``.

        Afterwards, also after an exception, every layer has the mode that it had before.
        """
        before = [layer.training for layer in self]
        try:
            yield self.eval()
        finally:
            for layer, training in zip(self, before, strict=True):
                layer.training = training

    def state_dict(self) -> dict[str, Any]:
        """What the next results of all layers depend on, for a checkpoint.

        Returns
        -------
        dict
            The `state_dict` of every layer, by its number as a string; and `generators`, for every layer the
            number of the first one that shares its generator.
        """
        states: dict[str, Any] = {str(number): layer.state_dict() for number, layer in enumerate(self)}
        return {**states, "generators": self._generators()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore all layers, or none if the state is wrong.

        Parameters
        ----------
        state : mapping
            What `state_dict` returned, or what a store made of it, as for `Dropout`.

        Raises
        ------
        TypeError, ValueError
            If `state` is not that of so many layers of these classes, or these share generators otherwise
            than those that were saved; no layer is changed then.
        MemoryError
            Some layers may have been restored then.
        """
        state = plain_state(state)
        check_state(state, {"generators", *(str(number) for number in range(len(self)))})
        if state["generators"] != (own := self._generators()):
            wanted = f"{_checks.abbreviate(own)}, since these layers share generators like that"
            given = _checks.abbreviate(state["generators"])
            raise ValueError(
                f"state['generators'] must be {wanted}, not {given}: make the layers as they were"
            )
        pairs = [(layer, state[str(number)]) for number, layer in enumerate(self)]
        for layer, own in pairs:  # refuses what is wrong before any layer, or generator, has changed
            try_state(layer, own)
        for layer, own in pairs:
            layer.load_state_dict(own)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        check_state(state, {"_layers"})
        self._layers = list_of_layers(state["_layers"])

    def _generators(self) -> list[int]:
        first: dict[int, int] = {}
        return [first.setdefault(id(layer.rng), number) for number, layer in enumerate(self)]

    def __repr__(self) -> str:
        return _checks.on_one_line("LayerList([", [repr(layer) for layer in self], "])")
