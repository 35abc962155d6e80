# SPDX-License-Identifier: BSD-3-Clause
"""What is shown while the benchmark runs: text, and below it a progress bar where somebody watches."""

import contextlib
import sys
from importlib import import_module
from typing import Any

_BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


class Screen:
    """Standard output for the text; standard error for the bar, if that is a terminal and tqdm is there."""

    def __init__(self, total: int, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: Any = None
        if sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self.bar = import_module("tqdm").tqdm(total=total, leave=False, bar_format=_BAR)

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def say(self, text: str) -> None:
        """Print, unless quiet."""
        if self.quiet:
            return
        if self.bar is None:
            print(text, flush=True)
        else:
            self.bar.write(text)  # above the bar

    def advance(self, what: str, part: float) -> None:
        """Move the bar on by a part of its total."""
        if self.bar is not None:
            self.bar.set_description_str(what, refresh=False)
            self.bar.update(part)
