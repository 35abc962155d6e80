# SPDX-License-Identifier: BSD-3-Clause
"""What a contender is, and the one that is a single call."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import fastdrop

from .. import validity
from ..cases import DTYPES, Case, Data
from ..job import Answer, Job, fastdrop_with

Build = Callable[[Case, Data], Job]
Check = Callable[[Case, Data, Job], None]
Call = Callable[[], object]

FASTDROP = ("fastdrop", fastdrop.__version__)  # family and version
NUMPY = ("numpy", np.__version__)
NUMPYS_OWN = tuple(dtype for dtype in DTYPES if dtype != "bfloat16")


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


def single_call(
    name: str,
    made_by: tuple[str, str],
    job: str,
    make: Callable[[Case, Data], Call],
    *,
    isa: str | None = None,
    fresh: bool = False,
    check: Check = validity.dropped,
    dtypes: tuple[str, ...] = DTYPES,
) -> Contender:
    """A contender that is one call on x. Its answer is the array that it returns, or y if it returns none.

    With an instruction set it is fastdrop, which runs on that and on the threads of the case.
    """

    def build(case: Case, data: Data) -> Job:
        run = make(case, data)

        def answer() -> Answer:
            result = run()
            return Answer(result.ravel() if isinstance(result, np.ndarray) else data.y)

        if isa is None:
            return Job(run, answer, fresh=fresh)
        return Job(run, answer, lambda: fastdrop_with(isa, case.threads), fresh)

    return Contender(name, *made_by, job, build, check, dtypes)
