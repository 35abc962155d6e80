# SPDX-License-Identifier: BSD-3-Clause
"""Short forms of the commands of verification/ that refuse memory and that kill processes."""

from verification_commands import command


def test_a_call_without_memory_changes_nothing_and_leaks_nothing():
    assert command("allocation", "--quick").endswith(", 0 findings")


def test_a_killed_training_goes_on_to_the_same_weights():
    last = command("kills", "--kills", "2", "--part", "training")
    assert last == "kills: 2 processes killed, 0 findings"
