# SPDX-License-Identifier: BSD-3-Clause
"""Runs the examples as a user does."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"  # PNG specification, section 5.2


def run_example(tmp_path, script, *options):
    """Run an example without a display; see that it draws its picture and nothing else; return its output."""
    plot = tmp_path / "picture.png"
    environment = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "DISPLAY")}
    # OpenBLAS's threads wait for each other spinning: beside another busy process an epoch of these small
    # products took up to twenty times as long with two threads on two cores as with one.
    environment["OPENBLAS_NUM_THREADS"] = "1"
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, "--plot", plot, *options],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warnings, and no progress bar where there is no terminal
    assert plot.read_bytes().startswith(PNG_SIGNATURE)
    assert [path.name for path in tmp_path.iterdir()] == [plot.name]
    return done.stdout
