# SPDX-License-Identifier: BSD-3-Clause
"""The table of faults made on purpose, which ``python -m tests.mutants`` runs: each can be made."""

from pathlib import Path

import pytest

from mutants.mutant import ROOT, mistakes
from mutants.table import MUTANTS


def test_there_are_enough_mutants_and_their_names_differ():
    assert sum(not mutant.needs_hosts for mutant in MUTANTS) >= 60
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_made_and_its_killers_are_there(mutant):
    assert not mistakes(mutant)
    assert mutant.killers
    for killer in mutant.killers:
        path, _, test = killer.partition("::")
        assert f"def {test}" in (ROOT / path).read_text()
        assert Path(path).parts[0] == ("host_tests" if mutant.needs_hosts else "tests")
