# SPDX-License-Identifier: BSD-3-Clause
"""What the killed programs have in common: a checkpoint after every step, and where they are.

The checkpoint is written as docs/kinds.md recommends.
"""

import json
import os
from pathlib import Path

import numpy as np

STARTING, STEPPING, SAVING, DONE = range(4)  # what a program is doing


class Checkpoint:
    """The files of one program in a folder: its checkpoint, and its place, which a kill does not erase."""

    def __init__(self, folder):
        """Take a folder that exists."""
        self.path = Path(folder) / "checkpoint.npz"
        place = Path(folder) / "place"
        if not place.exists():
            np.zeros(3, np.int64).tofile(place)
        self.place = np.memmap(place, np.int64, "r+")  # phase, step, process

    def begin(self):
        """Say that a process has come up."""
        self.place[:] = STARTING, 0, os.getpid()

    def load(self):
        """Return the arrays and the state of the last step that was saved, or None before the first."""
        if not self.path.exists():
            return None
        with np.load(self.path) as saved:
            return {name: saved[name] for name in saved.files if name != "state"}, json.loads(
                str(saved["state"])
            )

    def step(self, number):
        """Say that a step begins."""
        self.place[1] = number
        self.place[0] = STEPPING

    def save(self, arrays, state):
        """Put a whole checkpoint in the place of the one before: a kill leaves the one or the other."""
        self.place[0] = SAVING
        new = self.path.with_suffix(".new")
        with new.open("wb") as file:
            np.savez(file, **arrays, state=json.dumps(state))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)

    def done(self):
        """Say that the training is over."""
        self.place[0] = DONE
