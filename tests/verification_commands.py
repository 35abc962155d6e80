# SPDX-License-Identifier: BSD-3-Clause
"""Runs a command of verification/, as its documentation says: from the repository's root."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT = 300  # seconds without an end are a hang


def command(name, *options):
    """The last line that the command printed. It found nothing."""
    done = subprocess.run(
        [sys.executable, "-m", f"verification.{name}", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]
