# SPDX-License-Identifier: BSD-3-Clause
"""DropBlock: blocks of a feature map, dropped together."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from .. import _checks, _core
from .._checks import Array
from .._keywords import naming_layer
from .._layer import MaskLayer
from .._options import Option, ProbabilityOption
from .._states import whole_window
from ..functional import dropout
from ..mask import Mask, drawn_mask
from ..mask_generator import MaskGenerator, Rng, as_generator, draw_state
from ._feature_maps import FeatureMapLayer
from ._noise_shapes import axes_by_index, not_none, remembered


def drop_block(
    x: ArrayLike,
    p: float = _checks.DEFAULT_P,
    *,
    block_size: int,
    channel_axis: int = 1,
    sample_axis: int | None = 0,
    rng: Rng = None,
    keep_prob: float | None = None,
    training: bool = True,
    out: Array | None = None,
) -> tuple[Array, Mask]:
    r"""Drop square blocks of feature maps (DropBlock).

    A feature map lies along all axes but those of samples and channels: d axes of the lengths ``F_i``.
    With ``b = block_size``, every element at which a whole block can begin is the first corner of a dropped
    block with the probability [1]_

    .. math:: \gamma = p \prod_{i=1}^d \frac{F_i}{b (F_i - b + 1)}

    where the product is a quotient of integers, at most 1, rounded once to double. These decisions are a
    `Mask` with ``p = gamma``, whose shape is that of the possible corners, in the order of x's axes: every
    sample and channel has its own. An element is dropped if a block covers it.

    Kept elements are scaled by ``x.size / kept``, where ``kept`` is their number, so the mean magnitude does
    not depend on the mask. The mask therefore has a p of its own: `mask.p` is the share of dropped elements,
    ``dropped / x.size`` rounded to double, and the scale is ``1 / (1 - mask.p)``, as for every mask. If
    nothing is kept, `mask.p` is 0, because there is nothing to scale. On average the share is somewhat less
    than `p`, because gamma counts overlapping blocks as if they did not overlap.

    Parameters
    ----------
    x : array_like of a float dtype
        Feature maps, such as ``(N, C, L)`` or ``(N, C, H, W)``.
    p : float, default 0.5
        Share of elements to drop, from 0 to 1.
    block_size : int
        Length of a block along every axis of the feature maps, at most their shortest length.
    channel_axis : int, default 1
        Axis of the channels; -1 for channels-last.
    sample_axis : int or None, default 0
        Axis of the samples; None: `x` is one sample.
    rng, keep_prob, training, out : optional
        As in `dropout`.

    Returns
    -------
    y : ndarray
        The result: `out`, or a new array of x's shape and dtype.
    mask : Mask
        What `dropout_backward` needs. It stores one bit for each element.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; `out` is then untouched.

    References
    ----------
    .. [1] Ghiasi, Lin and Le, "DropBlock: A regularization method for convolutional networks", NeurIPS 2018,
       algorithm 1 and equation 1.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> y, mask = fastdrop.drop_block(np.ones((1, 1, 4, 6), np.float32), 0.3, block_size=2, rng=3)
    >>> y[0, 0]
    array([[1.5, 1.5, 1.5, 1.5, 1.5, 1.5],
           [1.5, 1.5, 1.5, 1.5, 1.5, 1.5],
           [0. , 0. , 1.5, 0. , 0. , 1.5],
           [0. , 0. , 1.5, 0. , 0. , 1.5]], dtype=float32)
    >>> mask.p, float(y.mean())
    (0.3333333333333333, 1.0)
    """
    p = _checks.scalar_probability(_checks.drop_probability(p, keep_prob))
    array = _checks.as_given(x, "x")
    blocks = _blocks(array.shape, block_size, **not_none(sample_axis=sample_axis), channel_axis=channel_axis)
    if not _checks.boolean(training, "training"):
        return dropout(array, p, training=False, out=out)
    mask = _blocks_dropped(array.shape, p, blocks, as_generator(rng))
    return mask.apply(array, out=out), mask


class _Blocks(NamedTuple):
    """Shape of a block, shape of the corners, and gamma / p."""

    shape: tuple[int, ...]
    corners: tuple[int, ...]
    gamma_over_p: float


@remembered
def _blocks(shape: tuple[int, ...], block_size: int, **axes: int) -> _Blocks:
    size = _checks.integer(block_size, "block_size", 1, _checks.INDEX_LIMIT)
    not_space = axes_by_index(len(shape), **axes)
    block = tuple(1 if axis in not_space else size for axis in range(len(shape)))
    for axis, (length, side) in enumerate(zip(shape, block, strict=True)):
        if length < side and axis not in not_space:
            raise ValueError(f"block_size must be at most {length}, the length of axis {axis}, not {size}")
    corners = tuple(length - side + 1 for length, side in zip(shape, block, strict=True))
    # Sample and channel axes cancel: they are as long in the numerator as in the denominator. The quotient is
    # at most 1, which it is where one block covers the whole feature map.
    return _Blocks(block, corners, math.prod(shape) / max(math.prod(block) * math.prod(corners), 1))


def _blocks_dropped(shape: tuple[int, ...], p: float, blocks: _Blocks, masks: MaskGenerator) -> Mask:
    gamma = _core.with_subnormals(operator.mul, p, blocks.gamma_over_p)
    drawn = draw_state(masks, whole_window(blocks.corners, None, gamma))
    bits, kept = _core.draw_blocks(drawn, shape, blocks.shape)
    size = math.prod(shape)
    return drawn_mask(bits, drawn, shape, (size - kept) / size if kept else 0.0)


def _checked_block_size(value: Any, name: str) -> int:
    return _checks.integer(value, name, 1, _checks.INDEX_LIMIT)


class _DropBlock(FeatureMapLayer, MaskLayer):
    """`drop_block` as a layer, for feature maps whose axes the arguments state."""

    __slots__ = ("_batched", "_block_size", "_channel_axis")

    p = ProbabilityOption(_checks.scalar_probability, "Share of elements to drop.")
    block_size = Option(_checked_block_size, "Length of a block along every axis of the feature maps.")

    def __init__(
        self,
        p: float = _checks.DEFAULT_P,
        *,
        block_size: int,
        channel_axis: int | None = None,
        batched: bool = True,
        keep_prob: float | None = None,
        rng: Rng = None,
    ) -> None:
        super().__init__(_checks.drop_probability(p, keep_prob), rng=rng)
        self.block_size = block_size
        self._set_axes(channel_axis, batched)

    @naming_layer
    def forward(self, x: ArrayLike, *, out: Array | None = None) -> Array:
        array, axes = self._with_axes(x)
        return self._remember(
            drop_block(
                array,
                self.p,
                block_size=self.block_size,
                **axes,
                rng=self.rng,
                training=self.training,
                out=out,
            )
        )


class DropBlock1d(_DropBlock):
    """`drop_block` as a layer for sequences ``(N, C, L)``.

    Parameters
    ----------
    p : float, default 0.5
        Share of elements to drop, from 0 to 1.
    block_size : int
        Length of a block, at most L.
    channel_axis : int, optional
        Axis of the channels, by default the first that is not the samples'; -1 for channels-last.
    batched : bool, default True
        Whether axis 0 is that of the samples. False: the input is one sample, ``(C, L)``.
    keep_prob, rng : optional
        As in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if `x` has another number of
        axes than stated, or an axis shorter than a block.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.DropBlock1d(0.4, block_size=3, batched=False, rng=0)
    >>> drop(np.ones((2, 10), np.float32))
    array([[0. , 0. , 0. , 0. , 0. , 0. , 2.5, 2.5, 2.5, 2.5],
           [0. , 0. , 0. , 2.5, 2.5, 2.5, 2.5, 0. , 0. , 0. ]], dtype=float32)
    """

    __slots__ = ()
    _space = "L"


class DropBlock2d(_DropBlock):
    """`drop_block` as a layer for images ``(N, C, H, W)``.

    Parameters
    ----------
    p : float, default 0.5
        Share of elements to drop, from 0 to 1.
    block_size : int
        Side of a block, at most H and W.
    channel_axis : int, optional
        Axis of the channels, by default the first that is not the samples'; -1 for channels-last.
    batched : bool, default True
        Whether axis 0 is that of the samples. False: the input is one sample, ``(C, H, W)``.
    keep_prob, rng : optional
        As in `Dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range; in `forward`, if `x` has another number of
        axes than stated, or an axis shorter than a block.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> drop = fastdrop.DropBlock2d(0.1, block_size=7, rng=0)
    >>> y = drop(np.ones((8, 16, 28, 28), np.float32))
    >>> dx = drop.backward(np.ones_like(y))
    >>> bool((dx == y).all()), bool(abs(y.mean() - 1) < 1e-6)
    (True, True)
    """

    __slots__ = ()
    _space = "HW"
