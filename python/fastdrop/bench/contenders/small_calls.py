# SPDX-License-Identifier: BSD-3-Clause
"""The cases about calling: what a call on a small array costs, and windows far out in a large mask."""

from collections.abc import Callable

import numpy as np

import fastdrop

from .. import validity
from ..cases import Case, Choice, Data
from .contender import FASTDROP, NUMPY, NUMPYS_OWN, Call, Contender, single_call
from .floors import NUMPYS_COPY, single_memcpy

FAR = 2**32  # the first index that 32 bits cannot hold


def small_calls(case: Case, choice: Choice) -> list[Contender]:
    """One call on a small array, in every way there is; the name says the call."""
    isa = choice.isas[0]

    def new_mask(case: Case) -> fastdrop.Mask:
        return fastdrop.Mask(case.size, case.p, seed=0)

    def apply(case: Case, data: Data) -> Call:
        x, y, mask = data.x, data.y, new_mask(case)
        return lambda: mask.apply(x, out=y)

    def apply_new(case: Case, data: Data) -> Call:
        x, mask = data.x, new_mask(case)
        return lambda: mask.apply(x)

    def backward(case: Case, data: Data) -> Call:
        x, y, mask = data.x, data.y, new_mask(case)
        return lambda: fastdrop.dropout_backward(x, mask, out=y)

    def with_masks(case: Case, data: Data) -> Call:
        x, y, p, masks = data.x, data.y, case.p, fastdrop.MaskGenerator(0)
        return lambda: fastdrop.dropout(x, p, rng=masks, out=y)[0]

    def with_generator(case: Case, data: Data) -> Call:
        x, y, p, rng = data.x, data.y, case.p, np.random.default_rng(0)
        return lambda: fastdrop.dropout(x, p, rng=rng, out=y)[0]

    def layer(case: Case, data: Data) -> Call:
        x, y, forward = data.x, data.y, fastdrop.Dropout(case.p, rng=0).forward
        return lambda: forward(x, out=y)

    def textbook(case: Case, data: Data) -> Call:
        x, p, rng = data.x, case.p, np.random.default_rng(0)
        return lambda: x * (rng.random(x.shape) >= p) / (1 - p)

    def nothing(case: Case, data: Data) -> Call:
        return lambda: data.y

    def copyto(case: Case, data: Data) -> Call:
        return lambda: np.copyto(data.y, data.x)

    def ours(name: str, job: str, make: Callable[[Case, Data], Call], *, fresh: bool = False) -> Contender:
        return single_call(name, FASTDROP, job, make, isa=isa, fresh=fresh)

    book = "x * (rng.random(x.shape) >= p) / (1 - p)"
    loop = "the timing loop and a lambda"
    return [
        single_memcpy(),
        single_call("nothing", ("floor", ""), loop, nothing, check=validity.anything),
        single_call("np.copyto(y, x)", NUMPYS_COPY, "a copy", copyto, check=validity.copied),
        ours("mask.apply(x, out=y)", "a given mask", apply),
        ours("mask.apply(x)", "a given mask, a new output array", apply_new),
        ours("dropout_backward(dy, mask, out=dx)", "a given mask", backward),
        ours("dropout(x, p, rng=masks, out=y)", "the next mask of masks", with_masks, fresh=True),
        ours("dropout(x, p, rng=Generator, out=y)", "a new key and mask", with_generator, fresh=True),
        ours("layer.forward(x, out=y)", "Dropout: a new mask, which it keeps", layer, fresh=True),
        single_call("numpy textbook", NUMPY, book, textbook, fresh=True, dtypes=NUMPYS_OWN),
    ]


def windows(case: Case, choice: Choice) -> list[Contender]:
    """The same work at the beginning of a mask of 2**33 elements and past its index 2**32."""

    def window(first: int) -> Callable[[Case, Data], Call]:
        def make(case: Case, data: Data) -> Call:
            mask = fastdrop.Mask(2 * FAR, case.p, seed=0)[first : first + case.size]
            x, y = data.x, data.y
            return lambda: mask.apply(x, out=y)

        return make

    job, isa = "a window of a mask of 2**33 elements; output reused", choice.isas[0]
    return [
        single_memcpy(),
        single_call("mask[:n]", FASTDROP, job, window(0), isa=isa),
        single_call("mask[2**32:]", FASTDROP, job, window(FAR), isa=isa),
    ]


CONTENDERS = {"small_calls": small_calls, "windows": windows}
