# SPDX-License-Identifier: BSD-3-Clause
"""The sums of shards, joined as the sum of the whole is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .. import _checks
from .._checks import Array


def join_sums(parts: Iterable[Array]) -> Array:
    """The gradient of a parameter from the gradients of shards, with the bits of the gradient of the whole.

    The gradients of biases and weights are sums over all rows, by a tree: blocks of 64 rows are added up in
    order, and the blocks are joined by twos, level by level, where an odd last one moves up. So a shard of
    ``64 * 2**k`` rows that begins at a multiple of so many rows is a node of that tree, and this function
    joins the nodes: ``(0, 1), (2, 3), ...`` and so on. The order of the parts counts.

    Parameters
    ----------
    parts : iterable of ndarray
        `dbias`, `dweight` or `dx_bias` of the shards, in the order of the rows: each shard but the last has
        the same number of rows, 64 times a power of two, and the last one at most so many. All have the same
        shape and dtype, float32 or float64; sums that were rounded to 16 bits cannot be joined.

    Returns
    -------
    ndarray
        A new array.

    Raises
    ------
    TypeError, ValueError
        If `parts` is empty, or its arrays differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np, fastdrop
    >>> x, bias = np.random.default_rng(0).standard_normal((300, 5)), np.zeros(5)
    >>> mask = fastdrop.Mask(x.shape, 0.1, seed=1)
    >>> def gradient(rows):
    ...     y, saved = fastdrop.bias_dropout_add(x[rows], bias, activation="silu", mask=mask[rows])
    ...     return fastdrop.bias_dropout_add_backward(y, saved).dbias
    >>> whole = gradient(slice(None))
    >>> shards = [gradient(slice(first, first + 128)) for first in (0, 128, 256)]  # 128 = 64 * 2
    >>> bool((fastdrop.join_sums(shards) == whole).all())
    True
    """
    if isinstance(parts, np.ndarray) and parts.ndim == 0:
        raise TypeError(f"parts must be a sequence of arrays, not {_checks.describe(parts)}")
    try:
        given = list(parts)
    except TypeError:
        raise TypeError(f"parts must be a sequence of arrays, not {_checks.describe(parts)}") from None
    if not given:
        raise ValueError("parts must hold at least one array, not be empty")
    sums = [_checks.float_array(part, "each of parts") for part in given]
    first = sums[0]
    for part in sums:
        if part.dtype.itemsize == 2:
            remedy = "give the shards a float32 parameter, and round the sum afterwards"
            raise TypeError(
                f"each of parts must be of float32 or float64, not of {part.dtype}, to which it was rounded: "
                f"{remedy}"
            )
        if part.shape != first.shape or part.dtype != first.dtype:
            wanted = f"the shape and dtype of the first, {first.shape} and {first.dtype}"
            raise ValueError(f"each of parts must have {wanted}, not {part.shape} and {part.dtype}")
    while len(sums) > 1:
        pairs = zip(sums[::2], sums[1::2], strict=False)
        odd = sums[-1:] if len(sums) % 2 else []
        with np.errstate(all="ignore"):
            sums = [left + right for left, right in pairs] + odd
    return sums[0].copy() if len(given) == 1 else sums[0]
