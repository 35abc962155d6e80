# SPDX-License-Identifier: BSD-3-Clause
"""What every layer is: an object with a training state. It holds no mathematics."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from . import _checks, _core
from ._checks import Array, Probability
from ._keywords import naming_layer, naming_the_class
from ._options import ProbabilityOption, declared_options
from ._saving import check_state, plain_state
from ._values import ScalarOrArray
from .functional import dropout_backward
from .mask import Mask
from .mask_generator import MaskGenerator, Rng, as_generator, format_source


def read_only(probability: ScalarOrArray, name: str) -> ScalarOrArray:
    """A checked probability, whose elements cannot be set without a check."""
    if isinstance(probability, np.ndarray):
        if not probability.size:
            raise ValueError(f"{name} must have at least one element, not the shape {probability.shape}")
        probability.setflags(write=False)
    return probability


class Layer(ABC):
    """What every layer of fastdrop has: a probability, a source of masks or noise, and two modes.

    Every forward pass in training takes the next mask, or the next noise, of the layer's `MaskGenerator`. The
    backward pass uses that of the last forward pass, or the one that it is given: see `Dropout`. A layer of
    fastdrop has the attributes of its class only: setting another one raises AttributeError.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping, from 0 to 1.
    rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If `p` or `rng` is of the wrong kind or out of range.

    Attributes
    ----------
    p : float or array of float
        Probability of dropping; may be set between steps.
    training : bool
        Whether elements are dropped, or multiplied by noise.
    rng : MaskGenerator
        Where the masks, or the noise, come from.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> layers = [fastdrop.Dropout(0.5, rng=0), fastdrop.GaussianDropout(0.2, rng=1)]
    >>> all(isinstance(layer, fastdrop.Layer) for layer in layers)
    True
    >>> layers[1].eval().p = 0.1
    >>> layers[1]
    GaussianDropout(p=0.1, training=False, rng=<seed=1, stream=0>)
    """

    # _drawn: the mask, or the noise, of the last forward pass.
    # _unanswered: whether a forward pass in training waits for its backward pass.
    # _passes: how many forward passes there were since nothing waited: if several, who goes back must say
    # which of them is meant.
    __slots__ = ("__weakref__", "_drawn", "_p", "_passes", "_rng", "_training", "_unanswered")
    _drawn: Any
    _passes: int
    _unanswered: bool
    _p: ScalarOrArray

    p: ProbabilityOption[ScalarOrArray] = ProbabilityOption(
        lambda p, name: read_only(_checks.probability(p, name), name), "Probability of dropping."
    )

    @naming_the_class
    def __init__(self, p: Probability = _checks.DEFAULT_P, *, rng: Rng = None) -> None:
        self.p = p
        self.rng = rng
        self._training = True
        self._draw_by_hand(None)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            cls.__init__ = naming_the_class(cls.__init__)  # type: ignore[method-assign]

    @property
    def rng(self) -> MaskGenerator:
        """Where masks or noise come from; what is set becomes a `MaskGenerator`, as in the constructor."""
        return self._rng

    @rng.setter
    def rng(self, rng: Rng) -> None:
        self._rng = as_generator(rng)

    @property
    def training(self) -> bool:
        """Whether elements are dropped, or multiplied by noise."""
        return self._training

    @training.setter
    def training(self, training: bool) -> None:
        self._training = _checks.boolean(training, "training")

    @abstractmethod
    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        """Apply dropout. In evaluation: return `x`, or copy it to `out`.

        A layer with ``inverted=False`` multiplies by ``1 - p`` in evaluation.

        Parameters
        ----------
        x : array_like of float16, bfloat16, float32 or float64
            Values.
        out : ndarray, optional
            Where to write: `x` itself, or an array like it that does not overlap it.

        Returns
        -------
        ndarray
            `out`, or a new array of x's shape and dtype.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit.
        """

    def __call__(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        """Call `forward`."""
        return self.forward(x, out=out)

    @abstractmethod
    def backward(self, dy: ArrayLike, *, out: Array | None = None) -> Array:
        """The gradient with respect to the last forward pass's input.

        The layers of fastdrop take ``mask=`` too, `GaussianDropout` takes ``noise=``: what another forward
        pass drew. If a layer was called at several time steps, its backward passes need it.

        Parameters
        ----------
        dy : array_like of float16, bfloat16, float32 or float64
            Gradient with respect to the result of the last forward pass, of its shape.
        out : ndarray, optional
            Where to write: `dy` itself, or an array like it that does not overlap it.

        Returns
        -------
        ndarray
            `out`, or a new array of dy's shape and dtype.

        Raises
        ------
        TypeError, ValueError
            If there was no forward pass, or several and it is not said which is meant, or an array does not
            fit.
        """

    def _remember(self, result: tuple[Array, Any]) -> Array:
        """What a forward pass returns: its result, of which the layer keeps what was drawn."""
        y, self._drawn = result
        self._passes = self._passes + 1 if self._unanswered else 1
        if self._training:
            self._unanswered = True
        return y

    def _answer(
        self, function: Callable[..., Array], dy: ArrayLike, name: str, drawn: Any, out: Array | None
    ) -> Array:
        """A backward pass by that function, with what was given by that name, or else was drawn last."""
        if drawn is None:
            drawn = self._drawn
            if drawn is None or self._passes > 1:
                raise self._unclear(name)
        dx = function(dy, drawn, out=out)
        self._unanswered = False
        return dx

    def _unclear(self, name: str) -> ValueError:
        """What to raise where the last forward pass need not be what a backward pass means."""
        if self._drawn is None:
            return ValueError("backward needs a forward pass before it: call the layer first")
        return ValueError(
            f"backward needs {name}=, because the layer was called {self._passes} times without a backward "
            f"pass in between: layer.{name} is that of the last call. Keep it after every call and write "
            f"backward(dy, {name}=kept[t]), or {name}=layer.{name} if you mean the last call"
        )

    def _draw_by_hand(self, drawn: Any) -> None:
        """Set what the next backward pass uses, whatever was called before."""
        self._drawn, self._passes, self._unanswered = drawn, 0, False

    def train(self, mode: bool = True) -> Self:
        """Set `training`: a bool, or the integer 0 or 1. Returns the layer."""
        self.training = mode
        return self

    def eval(self) -> Self:
        """Set `training` to False. Returns the layer."""
        return self.train(False)

    def state_dict(self) -> dict[str, Any]:
        """What the next results depend on, for a checkpoint.

        Returns
        -------
        dict
            The name of the layer's class, its options, `training`, and the state of `rng`: plain numbers,
            strings and lists, which JSON, NumPy's archives, pickle and HDF5 can hold. An option that is None
            is left out. In `noise_shape` -1 stands for None.
        """
        options = {name: option.to_state(self) for name, option in declared_options(type(self)).items()}
        given = {name: value for name, value in options.items() if value is not None}
        own = {"layer": type(self).__name__, **given, "training": self._training}
        return {**own, "rng": self._rng.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the masks, or the noise, that would have followed when `state_dict` was taken.

        The next call must be a forward pass: what the last one drew is not part of the state. A generator
        that is shared is set for everybody who shares it. An option that the state does not have becomes
        None. A state that holds `p`, `training` and `rng` only, as an older version wrote it, leaves the
        other options as they are.

        Parameters
        ----------
        state : mapping
            What `state_dict` of a layer of the same class returned, or what a store made of it: arrays
            without axes, NumPy's numbers, bytes, an open NumPy archive or a group of an HDF5 file.

        Raises
        ------
        TypeError, ValueError
            If `state` is not what `state_dict` returns; the layer is then unchanged.
        """
        state, kind = plain_state(state), type(self).__name__
        if isinstance(state, dict) and state.get("layer", kind) != kind:
            other = _checks.abbreviate(state["layer"])
            raise ValueError(f"state must be that of the layer {kind!r}, not of the layer {other}")
        options = declared_options(type(self))
        if isinstance(state, dict) and set(state) == {"p", "training", "rng"}:
            options = {"p": options["p"]}
        else:
            optional = {name for name, option in options.items() if option.may_be_none}
            check_state(state, {"layer", *options, "training", "rng"} - optional, optional)
        trial = copy.copy(self)  # refuses what is wrong before this layer has changed
        for name, option in options.items():
            setattr(trial, name, option.from_state(state.get(name)))
        own_p = _checks.probability(options["p"].from_state(state["p"]))
        if not _core.with_subnormals(_are_equal, trial.p, own_p):
            given = _checks.abbreviate(state["p"])
            raise ValueError(f"state['p'] must be 1 - state['keep_prob'], not {given}")
        trial._check_options()
        training = _checks.boolean(state["training"], "state['training']")
        self._rng.state = state["rng"]  # checks, and raises before it changes anything
        for name in options:  # not by their descriptors, which check again, and may have no memory for it
            setattr(self, f"_{name}", getattr(trial, f"_{name}"))
        self._training = training
        self._draw_by_hand(None)

    def _check_options(self) -> None:  # noqa: B027 -- most layers have none
        """Refuse options that do not go together."""

    def __getstate__(self) -> object:
        return super().__getstate__()  # so that every protocol of pickle takes the slots

    def __setstate__(self, state: Any) -> None:
        attributes, slots = state  # as `object.__getstate__` returns them
        self._draw_by_hand(None)  # what older versions did not count
        if attributes:  # of a subclass without slots
            vars(self).update(attributes)
        options = {f"_{name}": option for name, option in declared_options(type(self)).items()}
        for name, value in slots.items():
            if name in options:
                options[name].restore(self, value)
            else:
                setattr(self, name, value)
        self._check_restored()

    def _check_restored(self) -> None:
        """Refuse what no constructor or call would have made of this layer; its options are checked."""
        if not isinstance(self._rng, MaskGenerator):
            raise TypeError(f"rng must be a MaskGenerator, not {_checks.describe(self._rng)}")
        self.training = self._training
        _checks.boolean(self._unanswered, "whether a backward pass is due")
        _checks.integer(self._passes, "the number of forward passes", 0, _checks.INDEX_LIMIT)
        self._check_options()

    def _separate(self) -> None:
        """Give a copy its own of everything that `load_state_dict` writes to."""
        self.rng = 0

    def _shown(self) -> list[str]:
        """The parts of the repr."""
        options = [text for option in declared_options(type(self)).values() for text in option.show(self)]
        mode = [] if self._training else ["training=False"]
        return [*options, *mode, f"rng=<{format_source(self._rng)}>"]

    def __repr__(self) -> str:
        return _checks.on_one_line(f"{type(self).__name__}(", _core.with_subnormals(self._shown), ")")


def try_state(layer: Layer, state: Any) -> None:
    """Refuse what the layer would refuse to load, and change nothing."""
    trial = copy.copy(layer)
    trial._separate()
    trial.load_state_dict(state)


class MaskLayer(Layer):
    """A layer whose forward pass draws a `Mask`."""

    __slots__ = ()

    def _check_restored(self) -> None:
        super()._check_restored()
        _check_mask(self._drawn)

    @property
    def mask(self) -> Mask | None:
        """The mask of the last forward pass."""
        mask: Mask | None = self._drawn
        return mask

    @mask.setter
    def mask(self, mask: Mask | None) -> None:
        _check_mask(mask)
        self._draw_by_hand(mask)

    @naming_layer
    def backward(self, dy: ArrayLike, *, mask: Mask | None = None, out: Array | None = None) -> Array:
        """The gradient with respect to a forward pass's input.

        Parameters
        ----------
        dy : array_like of float16, bfloat16, float32 or float64
            Gradient with respect to the result of that forward pass, of its shape.
        mask : Mask, optional
            The mask of that forward pass; by default that of the last one. A layer that was called several
            times in training before its first backward pass needs it: keep `mask` after every call.
        out : ndarray, optional
            Where to write: `dy` itself, or an array like it that does not overlap it.

        Returns
        -------
        ndarray
            `out`, or a new array of dy's shape and dtype.

        Raises
        ------
        TypeError, ValueError
            If there was no forward pass, or several and no `mask` is given, or an array does not fit.
        """
        return self._answer(dropout_backward, dy, "mask", mask, out)


def _check_mask(mask: Any) -> None:
    if mask is not None and not isinstance(mask, Mask):
        raise _checks.not_drawn(mask, "mask", "a fastdrop.Mask or None")


def _are_equal(a: ScalarOrArray, b: ScalarOrArray) -> bool:
    """Not numpy.array_equal, for which an exception, such as MemoryError, is a difference."""
    return np.shape(a) == np.shape(b) and bool(np.all(a == b))
