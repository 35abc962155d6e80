# SPDX-License-Identifier: BSD-3-Clause
"""Layers: objects with a training state. They hold no mathematics."""

from typing import Any, ClassVar, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _checks
from ._rates import ScalarOrArray
from ._windows import NoiseShape
from .functional import dropout, dropout_backward
from .mask import Mask
from .mask_generator import MaskGenerator, Rng, as_generator


class Dropout:
    """Dropout as a layer: forward, backward, train, eval.

    Every forward pass in training takes the next mask of the layer's `MaskGenerator`; the backward pass
    uses the mask of the last forward pass.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping an element, from 0 to 1. An array is broadcast to the noise shape.
    noise_shape : sequence of int or None, optional
        For every axis of the input its length or None, or 1: one decision is shared along the whole axis.
    inverted : bool, default True
        Scale in training. False: in evaluation, both passes multiply by ``1 - p`` instead.
    keep_prob : float or array of float, optional
        The probability of keeping, instead of `p`, which is then ``1 - keep_prob``.
    rng : optional
        None (fresh entropy), an int, a `numpy.random` SeedSequence, BitGenerator or Generator, of which the
        layer makes a `MaskGenerator` of its own; or a `MaskGenerator`, which it then shares. Layers with the
        same int drop the same elements: give them one `MaskGenerator`, or one each from its `spawn`.

    Raises
    ------
    TypeError, ValueError
        If `p` or `rng` is of the wrong kind or out of range.

    Attributes
    ----------
    p : float or array of float
        Probability of dropping; may be set between steps.
    noise_shape : tuple of int or None, or None
        Where decisions are shared; may be set between steps.
    inverted : bool
        Whether training scales, or evaluation; may be set between steps.
    training : bool
        Whether elements are dropped.
    rng : MaskGenerator
        Where the masks come from.
    mask : Mask or None
        The mask of the last forward pass.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.Dropout(0.5, rng=0)
    >>> y = drop(np.ones((2, 3), np.float32))
    >>> dx = drop.backward(np.ones((2, 3), np.float32))
    >>> bool((y == dx).all())
    True
    >>> drop.eval()(y) is y
    True
    """

    def __init__(
        self,
        p: float | NDArray[Any] = _checks.DEFAULT_P,
        *,
        noise_shape: NoiseShape = None,
        inverted: bool = True,
        keep_prob: float | NDArray[Any] | None = None,
        rng: Rng = None,
    ) -> None:
        self.p = _checks.drop_probability(p, keep_prob)
        self.noise_shape = noise_shape
        self.inverted = inverted
        self.rng = rng
        self.training = True
        self.mask: Mask | None = None

    @property
    def rng(self) -> MaskGenerator:
        """Where the masks come from; what is set becomes a `MaskGenerator`, as in the constructor."""
        return self._rng

    @rng.setter
    def rng(self, rng: Rng) -> None:
        self._rng = as_generator(rng)

    @property
    def p(self) -> ScalarOrArray:
        """Probability of dropping."""
        return self._p

    @p.setter
    def p(self, p: float | NDArray[Any]) -> None:
        self._p = self._checked(p)

    def _checked(self, p: Any) -> ScalarOrArray:
        return _checks.probability(p)

    @property
    def noise_shape(self) -> NoiseShape:
        """For every axis of the input its length, None for its length, or 1 where decisions are shared."""
        return self._noise_shape

    @noise_shape.setter
    def noise_shape(self, noise_shape: NoiseShape) -> None:
        self._noise_shape = _checks.noise_entries(noise_shape)

    def forward(self, x: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Drop and scale; in evaluation, `x` itself, or `out` holding a copy, or not inverted, x (1 - p).

        Parameters
        ----------
        x : array_like of float16, bfloat16, float32 or float64
            Values, of any shape.
        out : ndarray, optional
            Where to write: `x` itself, or an array like it that does not overlap it.

        Returns
        -------
        ndarray
            `out`, or a new array of x's shape and dtype.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit, as in `dropout`.
        """
        y, self.mask = dropout(
            x,
            self._p,
            rng=self._rng,
            noise_shape=self._noise_shape,
            inverted=self.inverted,
            training=self.training,
            out=out,
        )
        return y

    def __call__(self, x: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Call `forward`."""
        return self.forward(x, out=out)

    def backward(self, dy: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The gradient with respect to the last forward pass's input.

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
            If there was no forward pass, or an array does not fit.
        """
        return dropout_backward(dy, self._last_mask(), out=out)

    def _last_mask(self) -> Mask:
        if self.mask is None:
            raise ValueError("backward needs the mask of a forward pass, and there was none yet")
        return self.mask

    def train(self, mode: bool = True) -> "Dropout":
        """Drop from now on, or with ``mode=False`` stop dropping. Returns the layer."""
        self.training = bool(mode)
        return self

    def eval(self) -> "Dropout":
        """Stop dropping. Returns the layer."""
        return self.train(False)

    def state_dict(self) -> dict[str, Any]:
        """What the next masks depend on, for a checkpoint; plain numbers and strings that JSON can hold."""
        p = self._p if isinstance(self._p, float) else self._p.tolist()
        return {"p": p, "training": bool(self.training), "rng": self.rng.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the masks that would have followed when `state_dict` was taken.

        The next call must be a forward pass: the mask of the last one is not part of the state. A generator
        that is shared is set for everybody who shares it.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        TypeError, ValueError
            If `state` is not what `state_dict` returns; the layer is then unchanged.
        """
        _checks.check_state(state, {"p", "training", "rng"})
        p, training = state["p"], state["training"]
        p = self._checked(np.array(p) if isinstance(p, list) else p)
        if not isinstance(training, bool):
            raise TypeError(f"state['training'] must be a bool, not {_checks.describe(training)}")
        self.rng.state = state["rng"]  # checks, and raises before it changes anything
        self._p, self.training, self.mask = p, training, None

    def __repr__(self) -> str:
        shared = "" if self._noise_shape is None else f", noise_shape={self._noise_shape}"
        inverted = "" if self.inverted else ", inverted=False"
        own = f"{type(self).__name__}(p={self._p!r}{shared}{inverted}"
        return f"{own}, training={self.training}, rng={self.rng!r})"


class LayerOptions(TypedDict, total=False):
    """The keywords that every layer hands on to `Dropout`."""

    inverted: bool
    keep_prob: float | NDArray[Any] | None
    rng: Rng


class ShapedDropout(Dropout):
    """A `Dropout` whose noise shape follows from the shape of its input."""

    _input_name: ClassVar[str] = "x"

    def __init__(self, p: float | NDArray[Any], **options: Unpack[LayerOptions]) -> None:
        if "noise_shape" in options:
            raise TypeError(
                f"noise_shape must not be given to {type(self).__name__}: it follows from the input"
            )
        super().__init__(p, **options)

    def _noise_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        raise NotImplementedError

    def forward(self, x: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Drop and scale, as `Dropout.forward` does; the noise shape follows from the shape of `x`."""
        array = _checks.as_given(x, self._input_name)
        self.noise_shape = self._noise_of(array.shape)
        return super().forward(array, out=out)

    def _arguments(self) -> str:
        """The layer's own arguments, as its repr shows them."""
        return ""

    def __repr__(self) -> str:
        own = self._arguments() + ("" if self.inverted else ", inverted=False")
        return f"{type(self).__name__}(p={self.p!r}{own}, training={self.training}, rng={self.rng!r})"


def check_layers(value: Any) -> list[Dropout]:
    """Several layers as a list."""
    try:
        layers = list(value)
        if not all(isinstance(layer, Dropout) for layer in layers):
            raise TypeError
    except TypeError:
        wanted = "an iterable of layers of fastdrop"
        raise TypeError(f"layers must be {wanted}, not {_checks.describe(value)}") from None
    return layers
