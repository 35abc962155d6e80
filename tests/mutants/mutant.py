# SPDX-License-Identifier: BSD-3-Clause
"""What a mutant is, as data."""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Edit(NamedTuple):
    """In that file the text `before`, which occurs once, becomes `after`."""

    file: str
    before: str
    after: str


class Mutant(NamedTuple):
    """A fault, and the tests that are expected to see it: files of tests/, or tests in them.

    A fault with edits in the core and in the reference is the same mistake in both. Its killers judge by
    something else: other people's code, exact arithmetic, textbook formulas, or answers written down before.
    """

    name: str
    edits: tuple[Edit, ...]
    killers: tuple[str, ...]
    needs_hosts: bool = False  # its killers are in host_tests/


def mutant(name: str, file: str, before: str, after: str, *killers: str) -> Mutant:
    """A fault in one place."""
    return Mutant(name, (Edit(file, before, after),), killers)


def alike(name: str, edits: list[tuple[str, str, str]], *killers: str) -> Mutant:
    """The same fault in several places, such as the core and the reference."""
    return Mutant(name, tuple(Edit(*edit) for edit in edits), killers)


def of_host(name: str, file: str, before: str, after: str, *killers: str) -> Mutant:
    """A fault that is seen where other libraries are installed."""
    return Mutant(name, (Edit(file, before, after),), killers, needs_hosts=True)


def mistakes(made: Mutant, root: Path = ROOT) -> list[str]:
    """What is wrong with a row of the table: a text that is not there once, or a change that is none."""
    wrong = []
    for file, before, after in made.edits:
        path = root / file
        count = path.read_text().count(before) if path.exists() else 0
        if count != 1:
            wrong.append(f"{made.name}: in {file} the text occurs {count} times, not once: {before!r}")
        if before == after:
            wrong.append(f"{made.name}: in {file} nothing changes")
    return wrong
