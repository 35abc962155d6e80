# SPDX-License-Identifier: BSD-3-Clause
"""Goes through the cases: looks at every contender's answer, times those that are valid, and reports."""

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import facts, page, report
from .arguments import GROUPS
from .cases import Case, Choice, Data, plan
from .contenders import Contender, contenders_for
from .contenders.rivals import MODULES, rivals, set_xla_threads
from .job import Job
from .kinds import KINDS
from .measure import FULL, QUICK, Effort, measure
from .peak import peak_bytes
from .screen import Screen
from .validity import InvalidAnswerError

_DTYPE_PACKAGES = {"bfloat16": "ml_dtypes"}  # the packages that bring dtypes which NumPy does not have


class BenchError(Exception):
    """Why the benchmark cannot run, as a sentence."""


def run(arguments: argparse.Namespace) -> int:
    """Run it; 0 if every contender's answer was valid, 1 if one was not, 2 if it could not run."""
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


def _run(arguments: argparse.Namespace) -> int:
    choice = Choice(
        quick=arguments.quick,
        check=arguments.check,
        kinds=[kind for name in arguments.op for kind in GROUPS[name]],
        directions=arguments.direction,
        sizes=arguments.sizes,
        dtypes=arguments.dtype,
        ps=arguments.p,
        threads=arguments.threads,
        asked_isas=arguments.isa,
        goals=arguments.goals,
    )
    cases = plan(choice, facts.processors())
    if not cases:
        raise BenchError(
            "no case is left of --op, --direction and --threads; threads needs two of them, only dropout,"
            " alpha_dropout, gaussian_dropout, stored_masks, softmax and the fused operations have a backward"
            " pass; attention has forward and both; structured has sizes, dtypes and p of its own"
        )
    if arguments.plot and not any(case.kind == "dropout" for case in cases):
        raise BenchError("--plot draws plain dropout, which is not among the cases of this --op")
    known_dtypes = _known_dtypes(cases)
    left_out = sorted({case.dtype for case in cases if case.dtype not in known_dtypes})
    absent = sorted({case.kind for case in cases if not _is_host_here(case)})
    cases = [case for case in cases if case.dtype in known_dtypes and case.kind not in absent]
    names = arguments.compare or ("numpy", *(_drawn_if_installed() if arguments.plot else ()))
    if any(case.kind == "jax" for case in cases):
        set_xla_threads(max(arguments.threads, default=1))
    found, missing = rivals(names, max(arguments.threads, default=1))
    choice = replace(choice, compared=[name for name in names if name not in missing])
    known, effort = facts.facts(found), QUICK if arguments.quick else FULL
    began = time.monotonic()
    tables: list[report.Table] = []
    refused: list[str] = []
    left_out_before: set[tuple[str, str]] = set()
    with Screen(len(cases), quiet=arguments.json == "-") as screen:
        for name in missing:
            screen.say(f"{MODULES[name]} is not installed: left out\n")
        for kind in absent:
            screen.say(f"{KINDS[kind].host} is not installed: {kind} left out\n")
        for dtype in left_out:
            screen.say(f"{_DTYPE_PACKAGES[dtype]} is not installed: {dtype} left out\n")
        if not arguments.check:
            screen.say(f"{textwrap.fill(facts.line(known), 100)}\n")
        for case in cases:
            everybody = contenders_for(case, found, choice)
            if choice.page:
                everybody = page.shown(case, everybody, choice)
            contenders = [one for one in everybody if case.dtype in one.dtypes]
            unable = ", ".join(one.name for one in everybody if one not in contenders)
            if unable and (unable, case.dtype) not in left_out_before:
                left_out_before.add((unable, case.dtype))
                screen.say(f"Without {unable}: no {case.dtype}")
            # Threads of OpenMP and BLAS; fastdrop's and other pools are their contenders' to set.
            with _require("threadpoolctl").threadpool_limits(case.threads):
                jobs, reasons = valid_jobs(case, contenders)
                if arguments.check:
                    screen.say(f"{case}: {len(jobs)} of {len(contenders)} answers are valid")
                else:
                    tables.append(_timed(case, contenders, jobs, effort, screen))
                    if not (choice.page or case.call):
                        screen.say(f"{report.text(tables[-1], goals=choice.goals)}\n")
            del jobs  # and their arrays, before those of the next case
            for reason in reasons:
                screen.say(f"{reason}\n")
            refused += reasons
        for text in _closing(tables, choice, effort) if tables else []:
            screen.say(f"{text}\n")
        screen.say(f"{time.monotonic() - began:.0f} seconds")
    if arguments.json:
        about = {"facts": known, "missing": missing, "refused": refused}
        _write(json.dumps(report.as_json(tables, effort, about), indent=1), arguments.json)
    if arguments.plot:
        import_module("fastdrop.bench.plot").plot(tables, known["cpu"], arguments.plot)
    return 1 if refused else 0


def _known_dtypes(cases: Sequence[Case]) -> set[str]:
    """Those whose package could be imported, which tells NumPy about them."""
    known = {case.dtype for case in cases}
    for dtype, module in _DTYPE_PACKAGES.items():
        if dtype in known:
            try:
                import_module(module)
            except ImportError:
                known.remove(dtype)
    return known


def _is_host_here(case: Case) -> bool:
    host = KINDS[case.kind].host
    return host is None or find_spec(host) is not None


def valid_jobs(case: Case, contenders: Sequence[Contender]) -> tuple[dict[str, Job], list[str]]:
    """The jobs whose answers are valid, and a sentence about each of the others."""
    data = Data(case)
    jobs: dict[str, Job] = {}
    refused: list[str] = []
    for contender in contenders:
        job = contender.build(case, data)
        try:
            with job.setting():
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
    peaks = {name: peak_of(job) for name, job in jobs.items()} if KINDS[case.kind].has_peak else {}
    return report.table(case, contenders, times, peaks)


def peak_of(job: Job) -> int | None:
    """The peak of memory of a call, with what the job keeps, without the results that it makes."""
    measured = peak_bytes(job.run, job.setting)
    return None if measured is None else max(0, measured + job.kept_bytes - job.result_bytes)


def _closing(tables: Sequence[report.Table], choice: Choice, effort: Effort) -> Iterator[str]:
    """What is said about all tables, after the last of them."""
    calls = [table for table in tables if table.case.call]
    others = [table for table in tables if not table.case.call]
    if calls:
        yield page.structured(calls)
    if others and choice.page:
        yield page.plain(others, choice)
    elif others:
        yield report.legend(others, effort, goals=choice.goals)
    if choice.goals:
        yield report.goals_met(tables)


def _drawn_if_installed() -> list[str]:
    """The rivals besides NumPy that the picture has a line for."""
    return [name for name in ("torch", "jax") if find_spec(MODULES[name])]


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
