# SPDX-License-Identifier: BSD-3-Clause
"""What a contender is, and the ones that are always there: the floors, and fastdrop in its variants."""

import ctypes
import functools
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from .. import validity
from ..cases import DTYPES, Case, Data
from ..goals import FLOOR
from ..job import Answer, Job

LIBC = " ".join(platform.libc_ver())

Build = Callable[[Case, Data], Job]
Check = Callable[[Case, Data, Job], None]


@dataclass(frozen=True)
class Contender:
    """Somebody who does the job of a case."""

    name: str
    family: str
    version: str
    job: str  # a sentence: whose arrays, which mask, what is kept of it
    build: Build
    check: Check = validity.dropped
    dtypes: tuple[str, ...] = DTYPES


def passes(
    case: Case,
    forward: Callable[[], Any],
    backward: Callable[[], Any],
    *,
    to_numpy: Callable[[Any], NDArray[Any]] = np.asarray,
    refill: Callable[[], object] = lambda: None,
    prepare: Callable[[], object] = lambda: None,
    fresh: bool = True,
) -> Job:
    """The job of a case from a forward pass that draws a mask and a backward pass that uses the last one."""

    def both() -> None:
        forward()
        backward()

    def answer() -> Answer:
        refill()
        y = to_numpy(forward())
        return Answer(y, to_numpy(backward()) if case.operation in ("backward", "both") else None)

    if case.operation == "backward":
        forward()  # the mask that the timed calls use
    return Job({"backward": backward, "both": both}.get(case.operation, forward), answer, prepare, fresh)


def floors() -> list[Contender]:
    """What any pass over the arrays must cost: copying them."""
    rows: list[tuple[str, str, Build]] = [(FLOOR, LIBC, _memcpy), ("np.copyto", np.__version__, _copyto)]
    return [
        Contender(name, "floor", version, f"{name} of the same arrays", build, check=validity.copied)
        for name, version, build in rows
    ]


def _memcpy(case: Case, data: Data) -> Job:
    return _copies(case, data, memcpy_call)


def _copyto(case: Case, data: Data) -> Job:
    return _copies(case, data, lambda to, source: functools.partial(np.copyto, to, source))


def memcpy_call(to: NDArray[Any], source: NDArray[Any]) -> Callable[[], object]:
    """A call of memcpy with its arguments converted beforehand: as little between it and Python as can be."""
    memcpy = ctypes.CDLL(None).memcpy
    memcpy.restype = None
    return functools.partial(
        memcpy,
        ctypes.c_void_p(to.ctypes.data),
        ctypes.c_void_p(source.ctypes.data),
        ctypes.c_size_t(to.nbytes),
    )


def _copies(
    case: Case, data: Data, copier: Callable[[NDArray[Any], NDArray[Any]], Callable[[], object]]
) -> Job:
    forward, backward = copier(data.y, data.x), copier(data.dx, data.dy)

    def both() -> None:
        forward()
        backward()

    run = {"backward": backward, "both": both}.get(case.operation, forward)

    def answer() -> Answer:
        run()
        return Answer(
            None if case.operation == "backward" else data.y,
            data.dx if case.operation in ("backward", "both") else None,
        )

    return Job(run, answer)


@dataclass(frozen=True)
class Variant:
    """One way to use fastdrop."""

    isa: str
    generator: str = "ars4x32-7"
    output: str = "reused"  # or "new", or "in place"
    threads: int | None = None  # None: as many as the case has
    given: bool = False  # mask.apply with one mask, instead of dropout with a new one every call

    @property
    def name(self) -> str:
        name = f"fastdrop {self.isa}"
        name += {"reused": "", "new": " out=None", "in place": " in place"}[self.output]
        name += "" if self.generator == "ars4x32-7" else f" {self.generator}"
        name += " given mask" if self.given else ""
        return name + ("" if self.threads is None else f", {self.threads} thread")

    def contender(self) -> Contender:
        output = {"reused": "output reused", "new": "a new output array every call", "in place": "in place"}
        mask = (
            "mask.apply with a given mask"
            if self.given
            else "a new mask every forward pass, kept as five numbers"
        )
        job = f"{output[self.output]}; {mask}"
        return Contender(self.name, "fastdrop", fastdrop.__version__, job, self.build)

    def prepare(self, case: Case) -> None:
        fastdrop.use_isa(self.isa)
        fastdrop.set_num_threads(self.threads or case.threads)

    def build(self, case: Case, data: Data) -> Job:
        masks = fastdrop.MaskGenerator(0, generator=self.generator)
        x, dy, dx, p = data.x, data.dy, data.dx, case.p
        dropout, dropout_backward = fastdrop.dropout, fastdrop.dropout_backward
        mask: fastdrop.Mask
        out: NDArray[Any] | None = {"reused": data.y, "new": None, "in place": x}[self.output]
        if self.output == "in place":  # in an array of its own: the others need x as it is
            x = out = x.copy()

        def forward() -> NDArray[Any]:
            nonlocal mask
            y, mask = dropout(x, p, rng=masks, out=out)
            return y

        def backward() -> NDArray[Any]:
            return dropout_backward(dy, mask, out=dx)

        if self.given:
            apply = masks.mask(x.shape, p).apply
            return passes(
                case, lambda: apply(x, out=out), backward, prepare=lambda: self.prepare(case), fresh=False
            )

        def refill() -> None:
            if out is x:
                np.copyto(x, data.x)

        return passes(case, forward, backward, refill=refill, prepare=lambda: self.prepare(case))


def timed_isas(quick: bool) -> list[str]:
    """The instruction sets of this processor, the best first; without scalar if quick and it is not all."""
    best, *others = fastdrop.isas()
    return [best, *(isa for isa in others if isa != "scalar" or not quick)]


def fastdrops(case: Case, quick: bool) -> list[Contender]:
    """Fastdrop in its variants, the reference first: the best ISA, the default generator, output reused."""
    isas = fastdrop.isas()
    best = isas[0]
    if case.operation == "threads":
        variants = [Variant(best), Variant(best, threads=1)]
    else:
        timed = timed_isas(quick)
        variants = [Variant(isa) for isa in timed]
        if case.operation == "forward":  # says all: the backward pass is the same code
            variants.append(Variant(best, given=True))
            variants += [Variant(isa, output="in place") for isa in timed]
            variants.append(Variant(best, output="new"))
        variants += [Variant(isa, "philox4x32-10") for isa in (isas[:1] if quick else isas)]
    return [variant.contender() for variant in variants]
