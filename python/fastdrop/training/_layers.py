# SPDX-License-Identifier: BSD-3-Clause
"""Several layers at once: as a list, and for as long as one sample takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import _checks
from .._layer import Layer
from ..mask_generator import MaskGenerator


def list_of_layers(value: Any) -> list[Layer]:
    """`value`, an iterable of layers, as a list."""
    try:
        layers = []
        for layer in value:  # one by one: what gives no layers may never end
            if not isinstance(layer, Layer):
                raise TypeError
            layers.append(layer)
    except TypeError:
        wanted = "an iterable of layers of fastdrop"
        raise TypeError(f"layers must be {wanted}, not {_checks.describe(value)}") from None
    return layers


@contextmanager
def dropping_by(rng: MaskGenerator, layers: list[Layer]) -> Iterator[None]:
    """The layers take masks and noise from `rng`. Afterwards they are as they were."""
    before = [layer.__getstate__() for layer in layers]  # as copies have it: with what was drawn last
    try:
        for layer in layers:
            layer.training, layer.rng = True, rng
        yield
    finally:
        for layer, state in zip(layers, before, strict=True):
            layer.__setstate__(state)
