# SPDX-License-Identifier: BSD-3-Clause
"""Keywords that do not exist: which class or function was called, and what fastdrop calls it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from .functional import DropoutOptions

# What other libraries call it, and what to write, if the class or function takes that.
_NAMES = {
    **dict.fromkeys(("rate", "drop_prob", "drop_rate", "dropout_rate", "prob"), "p"),
    **dict.fromkeys(("seed", "random_state", "key", "generator", "random_seed"), "rng"),
    "data_format": "channel_axis",
    "keep_prob": "p",
    "epsilon": "eps",
    **dict.fromkeys(("normalized_shape", "num_features", "hidden_size", "units"), "features"),
}
_MODES = {"deterministic", "mode", "is_training", "train", "training", "train_mode"}
_AXES = {"dim", "dims", "axis", "axes", "broadcast_dims", "noise_shape"}
_HINTS = {"data_format": ", -1 for channels last", "keep_prob": ", which is 1 - keep_prob"}


Init = TypeVar("Init", bound=Callable[..., None])
Method = TypeVar("Method", bound=Callable[..., Any])


def naming_the_class(init: Init) -> Init:
    """An `__init__` whose errors of arguments name the class that was called, not one of its bases."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def checked(self: object, *args: Any, **keywords: Any) -> None:
        called = type(self).__name__
        try:
            signature.bind(self, *args, **keywords)
        except TypeError as error:
            accepted = list(signature.parameters)
            unknown = [name for name in keywords if name not in accepted]
            reason = _unknown(unknown[0], accepted, is_layer=True) if unknown else str(error)
            raise TypeError(f"{called}: {reason}") from None
        init(self, *args, **keywords)

    return checked  # type: ignore[return-value]


def naming_layer(method: Method) -> Method:
    """A method of a base class that is not public: errors of its arguments name `Layer` instead."""
    method.__qualname__ = f"Layer.{method.__name__}"
    return method


def check_options(options: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """That the options of a kind's function are those of `dropout` that it hands on."""
    if not options.keys() <= DropoutOptions.__optional_keys__:
        (name, *_) = options.keys() - DropoutOptions.__optional_keys__
        accepted = [*inspect.signature(function).parameters, *DropoutOptions.__optional_keys__]
        raise TypeError(f"{function.__name__}: {_unknown(name, accepted, is_layer=False)}")


def _unknown(name: str, accepted: Collection[str], is_layer: bool) -> str:
    remedy = _remedy(name, accepted, is_layer)
    return f"there is no keyword {name!r}" + (f"; {remedy}" if remedy else "")


def _remedy(name: str, accepted: Collection[str], is_layer: bool) -> str:
    """What to write instead, or nothing."""
    if (meant := _NAMES.get(name)) in accepted:
        return f"write {meant}={_HINTS.get(name, '')}"
    if name in _MODES:
        return "call train() or eval() of the layer" if is_layer else "write training="
    if name in {"inplace", "out"}:
        return "write out=x when you call the layer" if is_layer else "write out=x"
    if name in _AXES:
        axes = [f"{axis}=" for axis in accepted if axis.endswith("_axis") or axis == "noise_shape"]
        return f"write {' or '.join(axes)}" if axes else "only Dropout and dropout have a noise_shape"
    return ""
