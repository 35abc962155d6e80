# SPDX-License-Identifier: BSD-3-Clause
"""Dropout for thinc: the registered layer ``fastdrop.Dropout.v1``."""

# No `from __future__ import annotations`: thinc's configs are checked by the annotations themselves.

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

try:
    import srsly
    from thinc.api import Model, NumpyOps, registry
    from thinc.model import deserialize_attr, serialize_attr
    from thinc.types import ArrayXd, Padded, Ragged
except ImportError as error:
    from ._installation import host_error

    raise host_error("fastdrop.thinc", "thinc", "thinc") from error

from ._checks import Array, describe, scalar_probability
from .mask import Mask
from .mask_generator import MaskGenerator

__all__ = ["Dropout"]

InT = TypeVar("InT", bound=ArrayXd | Sequence[ArrayXd] | Ragged | Padded)


@registry.layers("fastdrop.Dropout.v1")
def Dropout(  # noqa: N802 -- thinc's name
    rate: float = 0.0, seed: int | Sequence[int] | None = None
) -> Model[InT, InT]:
    """thinc's `Dropout` in one pass, without a stored mask.

    It takes the place of ``Dropout.v1``: an array, a `Ragged`, a `Padded` or a sequence of arrays goes in and
    the same comes out. The attributes `dropout_rate` and `is_enabled` mean what they mean there.

    Parameters
    ----------
    rate : float, default 0.0
        The probability of dropping an element, from 0 to 1: the attribute `dropout_rate`, which
        `thinc.api.set_dropout_rate` sets.
    seed : int or sequence of int, optional
        None: the key of every mask comes from NumPy's global state, which `thinc.api.fix_random_seed` seeds.
        Otherwise the layer has a `MaskGenerator` of that seed, in the attribute `masks`. The model saves how
        far it has come. Give every layer another seed, such as ``[0, 1]`` and ``[0, 2]``.

    Returns
    -------
    thinc.model.Model
        The layer. Its arrays are those of NumPy, of float16, float32 or float64.

    Raises
    ------
    TypeError, ValueError
        If `seed` is no source of keys; in a training step, if the rate is not from 0 to 1, or the arrays are
        not NumPy's arrays of floats.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> from fastdrop.thinc import Dropout
    >>> drop = Dropout(0.5, seed=1)
    >>> y, backprop = drop.begin_update(np.ones((1, 4), np.float32))
    >>> y
    array([[2., 0., 0., 2.]], dtype=float32)
    >>> backprop(np.ones((1, 4), np.float32))
    array([[2., 0., 0., 2.]], dtype=float32)
    >>> drop.predict(np.ones((1, 4), np.float32))
    array([[1., 1., 1., 1.]], dtype=float32)
    """
    masks = None if seed is None else MaskGenerator(seed)
    return Model("dropout", _forward, attrs={"dropout_rate": rate, "is_enabled": True, "masks": masks})


def _forward(model: Model[InT, InT], x: Any, is_train: bool) -> tuple[Any, Callable[[Any], Any]]:
    """The layer's step: the result, and what gives the gradient."""
    if not (is_train and model.attrs["is_enabled"]) or model.attrs["dropout_rate"] == 0:
        return x, lambda dy: dy
    if not isinstance(model.ops, NumpyOps):
        raise TypeError(
            f"fastdrop.Dropout.v1 needs arrays in CPU memory, those of NumpyOps, not of "
            f"{type(model.ops).__name__}; use thinc's own Dropout.v1 for others"
        )
    parts, _ = _arrays(x)
    for part in parts:
        if not isinstance(part, (np.ndarray, np.generic)):
            raise TypeError(
                f"x must be an array, a Ragged, a Padded or a sequence of arrays, not {describe(x)}"
            )
    masks = [_next_mask(model, part.shape) for part in parts]

    def backprop(dy: Any) -> Any:
        return _apply(masks, dy)

    return _apply(masks, x), backprop


def _apply(masks: list[Mask], x: Any) -> Any:
    parts, joined = _arrays(x)
    return joined([mask.apply(part) for mask, part in zip(masks, parts, strict=True)])


def _arrays(x: Any) -> tuple[Sequence[Array], Callable[[list[Array]], Any]]:
    """The arrays in x, and what makes of their results what x is."""
    if isinstance(x, Ragged):
        return [x.data], lambda results: Ragged(results[0], x.lengths)
    if isinstance(x, Padded):
        return [x.data], lambda results: Padded(results[0], x.size_at_t, x.lengths, x.indices)
    if isinstance(x, Sequence):
        return x, lambda results: results
    return [x], lambda results: results[0]


def _next_mask(model: Model[InT, InT], shape: tuple[int, ...]) -> Mask:
    masks, rate = model.attrs["masks"], scalar_probability(model.attrs["dropout_rate"], "dropout_rate")
    if masks is None:
        words = np.random.randint(2**32, size=4, dtype=np.uint32)  # noqa: NPY002 -- what thinc seeds
        return Mask(shape, rate, key=words.tolist())
    if isinstance(masks, dict):  # of a saved layer that had a seed, loaded into this one, which has none
        masks = model.attrs["masks"] = _generator(masks)
    mask: Mask = masks.mask(shape, rate)
    return mask


def _generator(state: dict[str, Any]) -> MaskGenerator:
    masks = MaskGenerator(0)
    masks.state = state
    return masks


@serialize_attr.register
def _masks_to_bytes(_: MaskGenerator, masks: MaskGenerator, name: str, model: Any) -> Any:
    return srsly.msgpack_dumps(masks.state)


@deserialize_attr.register
def _masks_from_bytes(_: MaskGenerator, saved: bytes, name: str, model: Any) -> MaskGenerator | None:
    state = srsly.msgpack_loads(saved)
    return None if state is None else _generator(state)
