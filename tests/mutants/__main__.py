# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.mutants``: makes every fault of the table, and fails if a test does not see one."""

import argparse
import queue
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .mutant import Mutant, mistakes
from .pytest_runs import SUITE_SECONDS, Answer, Verdict, failures, run, run_all
from .table import MUTANTS
from .workshop import BuildError, Workshop


def main() -> int:
    arguments = parsed_arguments()
    chosen = choose(arguments)
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.name}: {', '.join(edit.file for edit in mutant.edits)}")
        return 0
    wrong = [text for mutant in chosen for text in mistakes(mutant)]
    if wrong or not chosen:
        print("\n".join(wrong or ["no such mutant"]))
        return 1
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        return judge_all(chosen, Path(folder), arguments)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants; all of them by default")
    parser.add_argument("--list", action="store_true", help="show the names and files, and do nothing")
    parser.add_argument(
        "--hosts", action="store_true", help="those that host_tests/ sees, instead of the others"
    )
    parser.add_argument("--part", default="1/1", metavar="K/N", help="every N-th mutant, from the K-th on")
    parser.add_argument("--jobs", type=int, default=1, help="how many copies work side by side")
    return parser.parse_args()


def choose(arguments: argparse.Namespace) -> list[Mutant]:
    part, parts = map(int, arguments.part.split("/"))
    named = [mutant for mutant in MUTANTS if mutant.name in arguments.names]
    group = [mutant for mutant in MUTANTS if mutant.needs_hosts == arguments.hosts]
    return (named if arguments.names else group)[part - 1 :: parts]


def judge_all(chosen: list[Mutant], folder: Path, arguments: argparse.Namespace) -> int:
    with ThreadPoolExecutor(arguments.jobs) as pool:

        def open_workshop(job: int) -> Workshop:
            (folder / str(job)).mkdir()
            return Workshop(folder / str(job))

        workshops: queue.SimpleQueue[Workshop] = queue.SimpleQueue()
        for workshop in pool.map(open_workshop, range(arguments.jobs)):
            workshops.put(workshop)
        killers = sorted({name.partition("::")[0] for mutant in chosen for name in mutant.killers})
        unmutated = run(workshop, killers, "-m", "not slow", seconds=SUITE_SECONDS)
        if unmutated.verdict is not Verdict.GREEN:
            print(f"the tests fail without a mutant: {unmutated.said}")
            return 1

        def judge_next(mutant: Mutant) -> Answer:
            workshop = workshops.get()
            try:
                since = time.monotonic()
                answer = judge(workshop, mutant)
                seconds = time.monotonic() - since
            finally:
                workshops.put(workshop)
            word = "survived" if answer.verdict is Verdict.GREEN else answer.verdict.value
            print(f"{word:8} {seconds:4.0f} s  {mutant.name}: {answer.said}", flush=True)
            return answer

        answers = dict(zip(chosen, pool.map(judge_next, chosen), strict=True))
    return report(answers)


def judge(workshop: Workshop, mutant: Mutant) -> Answer:
    """What the tests say of a mutant: those that are expected to see it, and then all."""
    try:
        workshop.make(mutant)
        answer = run(workshop, mutant.killers, "-m", "not slow")
        if answer.verdict is not Verdict.GREEN or mutant.needs_hosts:
            return answer
        workshop.mend(mutant)
        known = failures(workshop)  # by this environment, and not by the mutant
        workshop.make(mutant)
        return run_all(workshop, known)
    except BuildError as error:
        return Answer(Verdict.ERROR, str(error))
    finally:
        workshop.mend(mutant)


def report(answers: dict[Mutant, Answer]) -> int:
    of_verdict = {
        verdict: [mutant.name for mutant, answer in answers.items() if answer.verdict is verdict]
        for verdict in Verdict
    }
    for verdict, word in ((Verdict.ERROR, "errors"), (Verdict.GREEN, "survivors")):
        if of_verdict[verdict]:
            print(f"{word}: {', '.join(of_verdict[verdict])}")
    killed = len(of_verdict[Verdict.KILLED])
    print(f"mutants: {killed} of {len(answers)} killed")
    return 0 if killed == len(answers) else 1


if __name__ == "__main__":
    sys.exit(main())
