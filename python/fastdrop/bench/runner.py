# SPDX-License-Identifier: BSD-3-Clause
"""Goes through the cases: looks at every contender's answer, times those that are valid, and reports."""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import fastdrop

from . import facts, report
from .cases import Case, Choice, Data, plan
from .contenders.alpha_gaussian import alphas, gaussians
from .contenders.fastdrop import Contender, fastdrops, floors
from .contenders.rivals import MODULES, rivals
from .contenders.sharing import shared
from .contenders.small_calls import calls, windows
from .contenders.stored_masks import stored
from .contenders.train_step import train_steps
from .contenders.transposed import transposed
from .job import Job
from .measure import FULL, QUICK, Effort, measure
from .screen import Screen
from .validity import InvalidAnswerError

_DTYPES_OF = {"bfloat16": "ml_dtypes"}  # the packages that bring dtypes which NumPy does not have

# Who does the operations that are no plain dropout.
_SPECIAL: dict[str, Callable[[Case, bool], list[Contender]]] = {
    "alpha": alphas,
    "gaussian": gaussians,
    "channel": shared,
    "locked": shared,
    "stored": lambda case, quick: stored(quick),
    "call": lambda case, quick: calls(),
    "window": lambda case, quick: windows(),
    "transposed": lambda case, quick: transposed(),
    "train-step": lambda case, quick: train_steps(case),
}


class BenchError(Exception):
    """Why the benchmark cannot run, as a sentence."""


def run(arguments: argparse.Namespace) -> int:
    """Run it; 0 if every contender's answer was valid, 1 if one was not, 2 if it could not run."""
    isa, threads = fastdrop.isa(), fastdrop.set_num_threads(1)
    try:
        _require("threadpoolctl")
        if arguments.plot:
            _require("matplotlib")
        if arguments.check and (arguments.plot or arguments.json):
            raise BenchError("--check times nothing, so there is nothing for --json or --plot")
        return _run(arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    finally:
        fastdrop.use_isa(isa)
        fastdrop.set_num_threads(threads)


def _run(arguments: argparse.Namespace) -> int:
    asked = (arguments.op, arguments.sizes, arguments.dtype, arguments.p, arguments.threads)
    cases = plan(Choice(arguments.quick, arguments.check, *asked), facts.processors())
    if not cases:
        raise BenchError("no case is left: the operation threads needs two of them")
    known_dtypes = _known_dtypes(cases)
    left_out = sorted({case.dtype for case in cases if case.dtype not in known_dtypes})
    cases = [case for case in cases if case.dtype in known_dtypes]
    found, missing = rivals(arguments.compare, max(arguments.threads, default=1))
    known, effort = facts.facts(found), QUICK if arguments.quick else FULL
    began = time.monotonic()
    tables: list[report.Table] = []
    refused: list[str] = []
    with Screen(len(cases), quiet=arguments.json == "-") as screen:
        for name in missing:
            screen.say(f"{MODULES[name]} is not installed: left out\n")
        for dtype in left_out:
            screen.say(f"{_DTYPES_OF[dtype]} is not installed: {dtype} left out\n")
        for case in cases:
            contenders = contenders_of(case, found, arguments.quick)
            everybody = _everybody(case, found, arguments.quick)
            if unable := [one.name for one in everybody if case.dtype not in one.dtypes]:
                screen.say(f"Without {', '.join(unable)}: no {case.dtype}")
            with _threads(case.threads):
                jobs, reasons = valid_jobs(case, contenders)
                if arguments.check:
                    screen.say(f"{case}: {len(jobs)} of {len(contenders)} answers are valid")
                else:
                    tables.append(_timed(case, contenders, jobs, effort, screen))
            del jobs  # and their arrays, before those of the next case
            for reason in reasons:
                screen.say(f"{reason}\n")
            refused += reasons
        if tables:
            screen.say(f"{report.legend(tables, effort)}\n\n{report.closing(tables, known)}")
        screen.say(f"{time.monotonic() - began:.0f} seconds")
    if arguments.json:
        about = {"facts": known, "missing": missing, "refused": refused}
        _write(json.dumps(report.as_json(tables, effort, about), indent=1), arguments.json)
    if arguments.plot:
        import_module("fastdrop.bench.plot").plot(tables, facts.line(known), arguments.plot)
    return 1 if refused else 0


def _known_dtypes(cases: Sequence[Case]) -> set[str]:
    """Those whose package could be imported, which tells NumPy about them."""
    known = {case.dtype for case in cases}
    for dtype, module in _DTYPES_OF.items():
        if dtype in known:
            try:
                import_module(module)
            except ImportError:
                known.remove(dtype)
    return known


def contenders_of(case: Case, found: Sequence[Contender], quick: bool) -> list[Contender]:
    """Everybody who does the job of that case, with its dtype; the floor first."""
    return [one for one in _everybody(case, found, quick) if case.dtype in one.dtypes]


def _everybody(case: Case, found: Sequence[Contender], quick: bool) -> list[Contender]:
    if case.operation in _SPECIAL:
        return _SPECIAL[case.operation](case, quick)
    return [*floors(), *fastdrops(case, quick), *(found if case.operation != "threads" else [])]


def valid_jobs(case: Case, contenders: Sequence[Contender]) -> tuple[dict[str, Job], list[str]]:
    """The jobs whose answers are valid, and a sentence about each of the others."""
    data = Data(case)
    jobs: dict[str, Job] = {}
    refused: list[str] = []
    for contender in contenders:
        job = contender.build(case, data)
        job.prepare()
        try:
            contender.check(case, data, job)
        except InvalidAnswerError as error:
            refused.append(f"REFUSED, so not timed: {contender.name} in {case}: {error}")
        else:
            jobs[contender.name] = job
    if contenders[0].name not in jobs:
        raise BenchError(f"without its floor a case has no ratios. {refused[0]}")
    return jobs, refused


def _timed(
    case: Case, contenders: Sequence[Contender], jobs: dict[str, Job], effort: Effort, screen: Screen
) -> report.Table:
    part = 1 / (effort.rounds * len(jobs))
    times = measure(jobs, effort, tick=lambda name: screen.advance(str(case), part))
    table = report.table(case, contenders, times)
    screen.say(f"{report.text(table)}\n")
    return table


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """That many threads for fastdrop, OpenMP and BLAS; other thread pools are their contenders' to set."""
    fastdrop.set_num_threads(count)
    with _require("threadpoolctl").threadpool_limits(count):
        yield


def _require(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        extra = "pip install 'fastdrop-kernels[bench]'"
        raise BenchError(f"{module} is not installed; it comes with the extra 'bench': {extra}") from None


def _write(text: str, path: str) -> None:
    if path == "-":
        print(text)
    else:
        Path(path).write_text(f"{text}\n")
