# SPDX-License-Identifier: BSD-3-Clause
"""Plain dropout by fastdrop, in its variants."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop

from ..cases import Case, Choice, Data
from ..job import Job, fastdrop_with, passes
from .contender import FASTDROP, Contender
from .floors import floors


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
            else "a new mask every forward pass, replayed from its seed"
        )
        job = f"{output[self.output]}; {mask}"
        return Contender(self.name, *FASTDROP, job, self.build)

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

        def refill() -> None:
            if out is x:
                np.copyto(x, data.x)

        def setting() -> AbstractContextManager[object]:
            return fastdrop_with(self.isa, self.threads or case.threads)

        if self.given:
            apply = masks.mask(x.shape, p).apply
            return passes(case, lambda: apply(x, out=out), backward, setting=setting, fresh=False)
        return passes(case, forward, backward, refill=refill, setting=setting)


def dropouts(case: Case, choice: Choice) -> list[Contender]:
    """The floors, and fastdrop; first of that the best ISA with the default generator and a reused output."""
    best = choice.isas[0]
    variants = [Variant(isa) for isa in choice.isas]
    if case.direction == "forward":  # says all: the backward pass is the same code
        variants.append(Variant(best, given=True))
        variants += [Variant(isa, output="in place") for isa in choice.isas]
        variants.append(Variant(best, output="new"))
    variants += [Variant(isa, "philox4x32-10") for isa in (choice.isas[:1] if choice.quick else choice.isas)]
    return [*floors(), *(variant.contender() for variant in variants)]


def threads(case: Case, choice: Choice) -> list[Contender]:
    """The floors, and fastdrop on as many threads as the case has and on one."""
    best = choice.isas[0]
    return [*floors(), Variant(best).contender(), Variant(best, threads=1).contender()]


CONTENDERS = {"dropout": dropouts, "threads": threads}
