# SPDX-License-Identifier: BSD-3-Clause
"""Layers for the kinds of dropout in which axes share a decision. They hold no mathematics."""

from typing import Any, ClassVar, TypedDict, Unpack

from numpy.typing import ArrayLike, NDArray

from . import _checks
from .functional import Rng
from .layers import Dropout
from .sharing import own_along, row_noise, shared_along, table_shape


class LayerOptions(TypedDict, total=False):
    """The keywords that every layer hands on to `Dropout`."""

    inverted: bool
    keep_prob: float | NDArray[Any] | None
    rng: Rng


class _SharingDropout(Dropout):
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
        array = _checks.given_array(x, self._input_name)
        self.noise_shape = self._noise_of(array.shape)
        return super().forward(array, out=out)

    def _arguments(self) -> str:
        """The layer's own arguments, as its repr shows them."""
        return ""

    def __repr__(self) -> str:
        own = self._arguments() + ("" if self.inverted else ", inverted=False")
        return f"{type(self).__name__}(p={self.p!r}{own}, training={self.training}, rng={self.rng!r})"


class LockedDropout(_SharingDropout):
    """`locked_dropout` as a layer: one mask for all time steps.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping, from 0 to 1; an array is broadcast to the noise shape.
    time_axis : int
        Axis of the time steps: 0 for ``(T, N, F)``, 1 for ``(N, T, F)``.
    **options
        `inverted`, `keep_prob`, `rng`, as in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if `x` has no such axis.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.LockedDropout(0.5, time_axis=0, rng=1)
    >>> drop(np.ones((3, 1, 4), np.float32))[:, 0]
    array([[2., 0., 0., 2.],
           [2., 0., 0., 2.],
           [2., 0., 0., 2.]], dtype=float32)
    """

    def __init__(
        self, p: float | NDArray[Any] = _checks.DEFAULT_P, *, time_axis: int, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(p, **options)
        self.time_axis = _checks.index(time_axis, "time_axis")

    def _noise_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shared_along(shape, time_axis=self.time_axis)

    def _arguments(self) -> str:
        return f", time_axis={self.time_axis}"


class DropPath(_SharingDropout):
    """`drop_path` as a layer: a residual branch, kept or dropped for each sample (stochastic depth).

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping the branch, from 0 to 1; an array is broadcast to the noise shape.
    sample_axis : int, default 0
        Axis of the samples.
    **options
        `inverted`, `keep_prob`, `rng`, as in `Dropout`; ``inverted=False`` is the paper's form.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if `x` has no such axis.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> masks = fastdrop.MaskGenerator(0)
    >>> blocks = [fastdrop.DropPath(p, rng=masks) for p in np.linspace(0, 0.2, 12)]  # deeper, less often
    >>> blocks[11](np.ones((128, 64), np.float32)).shape
    (128, 64)
    """

    def __init__(
        self,
        p: float | NDArray[Any] = _checks.DEFAULT_P,
        *,
        sample_axis: int = 0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(p, **options)
        self.sample_axis = _checks.index(sample_axis, "sample_axis")

    def _noise_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return own_along(shape, sample_axis=self.sample_axis)

    def _arguments(self) -> str:
        return f", sample_axis={self.sample_axis}"


class EmbeddingDropout(_SharingDropout):
    """`embedding_dropout` as a layer: whole rows of a table, kept or dropped.

    `forward` takes the table, and `backward` the gradient with respect to what it returned.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping a row, from 0 to 1; an array is broadcast to the noise shape.
    **options
        `inverted`, `keep_prob`, `rng`, as in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if the table has not two axes.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.EmbeddingDropout(0.5, rng=1)
    >>> table, words = np.arange(8, dtype=np.float32).reshape(4, 2), [0, 1, 0]
    >>> drop(table)[words]
    array([[0., 2.],
           [0., 0.],
           [0., 2.]], dtype=float32)
    >>> gradient = np.zeros_like(table)
    >>> np.add.at(gradient, words, 1)
    >>> drop.backward(gradient)
    array([[4., 4.],
           [0., 0.],
           [0., 0.],
           [0., 0.]], dtype=float32)
    """

    _input_name = "table"

    def __init__(self, p: float | NDArray[Any] = _checks.DEFAULT_P, **options: Unpack[LayerOptions]) -> None:
        super().__init__(p, **options)

    def _noise_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return own_along(table_shape(shape), row_axis=0)


class DropConnect(_SharingDropout):
    """`drop_connect` as a layer: weights, kept or dropped one by one or by rows.

    `forward` takes the weights, and `backward` the gradient with respect to what it returned.

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping, from 0 to 1; an array is broadcast to the noise shape.
    row_axis : int or None, default None
        None: a decision for each element. Otherwise one for each index along this axis.
    **options
        `inverted`, `keep_prob`, `rng`, as in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if the weights have no such axis.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.DropConnect(0.5, rng=1)
    >>> drop(np.ones((2, 4), np.float32))
    array([[2., 0., 0., 2.],
           [0., 0., 2., 0.]], dtype=float32)
    """

    _input_name = "weight"

    def __init__(
        self,
        p: float | NDArray[Any] = _checks.DEFAULT_P,
        *,
        row_axis: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(p, **options)
        self.row_axis = None if row_axis is None else _checks.index(row_axis, "row_axis")

    def _noise_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return row_noise(shape, self.row_axis)

    def _arguments(self) -> str:
        return f", row_axis={self.row_axis}"
