# SPDX-License-Identifier: BSD-3-Clause
"""Drop path, or stochastic depth: residual branches, for whole samples."""

from __future__ import annotations

from typing import Unpack

from numpy.typing import ArrayLike

from .. import _checks
from .._checks import Array, Probability
from .._keywords import check_options
from .._options import Option
from ..functional import DropoutOptions, dropout
from ..layers import ScalingLayer
from ..mask import Mask
from ..mask_generator import Rng
from ._noise_shapes import independent_along


def drop_path(
    x: ArrayLike,
    p: Probability = _checks.DEFAULT_P,
    *,
    sample_axis: int = 0,
    **options: Unpack[DropoutOptions],
) -> tuple[Array, Mask]:
    """Drop a residual branch for whole samples (drop path, stochastic depth).

    ``y[n] = x[n] / (1 - p)`` with probability ``1 - p`` and ``+0.0`` otherwise, decided once for each
    sample n. Added to the shortcut, a sample then skips the branch. Noise shape: ``(N, 1, ...)``.

    The paper [1]_ scales in evaluation (``inverted=False``) and lets `p` grow linearly with the depth: block
    l of L has ``p * l / L``. The name is from [2]_.

    Parameters
    ----------
    x : array_like of a float dtype
        What the branch gives, of any number of axes.
    p : float or array of float, default 0.5
        Probability of dropping the branch, from 0 to 1; an array is broadcast to the noise shape.
    sample_axis : int, default 0
        Axis of the samples.
    **options
        `rng`, `inverted`, `keep_prob`, `training`, `out`, as in `dropout`.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of x's shape and dtype.
    mask : Mask
        What `dropout_backward` needs.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    References
    ----------
    .. [1] Huang, Sun, Liu, Sedra and Weinberger, "Deep Networks with Stochastic Depth", ECCV 2016.
    .. [2] Larsson, Maire and Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks without Residuals",
       ICLR 2017, section 2.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> shortcut, branch = np.ones((4, 2), np.float32), np.ones((4, 2), np.float32)
    >>> y, mask = fastdrop.drop_path(branch, 0.5, rng=1)
    >>> shortcut + y
    array([[3., 3.],
           [1., 1.],
           [1., 1.],
           [3., 3.]], dtype=float32)
    """
    check_options(options, drop_path)
    array = _checks.as_given(x, "x")
    return dropout(array, p, noise_shape=independent_along(array.shape, sample_axis=sample_axis), **options)


class DropPath(ScalingLayer):
    """`drop_path` as a layer: a residual branch, kept or dropped for each sample (stochastic depth).

    Parameters
    ----------
    p : float or array of float, default 0.5
        Probability of dropping the branch, from 0 to 1; an array is broadcast to the noise shape.
    sample_axis : int, default 0
        Axis of the samples.
    inverted, keep_prob, rng : optional
        As for `Dropout`; ``inverted=False`` is the paper's form.

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

    __slots__ = ("_sample_axis",)

    sample_axis = Option(_checks.index, "Axis of the samples.", usual=0)

    def __init__(
        self,
        p: Probability = _checks.DEFAULT_P,
        *,
        sample_axis: int = 0,
        inverted: bool = True,
        keep_prob: Probability | None = None,
        rng: Rng = None,
    ) -> None:
        super().__init__(p, inverted=inverted, keep_prob=keep_prob, rng=rng)
        self.sample_axis = sample_axis

    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        return self._remember(drop_path(x, sample_axis=self.sample_axis, **self._keywords(out)))
