# SPDX-License-Identifier: BSD-3-Clause
"""Runs of pytest in a workshop, and what they say of a mutant."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from .workshop import Workshop

# They judge texts, environments and benchmarks, not values, or take other people's processes.
LEFT_OUT = (
    *(
        f"tests/test_{name}.py"
        for name in ("documents", "docstrings", "habits", "house", "installation", "rooms")
    ),
    *(f"tests/test_bench{name}.py" for name in ("", "_compare_builds", "_measure", "_page", "_report")),
    "tests/test_mutants.py",
    "tests/test_functions.py::test_the_document_has_the_widths",
    "tests/test_functions.py::test_tables_are_those_that_the_script_writes",
    "tests/test_functions.py::test_core_reference_and_document_have_the_same_coefficients",
    "tests/test_functions.py::test_coefficients_are_those_that_the_script_derives",
)
QUICK = ("-m", "not slow", "tests")
# A hang is a kill: some twenty times what the slowest killers take, and the whole suite.
KILLERS_SECONDS, SUITE_SECONDS = 900, 3600
# Not a wrong value, but a mutant that has no sense.
SENSELESS = re.compile(r" - (ImportError|ModuleNotFoundError|SyntaxError|NameError|UnboundLocalError)\b")


class Verdict(Enum):
    GREEN = "green"
    KILLED = "killed"
    ERROR = "error"


class Answer(NamedTuple):
    verdict: Verdict
    said: str  # the test that failed first, and how


def run(workshop: Workshop, tests: Iterable[str], *options: str, seconds: int = KILLERS_SECONDS) -> Answer:
    """What these tests say."""
    code, text = _pytest(workshop, [*tests, "-x", *options], seconds)
    if code == 0:
        return Answer(Verdict.GREEN, "")
    if code is None:
        return Answer(Verdict.KILLED, f"no end within {seconds} s")
    if code < 0 or code >= 128:
        return Answer(Verdict.KILLED, signal.Signals(-code if code < 0 else code - 128).name)
    failed = re.search(r"^FAILED (.*)$", text, re.MULTILINE)
    if code != 1 or failed is None or SENSELESS.search(failed[1]):
        return Answer(Verdict.ERROR, "\n".join(text.splitlines()[-15:]))
    return Answer(Verdict.KILLED, failed[1])


def run_all(workshop: Workshop, known: Iterable[str]) -> Answer:
    """What the whole quick suite says, less the tests that are known to fail."""
    return run(workshop, QUICK, *(f"--deselect={name}" for name in known), seconds=SUITE_SECONDS)


def failures(workshop: Workshop) -> list[str]:
    """The tests of the quick suite that fail."""
    code, text = _pytest(workshop, QUICK, SUITE_SECONDS)
    if code not in (0, 1):
        raise RuntimeError(f"without a mutant the quick suite ends with {code}: {text[-1000:]}")
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)


def _pytest(workshop: Workshop, arguments: Iterable[str], seconds: int) -> tuple[int | None, str]:
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", *arguments]
    command += [f"--deselect={name}" for name in LEFT_OUT]
    output = (
        workshop.root.parent / "pytest.log"
    )  # a file: a pipe would wait for processes that a test has left
    with output.open("w") as log:
        process = subprocess.Popen(
            command, cwd=workshop.root, env=workshop.environment,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its processes, too
            process.wait()
    return code, output.read_text(errors="replace")
