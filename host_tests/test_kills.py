# SPDX-License-Identifier: BSD-3-Clause
"""Processes of MPI and workers of Dask that are killed: a short form of ``python -m verification.kills``."""

import pytest

from verification_commands import command


@pytest.mark.parametrize("part", ["mpi", "dask"])
def test_what_is_killed_and_started_again_gives_the_same_result(part):
    assert command("kills", "--kills", "2", "--part", part) == "kills: 2 processes killed, 0 findings"
