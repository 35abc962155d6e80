# SPDX-License-Identifier: BSD-3-Clause
"""The structured calls as contenders, and whether their answers share decisions, keep p and drop blocks."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import validity
from ..cases import Case, Choice, Data
from ..job import Job
from ..structured import BLOCK, CALLS, Array, Call, block_chance
from .contender import FASTDROP, NUMPY, Contender, single_call
from .floors import NUMPYS_COPY
from .sharing import first_of_shared

COPY = "np.copyto"


def structured(case: Case, choice: Choice) -> list[Contender]:
    """The copy, fastdrop and NumPy's best."""
    call, isa = CALLS[case.call], choice.isas[0]
    check = _blocks_dropped if call.function == "drop_block" else _dropped

    def of(
        make: Callable[[Array, Array], Callable[[], object]],
    ) -> Callable[[Case, Data], Callable[[], object]]:
        return lambda case, data: make(data.x, data.y)

    best = "float32 random numbers, out= everywhere, one product with a mask of the noise shape"
    return [
        single_call(COPY, NUMPYS_COPY, "np.copyto of the same arrays", of(call.copy), check=validity.copied),
        single_call(
            f"fastdrop {isa}",
            FASTDROP,
            "the call; output reused",
            of(call.ours),
            isa=isa,
            fresh=True,
            check=check,
        ),
        single_call("numpy best", NUMPY, best, of(call.numpys), fresh=True, check=check),
    ]


def _dropped(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless two answers are dropout, shared and by p as the call says."""
    call = CALLS[case.call]
    noise_shape = call.noise_shape
    keeps = [first_of_shared(_kept(call, data, job, call.p), noise_shape) for _ in range(2)]
    p = call.p if isinstance(call.p, float) else np.broadcast_to(call.p, noise_shape).ravel()
    validity.independent(p, keeps, fresh=job.fresh)


def _blocks_dropped(case: Case, data: Data, job: Job) -> None:
    """Raise InvalidAnswerError unless two answers drop unions of whole blocks, at the right rate.

    The maps are independent, and the dropped share of each is between 0 and 1, so it varies no more than a
    0/1 number of the same mean.
    """
    call = CALLS[case.call]
    *maps, side, _ = call.shape
    first, second = (_kept(call, data, job, None) for _ in range(2))
    windows = np.lib.stride_tricks.sliding_window_view(~first, (BLOCK, BLOCK), axis=(2, 3))
    covered = np.zeros(call.shape, bool)
    for place in np.argwhere(windows.all(axis=(4, 5))):
        n, c, row, column = place
        covered[n, c, row : row + BLOCK, column : column + BLOCK] = True
    if not np.array_equal(covered, ~first):
        raise validity.InvalidAnswerError("what it dropped is no union of blocks")
    # How many blocks can cover each place along an axis.
    counts = np.convolve(np.ones(side - BLOCK + 1), np.ones(BLOCK))
    share = float(np.mean(1 - (1 - block_chance(side)) ** np.outer(counts, counts)))
    allowed = validity.tolerance(int(np.prod(maps)), share) / np.prod(maps)
    for keep in (first, second):
        if abs(1 - keep.mean() - share) > allowed:
            found = f"{1 - keep.mean():.3f} of the elements dropped"
            raise validity.InvalidAnswerError(f"{found} where {share:.3f} +- {allowed:.3f} are right")
    if np.array_equal(first, second):
        raise validity.InvalidAnswerError("two masks in a row are equal")


def _kept(call: Call, data: Data, job: Job, p: Any) -> NDArray[np.bool_]:
    """Where an answer kept, in the call's shape; InvalidAnswerError unless it is x / (1 - p) there.

    Without a p the scale is the one that keeps the mean: the number of elements by those that are kept.
    """
    answer = job.answer().y
    assert answer is not None
    y, x = (call.view(flat).astype(np.float64) for flat in (answer, data.x))
    keep: NDArray[np.bool_] = y != 0
    wanted = x / (1 - p) if p is not None else x * (keep.size / max(int(np.count_nonzero(keep)), 1))
    # Their scale and product are rounded, by at most half an epsilon of the result each.
    epsilon = float(np.spacing(data.x.dtype.type(1)))
    if np.any(keep & (np.abs(y - wanted) > 1.5 * epsilon * wanted)):
        raise validity.InvalidAnswerError("y is not x / (1 - p) where it kept")
    return keep


CONTENDERS = {"structured": structured}
