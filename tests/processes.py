# SPDX-License-Identifier: BSD-3-Clause
"""Runs Python in a fresh interpreter, where the process itself is what a test is about."""

import os
import subprocess
import sys
import textwrap

TIMEOUT = 60  # seconds; a hang is a failure, not a wait


def python(*arguments, code=0, **environment):
    """What a fresh interpreter printed, and its errors. It knows only the given FASTDROP variables."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FASTDROP_")}
    result = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert result.returncode == code, result.stderr
    return result.stdout, result.stderr


def run(code, **environment):
    """What the code printed; it must not have complained."""
    output, errors = python("-c", textwrap.dedent(code), **environment)
    assert errors == ""
    return output.strip()
