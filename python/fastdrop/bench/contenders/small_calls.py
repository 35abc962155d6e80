# SPDX-License-Identifier: BSD-3-Clause
"""The cases about calling: what a call on a small array costs, and windows far out in a large mask."""

from collections.abc import Callable

import numpy as np

import fastdrop

from .. import validity
from ..cases import DTYPES, Case, Data
from ..goals import FLOOR
from ..job import Answer, Job
from .fastdrop import LIBC, Check, Contender, memcpy_call
from .rivals import NUMPYS_OWN

FAR = 2**32  # the first index that 32 bits cannot hold

_Call = Callable[[], object]


def calls() -> list[Contender]:
    """One call on a small array, in every way there is; the name says the call."""

    def mask_of(case: Case) -> fastdrop.Mask:
        return fastdrop.Mask(case.size, case.p, seed=0)

    def apply(case: Case, data: Data) -> _Call:
        x, y, mask = data.x, data.y, mask_of(case)
        return lambda: mask.apply(x, out=y)

    def apply_new(case: Case, data: Data) -> _Call:
        x, mask = data.x, mask_of(case)
        return lambda: mask.apply(x)

    def backward(case: Case, data: Data) -> _Call:
        x, y, mask = data.x, data.y, mask_of(case)
        return lambda: fastdrop.dropout_backward(x, mask, out=y)

    def with_masks(case: Case, data: Data) -> _Call:
        x, y, p, masks = data.x, data.y, case.p, fastdrop.MaskGenerator(0)
        return lambda: fastdrop.dropout(x, p, rng=masks, out=y)[0]

    def with_generator(case: Case, data: Data) -> _Call:
        x, y, p, rng = data.x, data.y, case.p, np.random.default_rng(0)
        return lambda: fastdrop.dropout(x, p, rng=rng, out=y)[0]

    def layer(case: Case, data: Data) -> _Call:
        x, y, forward = data.x, data.y, fastdrop.Dropout(case.p, rng=0).forward
        return lambda: forward(x, out=y)

    def textbook(case: Case, data: Data) -> _Call:
        x, p, rng = data.x, case.p, np.random.default_rng(0)
        return lambda: x * (rng.random(x.shape) >= p) / (1 - p)

    def nothing(case: Case, data: Data) -> _Call:
        return lambda: data.y

    ours = ("fastdrop", fastdrop.__version__)
    numpy = ("numpy", np.__version__)
    return [
        _floor(),
        _call("nothing", "floor", "", "the timing loop and a lambda", nothing, check=validity.anything),
        _call("np.copyto(y, x)", "floor", np.__version__, "a copy", _copyto, check=validity.copied),
        _call("mask.apply(x, out=y)", *ours, "a given mask", apply),
        _call("mask.apply(x)", *ours, "a given mask, a new output array", apply_new),
        _call("dropout_backward(dy, mask, out=dx)", *ours, "a given mask", backward),
        _call("dropout(x, p, rng=masks, out=y)", *ours, "the next mask of masks", with_masks, fresh=True),
        _call("dropout(x, p, rng=Generator, out=y)", *ours, "a new key and mask", with_generator, fresh=True),
        _call("layer.forward(x, out=y)", *ours, "Dropout: a new mask, which it keeps", layer, fresh=True),
        _call("numpy textbook", *numpy, "x * (rng.random(x.shape) >= p) / (1 - p)", textbook, fresh=True,
              dtypes=NUMPYS_OWN),
    ]  # fmt: skip


def windows() -> list[Contender]:
    """The same work at the beginning of a mask of 2**33 elements and past its index 2**32."""

    def window(first: int) -> Callable[[Case, Data], _Call]:
        def make(case: Case, data: Data) -> _Call:
            mask = fastdrop.Mask(2 * FAR, case.p, seed=0)[first : first + case.size]
            x, y = data.x, data.y
            return lambda: mask.apply(x, out=y)

        return make

    job = "a window of a mask of 2**33 elements; output reused"
    return [
        _floor(),
        _call("mask[:n]", "fastdrop", fastdrop.__version__, job, window(0)),
        _call("mask[2**32:]", "fastdrop", fastdrop.__version__, job, window(FAR)),
    ]


def _floor() -> Contender:
    def memcpy(case: Case, data: Data) -> _Call:
        call = memcpy_call(data.y, data.x)
        data.y[:] = 0
        call()
        return call

    return _call(FLOOR, "floor", LIBC, "memcpy of the same arrays", memcpy, check=validity.copied)


def _copyto(case: Case, data: Data) -> _Call:
    return lambda: np.copyto(data.y, data.x)


def _call(
    name: str,
    family: str,
    version: str,
    job: str,
    make: Callable[[Case, Data], _Call],
    *,
    fresh: bool = False,
    check: Check = validity.dropped,
    dtypes: tuple[str, ...] = DTYPES,
) -> Contender:
    """A contender that is one call; what it returns is its answer, and otherwise y is."""

    def build(case: Case, data: Data) -> Job:
        run = make(case, data)

        def answer() -> Answer:
            result = run()
            return Answer(result if isinstance(result, np.ndarray) else data.y)

        def prepare() -> None:
            fastdrop.use_isa(fastdrop.isas()[0])
            fastdrop.set_num_threads(case.threads)

        return Job(run, answer, prepare, fresh)

    return Contender(name, family, version, job, build, check, dtypes)
