# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of Dask, computed by as many threads as the case has."""

import importlib
from collections.abc import Callable
from typing import Any

from .. import validity
from ..cases import Case, Choice, Data
from ..job import Answer, Job, fastdrop_with
from .contender import FASTDROP, Check, Contender

_CHUNKS = 16


def arrays(case: Case, choice: Choice) -> list[Contender]:
    """Graphs that are built and computed at every call."""
    dask = importlib.import_module("dask")
    array = importlib.import_module("dask.array")
    ours = importlib.import_module("fastdrop.dask").dropout
    best = choice.isas[0]

    def textbook(x: Any, p: float, seed: int) -> Any:
        keep = array.random.default_rng(seed).random(x.shape, chunks=x.chunks) >= p
        return (x * keep / (1 - p)).astype(x.dtype)

    def contender(
        name: str,
        made_by: tuple[str, str],
        job: str,
        function: Callable[..., Any],
        check: Check = validity.dropped,
    ) -> Contender:
        def build(case: Case, data: Data) -> Job:
            x = array.from_array(data.x, chunks=-(-case.size // _CHUNKS))
            seed = 0

            def run() -> Any:
                nonlocal seed
                seed += 1
                with dask.config.set(scheduler="threads", num_workers=case.threads):
                    return function(x, case.p, seed).compute()

            # Dask's threads share the work, and each call of fastdrop takes one.
            return Job(run, lambda: Answer(run()), lambda: fastdrop_with(best, 1))

        return Contender(name, *made_by, job, build, check)

    version = dask.__version__
    return [
        contender(
            "dask copy",
            ("floor", version),
            "x.map_blocks(np.copy)",
            lambda x, p, seed: x.map_blocks(lambda block: block.copy(), dtype=x.dtype),
            validity.copied,
        ),
        contender("fastdrop.dask", FASTDROP, "fastdrop.dask.dropout", lambda *case: ours(*case)[0]),
        contender("dask", ("dask", version), "x * (rng.random(x.shape) >= p) / (1 - p)", textbook),
    ]


CONTENDERS = {"dask": arrays}
