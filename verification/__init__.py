# SPDX-License-Identifier: BSD-3-Clause
"""Checks that are too long for the test suite, each a command: ``python -m verification.NAME``.

Run them in a clone, with fastdrop and its test extra installed. What judges is shared with the tests.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
