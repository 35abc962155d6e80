# SPDX-License-Identifier: BSD-3-Clause
"""What the layers of this room have in common: parameters, their gradients, and what the last pass saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import _checks
from .._checks import Array, Probability
from .._layer import Layer
from .._saving import check_state, plain_state
from ..mask_generator import Rng


class Parameter:
    """A parameter as an attribute of a layer. What is set is copied into the layer's array."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, layer_class: type, name: str) -> None:
        self._name = name

    def __get__(self, layer: Any, layer_class: type) -> Any:
        return self if layer is None else layer.parameters.get(self._name)

    def __set__(self, layer: Any, value: ArrayLike) -> None:
        own = layer.parameters.get(self._name)
        if own is None:
            name = self._name
            raise AttributeError(f"this {type(layer).__name__} has no {name}: make it with {name}=True")
        if value is own:  # layer.weight -= ... has changed it already
            return
        array = _checks.float_array(value, self._name)
        _checks.check_shape(array, own.shape, self._name)
        own[...] = array


class ParameterLayer(Layer):
    """A layer with parameters, arrays of one value for each feature."""

    # A dict, because `Layer` makes arrays in slots read-only.
    __slots__ = ("_gradients", "_parameters")
    _gradients: dict[str, Array | None]
    _parameters: dict[str, Array]
    _flags: ClassVar[dict[str, bool]] = {}  # the parameters that the constructor may be asked for, by default

    def __init__(
        self, features: int, p: Probability, rng: Rng, dtype: DTypeLike, **initial_values: float | None
    ) -> None:
        super().__init__(p, rng=rng)
        length = _checks.integer(features, "features", 1, _checks.INDEX_LIMIT)
        checked = _checked_dtype(dtype)
        self._parameters = {
            name: np.full(length, value, checked)
            for name, value in initial_values.items()
            if value is not None
        }
        self._gradients = dict.fromkeys(self._parameters)

    @property
    def parameters(self) -> dict[str, Array]:
        """The parameters by name: what an optimiser changes, in place or by setting."""
        return self._parameters

    @property
    def gradients(self) -> dict[str, Array | None]:
        """The gradients of the last backward pass, by the names of the parameters; None before it."""
        return self._gradients

    @property
    def saved(self) -> Any:
        """What the last forward pass saved, for ``backward(dy, saved=saved)``; None before it."""
        return self._drawn

    @property
    def features(self) -> int:
        """The length of the last axis of the input."""
        return len(next(iter(self._parameters.values())))

    def _go_back(self, function: Callable[..., Any], dy: ArrayLike, saved: Any, out: Array | None) -> Any:
        """A backward pass by that function, which returns gradients: those of the input and the residual."""
        gradients: Any = self._answer(function, dy, "saved", saved, out)
        self._gradients = {name: getattr(gradients, f"d{name}") for name in self._parameters}
        return gradients

    def state_dict(self) -> dict[str, Any]:
        """What the next results depend on, as for `Dropout`, and the parameters, as lists of numbers."""
        parameters = {name: array.astype(np.float64).tolist() for name, array in self._parameters.items()}
        return {**super().state_dict(), "parameters": parameters}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as `Dropout` does, with parameters that are written into the layer's own arrays.

        Parameters
        ----------
        state : mapping
            What `state_dict` of a layer of the same class and as many features returned, or what a store
            made of it.

        Raises
        ------
        TypeError, ValueError
            If `state` is not what `state_dict` returns; the layer is then unchanged.
        """
        plain, loaded, kind = plain_state(state), {}, type(self).__name__
        if isinstance(plain, dict) and plain.get("layer", kind) == kind:  # `Layer` refuses what is neither
            loaded = self._checked_parameters(plain)
            plain = {name: value for name, value in plain.items() if name != "parameters"}
        super().load_state_dict(plain)
        for name, values in loaded.items():
            self._parameters[name][...] = values
        self._gradients = dict.fromkeys(self._parameters)

    def _checked_parameters(self, state: dict[str, Any]) -> dict[str, Array]:
        if "parameters" not in state:
            check_state(state, {*self.state_dict()})
        given = state["parameters"]
        if not isinstance(given, dict) or set(given) != set(self._parameters):
            came = _checks.abbreviate(list(given) if isinstance(given, dict) else given)
            wanted = f"a dict with the keys {sorted(self._parameters)}"
            raise ValueError(f"state['parameters'] must be {wanted}, not {came}")
        return {name: _checked_values(given[name], name, own) for name, own in self._parameters.items()}

    def _check_restored(self) -> None:
        super()._check_restored()
        own = self._parameters if isinstance(self._parameters, dict) else {}
        kinds = {(array.shape, array.dtype) for array in own.values() if isinstance(array, np.ndarray)}
        has_parameters = len(kinds) == 1 and all(
            isinstance(array, np.ndarray) and array.ndim == 1 and _checks.is_float_dtype(array.dtype)
            for array in own.values()
        )
        if not has_parameters:
            wanted = "a dict of arrays of a float dtype and of one length"
            raise TypeError(f"parameters must be {wanted}, not {_checks.describe(self._parameters)}")
        if not isinstance(self._gradients, dict) or set(self._gradients) != set(own):
            wanted = f"a dict with the keys {sorted(own)}"
            raise TypeError(f"gradients must be {wanted}, not {_checks.describe(self._gradients)}")

    def _separate(self) -> None:
        super()._separate()
        self._parameters = {name: array.copy() for name, array in self._parameters.items()}

    def _shown(self) -> list[str]:
        dtype = next(iter(self._parameters.values())).dtype
        shown = super()._shown()
        flags = [(name, name in self._parameters, usual) for name, usual in self._flags.items()]
        own = [f"{name}={is_there}" for name, is_there, usual in flags if is_there != usual]
        own += [] if dtype == np.float32 else [f"dtype={dtype}"]
        return [str(self.features), *shown[:-1], *own, *shown[-1:]]


class ResidualLayer(ParameterLayer):
    """A layer that may add a residual to what it drops from."""

    __slots__ = ()

    def forward(self, x: ArrayLike, residual: ArrayLike | None = None, *, out: Array | None = None) -> Array:
        """Apply the function of the layer's name.

        Parameters
        ----------
        x : array_like of float16, bfloat16, float32 or float64
            Values of the shape ``(..., features)``, of the dtype of the parameters; of 16 bits, too, if those
            are of float32.
        residual : array_like, optional
            What is added, of x's shape and dtype.
        out : ndarray, optional
            Where to write, as for the function.

        Returns
        -------
        ndarray
            `out`, or a new array of x's shape and dtype.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit.
        """
        raise NotImplementedError

    def __call__(self, x: ArrayLike, residual: ArrayLike | None = None, *, out: Array | None = None) -> Array:
        """Call `forward`."""
        return self.forward(x, residual, out=out)


def _checked_values(value: Any, name: str, own: Array) -> Array:
    try:
        values = np.array(value)
    except ValueError:  # lists of different lengths
        values = np.array("")
    if values.dtype.kind not in "fiu" or values.shape != own.shape:
        wanted = f"real numbers of the shape {own.shape}"
        came = values.shape if values.dtype.kind in "fiu" else _checks.describe(value)
        raise ValueError(f"state['parameters'][{name!r}] must be {wanted}, not {came}")
    with np.errstate(all="ignore"):
        return values.astype(own.dtype)


def _checked_dtype(value: DTypeLike) -> np.dtype[Any]:
    try:
        if value is None:  # which NumPy takes for float64
            raise TypeError
        dtype = np.dtype(value)
        if not _checks.is_float_dtype(dtype):
            raise TypeError
    except Exception:  # of any kind: an object's own `dtype` is code of others
        wanted = "float16, bfloat16, float32 or float64"
        raise TypeError(f"dtype must be {wanted}, not {_checks.describe(value)}") from None
    return dtype.newbyteorder("=")
