# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian dropout: every element is multiplied by a normally distributed factor of mean 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _checks, _core
from .._checks import Array
from .._keys import Seed, key_from
from .._layer import Layer
from .._operations import run_checked
from .._options import ProbabilityOption
from .._states import (
    DEFAULT_GENERATOR,
    Drawn,
    format_drawn,
    generator_id,
    new_state,
    slice_state,
    whole_window,
)
from .._windows import Index
from ..mask_generator import Rng, draw_state

if TYPE_CHECKING:
    from .._core import MaskState


def _checked_p(value: Any, name: str = "p") -> float:
    p = _checks.scalar_probability(value, name)
    if p == 1:
        raise ValueError("p must be less than 1 in Gaussian dropout, whose variance is p / (1 - p), not 1.0")
    return p


class GaussianNoise(Drawn):
    """The factors of Gaussian dropout, or a window of them. It holds no array.

    The factor of an element is ``1 + s z`` with ``s = sqrt(p / (1 - p))`` and a standard normal number z that
    depends on generator, key, stream and the element's index in the whole noise, in C order, and on nothing
    else (``docs/stream.md``, section 8). So forward, backward, machines, threads and shards agree without
    storing anything, as for a `Mask`. A different p scales the same z.

    Noise is immutable, hashable and picklable. Two are equal if all that they depend on is equal. It is not
    an array: ``dy * noise``, ``np.asarray(noise)`` and every other use as one raises TypeError.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the whole noise, at most 2**63 elements.
    p : float, default 0.5
        The rate: variance ``p / (1 - p)``, that of dropout with this p; at least 0 and less than 1.
    seed, stream, generator : optional
        As for `Mask`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; the message names it.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> noise = fastdrop.GaussianNoise((10**12, 1024), p=0.1, seed=42)  # costs nothing
    >>> shard = noise[10**11 : 10**11 + 2, :8]
    >>> shard.apply(np.ones((2, 8), np.float32)).shape
    (2, 8)
    """

    __slots__ = ("_deviation",)
    _names = ("noise", "gaussian_dropout")
    _deviation: float  # what the normal numbers are multiplied by

    def __init__(
        self,
        shape: int | Sequence[int],
        p: float = 0.5,
        *,
        seed: Seed = None,
        stream: int = 0,
        generator: str = DEFAULT_GENERATOR,
    ) -> None:
        p = _checked_p(p)
        window = whole_window(_checks.shape(shape), None, p)
        stream = _checks.integer(stream, "stream", 0, _checks.INDEX_LIMIT)
        self._state = new_state(generator_id(generator), key_from(seed, "seed"), stream, window)
        self._deviation = _standard_deviation(p)

    @property
    def p(self) -> float:
        """The rate."""
        return cast(float, self._state.p)  # an array is refused

    @property
    def standard_deviation(self) -> float:
        """``sqrt(p / (1 - p))``."""
        return self._deviation

    def apply(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        """Multiply every element by its factor: the forward pass and, on the gradient, the backward pass.

        Parameters
        ----------
        x : array_like of float16, bfloat16, float32 or float64
            Values, of the noise's shape.
        out : ndarray, optional
            Where to write: of x's shape and dtype, and either `x` itself or not overlapping it.

        Returns
        -------
        ndarray
            `out`, or a new array of x's shape and dtype, in native byte order.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit; `out` is then untouched.
        """
        return self._apply(x, out, "x")

    def _apply(self, x: ArrayLike, out: Array | None, name: str) -> Array:
        y: Array | None = _core.run("gaussian_dropout", self._state, x, out, self._deviation)
        if y is None:
            y = run_checked("gaussian_dropout", self._state, (name,), x, out, self._deviation)
        return y

    def to_numpy(self) -> NDArray[np.float32]:
        """The factors for float32 data, as an array."""
        return self.apply(np.ones(self.shape, np.float32))

    def __getitem__(self, index: Index) -> GaussianNoise:
        """A window: basic indexing with integers, slices (steps too) and ``...``, as on an array."""
        return _new_noise(slice_state(self._state, index)[0])

    def __eq__(self, other: object) -> bool:
        return self._state == other._state if isinstance(other, GaussianNoise) else super().__eq__(other)

    def __hash__(self) -> int:
        return hash((GaussianNoise, self._state))

    def __reduce__(self) -> tuple[Any, ...]:
        return _new_noise, (self._state,)

    def __repr__(self) -> str:
        return format_drawn(self, f"p={_core.with_subnormals(repr, self.p)}")


def _new_noise(state: MaskState) -> GaussianNoise:
    """The noise of that state. Pickles have this function's name."""
    if not isinstance(state, _core.MaskState) or state.bits is not None:
        raise TypeError(f"state must be a MaskState of a generator, not {_checks.describe(state)}")
    noise = object.__new__(GaussianNoise)
    noise._state = state
    noise._deviation = _standard_deviation(_checked_p(noise.p))
    return noise


def _standard_deviation(p: float) -> float:
    return _core.with_subnormals(lambda: math.sqrt(p / (1 - p)))


def gaussian_dropout(
    x: ArrayLike,
    p: float = 0.5,
    *,
    rng: Rng = None,
    training: bool = True,
    out: Array | None = None,
) -> tuple[Array, GaussianNoise]:
    """Multiply every element by a normal factor of mean 1 and variance ``p / (1 - p)``, in one pass.

    ``y = x (1 + s z)`` with ``s = sqrt(p / (1 - p))`` and z standard normal: mean and variance of the factor
    are those of dropout's ([1]_, [2]_).

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Values, of any shape.
    p : float, default 0.5
        The rate, at least 0 and less than 1.
    rng : optional
        Where the noise comes from, as for `dropout`; a `MaskGenerator` hands out its next stream.
    training : bool, default True
        False: nothing is multiplied. Returns `x` itself, or `out` holding a copy of it.
    out : ndarray, optional
        Where to write the result: of x's shape and dtype, and either `x` itself or not overlapping it.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of x's shape and dtype, in native byte order.
    noise : GaussianNoise
        What `gaussian_dropout_backward` needs; it holds no array.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: A Simple Way to Prevent
       Neural Networks from Overfitting", JMLR 15 (2014), section 10.
    .. [2] Keras, ``keras.layers.GaussianDropout``.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, noise = fastdrop.gaussian_dropout(np.full(3, 2, np.float32), 0.1, rng=1)
    >>> dx = fastdrop.gaussian_dropout_backward(np.ones(3, np.float32), noise)
    >>> bool((y == 2 * dx).all())
    True
    """
    p = _checked_p(p)
    array = x if isinstance(x, np.ndarray) else _checks.float_array(x, "x")
    if _checks.boolean(training, "training"):
        noise = _new_noise(draw_state(rng, whole_window(array.shape, None, p)))
        return noise._apply(array, out, "x"), noise
    noise = _new_noise(new_state(0, (0, 0), 0, whole_window(array.shape, None, 0.0)))
    if out is not None:
        return noise.apply(array, out=out), noise
    _checks.float_array(array, "x")
    return array, noise


def gaussian_dropout_backward(dy: ArrayLike, noise: GaussianNoise, *, out: Array | None = None) -> Array:
    """The gradient of `gaussian_dropout` with respect to its input: ``dx = dy (1 + s z)``, the same factors.

    Parameters
    ----------
    dy : array_like of float16, bfloat16, float32 or float64
        Gradient with respect to the result of `gaussian_dropout`, of the noise's shape.
    noise : GaussianNoise
        The noise that `gaussian_dropout` returned.
    out : ndarray, optional
        Where to write: of dy's shape and dtype, and either `dy` itself or not overlapping it.

    Returns
    -------
    ndarray
        `out`, or a new array of dy's shape and dtype, in native byte order.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape; `out` is then untouched.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, noise = fastdrop.gaussian_dropout(np.ones(3, np.float32), 0.1, rng=1)
    >>> bool((fastdrop.gaussian_dropout_backward(np.ones(3, np.float32), noise) == y).all())
    True
    """
    if not isinstance(noise, GaussianNoise):
        wanted = "the fastdrop.GaussianNoise that gaussian_dropout returned"
        raise _checks.not_drawn(noise, "noise", wanted, isinstance(dy, GaussianNoise))
    return noise._apply(dy, out, "dy")


class GaussianDropout(Layer):
    """`gaussian_dropout` as a layer, with the methods of `Layer`.

    Parameters
    ----------
    p : float, default 0.5
        The rate, at least 0 and less than 1.
    rng : optional
        As for `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Attributes
    ----------
    noise : GaussianNoise or None
        The noise of the last forward pass.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.GaussianDropout(0.1, rng=0)
    >>> y = drop(np.ones((2, 3), np.float32))
    >>> bool((y == drop.noise.to_numpy()).all())
    True
    """

    __slots__ = ()

    p = ProbabilityOption(_checked_p, "The rate: the variance is p / (1 - p).")

    def __init__(self, p: float = 0.5, *, rng: Rng = None) -> None:
        super().__init__(p, rng=rng)

    @property
    def noise(self) -> GaussianNoise | None:
        """The noise of the last forward pass."""
        noise: GaussianNoise | None = self._drawn
        return noise

    @noise.setter
    def noise(self, noise: GaussianNoise | None) -> None:
        _check_noise(noise)
        self._draw_by_hand(noise)

    def _check_restored(self) -> None:
        super()._check_restored()
        _check_noise(self._drawn)

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(gaussian_dropout(x, self.p, rng=self.rng, training=self.training, out=out))

    def backward(
        self, dy: ArrayLike, *, noise: GaussianNoise | None = None, out: Array | None = None
    ) -> Array:
        """The gradient with respect to a forward pass's input.

        Parameters
        ----------
        dy, out
            As for `Dropout`.
        noise : GaussianNoise, optional
            The noise of that forward pass; by default that of the last one. A layer that was called several
            times in training before its first backward pass needs it: keep `noise` after every call.

        Returns
        -------
        ndarray
            `out`, or a new array of dy's shape and dtype.

        Raises
        ------
        TypeError, ValueError
            If there was no forward pass, or several and no `noise` is given, or an array does not fit.
        """
        return self._answer(gaussian_dropout_backward, dy, "noise", noise, out)


def _check_noise(noise: Any) -> None:
    if noise is not None and not isinstance(noise, GaussianNoise):
        raise _checks.not_drawn(noise, "noise", "a fastdrop.GaussianNoise or None")
