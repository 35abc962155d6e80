# SPDX-License-Identifier: BSD-3-Clause
"""No byte beside an array is read or written: the arrays of page_ends.py end, or begin, where memory does."""

import mmap
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("page_ends.py")


def run(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


def test_every_operation_stays_inside_its_arrays(isa):
    result = run(SCRIPT, isa)
    *cases, last = result.stdout.splitlines() or [""]
    assert result.returncode == 0, (last, result.stderr[-2000:])
    assert int(last) == len(cases) > 1000


@pytest.mark.parametrize("end", ["x[-1:].ctypes.data + 1", "x.ctypes.data - 1"])
def test_the_pages_beside_an_array_cannot_be_read(end):
    """What the test above relies on."""
    code = f"""
import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})
import ctypes, numpy as np, page_ends
x = page_ends.Room(1).hold(np.ones({mmap.PAGESIZE}, np.uint8), True)
print(x.sum(), flush=True)
ctypes.string_at({end}, 1)
"""
    result = run("-c", code)
    assert (result.stdout.strip(), result.returncode) == (str(mmap.PAGESIZE), -11)  # SIGSEGV
